// The page's whole state and its beginning.

import type { Follow } from "./follow";
import { nothing } from "./follow";
import type { Kill } from "./kill";
import type { Acked, Cell, Config, Item, Link, Notice, Outage, Person, Report } from "./model";

/** One minute of reports. */
export const RATES_MAX = 60;
/** People whose names are kept; the rest are counted by the server's presence only. */
export const PEOPLE_MAX = 500;
export const NOTICES_MAX = 3;

export interface State {
  readonly config: Config | null;
  /** Why the page cannot begin. */
  readonly trouble: string | null;
  readonly name: string;
  readonly color: number;
  readonly cursor: Cell;
  readonly link: Link;
  readonly outage: Outage;
  readonly follow: Follow;
  readonly queue: readonly Item[];
  readonly acked: readonly Acked[];
  /** False when this browser does not keep what is drawn. */
  readonly isKept: boolean;
  readonly people: ReadonlyMap<string, Person>;
  /** The id of this page's own connection. */
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
    trouble: null,
    name,
    color,
    cursor: { x: 32, y: 32 },
    link: { kind: "connecting" },
    outage: { sinceMs: null, lastMs: null, count: 0 },
    follow: nothing({ width: 64, height: 64 }),
    queue: [],
    acked: [],
    isKept: true,
    people: new Map(),
    self: null,
    notices: [],
    noticeCount: 0,
    live: { report: null, isStale: false, rates: [] },
    kill: { kind: "idle" },
  };
}
