// The state of the page, and its initial value.

import type { Kill } from "./kill";
import { type LiveState, NO_REPORT } from "./live";
import type { Acked, Cell, Config, Item, Link, Notice, Outage, Participant } from "./model";
import { noOwnPixels, type OwnPixels } from "./own";
import type { Replica } from "./replica";
import { emptyReplica } from "./replica";

/** The maximum number of stored message rates: one minute of reports. */
export const RATES_MAX = 60;
/** The maximum number of stored participants. */
export const PARTICIPANTS_MAX = 500;
export const NOTICES_MAX = 3;

export interface State {
  readonly config: Config | null;
  /** Why the last attempt to load the configuration failed. */
  readonly startError: string | null;
  readonly name: string;
  readonly color: number;
  readonly cursor: Cell;
  readonly link: Link;
  readonly outage: Outage;
  readonly replica: Replica;
  /** Why the last attempt to load the picture failed; null after a successful attempt. */
  readonly pictureError: string | null;
  readonly queue: readonly Item[];
  readonly acked: readonly Acked[];
  readonly own: OwnPixels;
  /** True while the user's own pixels are highlighted. */
  readonly isOwnHighlighted: boolean;
  /** False when a reload loses drawn pixels. */
  readonly isPersisted: boolean;
  readonly participants: ReadonlyMap<string, Participant>;
  /** The client id of this page's connection. */
  readonly self: string | null;
  readonly notices: readonly Notice[];
  readonly noticeCount: number;
  readonly live: LiveState;
  readonly kill: Kill;
}

export function initial(name: string, color: number): State {
  return {
    config: null,
    startError: null,
    name,
    color,
    cursor: { x: 32, y: 32 },
    link: { kind: "connecting" },
    outage: { sinceMs: null, lastMs: null, maxMs: null, count: 0 },
    replica: emptyReplica({ width: 64, height: 64 }),
    pictureError: null,
    queue: [],
    acked: [],
    own: noOwnPixels({ width: 64, height: 64 }),
    isOwnHighlighted: false,
    isPersisted: true,
    participants: new Map(),
    self: null,
    notices: [],
    noticeCount: 0,
    live: NO_REPORT,
    kill: { kind: "idle" },
  };
}
