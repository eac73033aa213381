// What the page knows: one value, changed by the reducer only. Times are Unix milliseconds.

/** What the demo's server says about itself. */
export interface Config {
  readonly gateway: string;
  readonly channel: string;
  readonly width: number;
  readonly height: number;
  readonly colors: readonly string[];
  /** Whether the page may kill the gateway. */
  readonly kill: boolean;
  /** How long the gateway recognises a repeated key. */
  readonly dedupeWindowMs: number;
}

export interface Cell {
  readonly x: number;
  readonly y: number;
}

/** A pixel as it travels. */
export interface Pixel extends Cell {
  readonly color: number;
  readonly by: string;
}

/** A place in the history of the channel; an epoch says in which history the offset counts. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** The connection of this page to the gateway. */
export type Link =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected"; readonly sinceMs: number }
  /** No try is scheduled while one is under way. */
  | {
      readonly kind: "reconnecting";
      readonly attempt: number;
      readonly nextTryMs: number | null;
      readonly cause: string;
    }
  /** The device has no network. */
  | { readonly kind: "offline" }
  /** The gateway said not to come back. */
  | { readonly kind: "stopped"; readonly cause: string };

/** How long this page was away, from the first loss to a picture that is known to be current. */
export interface Outage {
  readonly sinceMs: number | null;
  readonly lastMs: number | null;
  readonly count: number;
}

/** Which tab is sending an item, and until when others leave it alone. */
export interface Claim {
  readonly tab: string;
  readonly untilMs: number;
}

/** A drawn pixel that is not acknowledged. The key makes a repeat recognisable. */
export interface Item extends Pixel {
  readonly key: string;
  readonly madeMs: number;
  /** Tells items of the same millisecond apart. */
  readonly turn: number;
  /** When it may have reached the gateway first; null when it never left this browser. */
  readonly sentMs: number | null;
  readonly claim: Claim | null;
}

/** An acknowledged pixel whose publication has not come back yet. */
export interface Acked extends Pixel {
  readonly key: string;
  readonly at: Position;
}

export interface Person {
  readonly client: string;
  readonly name: string;
}

/** Something the person should read. */
export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly tone: "info" | "bad";
}

export interface LiveClient {
  readonly name: string;
  readonly state: string;
  readonly attempt: number;
  readonly nextTryMs: number | null;
  readonly outMs: number;
  readonly lastOutMs: number | null;
  readonly outMaxMs: number | null;
  readonly resumed: number;
  readonly owed: number;
  readonly lost: number;
  readonly acked: number;
  readonly pending: number;
}

export interface Disconnect {
  readonly atMs: number;
  readonly client: string;
  readonly cause: string;
  readonly code: number | null;
  readonly outMs: number | null;
}

/** The books of the demo's own clients, as its server keeps them. */
export interface Report {
  readonly nowMs: number;
  readonly gateway: {
    readonly state: string;
    readonly kills: number;
    readonly downSinceMs: number | null;
    readonly lastOutageMs: number | null;
  };
  readonly connections: number;
  readonly messagesPerSecond: number;
  readonly resumes: number;
  readonly clients: readonly LiveClient[];
  readonly owed: number;
  readonly lost: number;
  readonly acked: number;
  readonly duplicated: number;
  readonly disconnects: readonly Disconnect[];
}
