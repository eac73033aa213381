// The state of the page, and its initial value.

import type { Kill } from "./kill";
import type { Acked, Cell, Config, Item, Link, Notice, Outage, Participant, Report } from "./model";
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
  /** False when a reload loses drawn pixels. */
  readonly isPersisted: boolean;
  readonly participants: ReadonlyMap<string, Participant>;
  /** The client id of this page's connection. */
  readonly self: string | null;
  readonly notices: readonly Notice[];
  readonly noticeCount: number;
  readonly live: {
    readonly report: Report | null;
    readonly isStale: boolean;
    readonly rates: readonly number[];
  };
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
    outage: { sinceMs: null, lastMs: null, count: 0 },
    replica: emptyReplica({ width: 64, height: 64 }),
    pictureError: null,
    queue: [],
    acked: [],
    isPersisted: true,
    participants: new Map(),
    self: null,
    notices: [],
    noticeCount: 0,
    live: { report: null, isStale: false, rates: [] },
    kill: { kind: "idle" },
  };
}
