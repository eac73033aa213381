// The types of the page's state, which only the reducer changes. Times are Unix milliseconds.

/** The settings that the demo's server reports. */
export interface Config {
  readonly gateway: string;
  /** The port that the demo was started with; the page may be opened through a forwarded one. */
  readonly port: number | null;
  readonly channel: string;
  readonly width: number;
  readonly height: number;
  readonly colors: readonly string[];
  /** The names of the colours by their index, for users who cannot see them. */
  readonly colorNames: readonly string[];
  readonly isKillAllowed: boolean;
  /** How long the gateway remembers an idempotency key. */
  readonly dedupWindowMs: number;
}

export interface Cell {
  readonly x: number;
  readonly y: number;
}

/** A pixel that a user draws, as it is published. */
export interface Pixel extends Cell {
  readonly color: number;
  readonly by: string;
}

/** Removes all pixels of the canvas, as it is published. */
export interface Clear {
  readonly clear: true;
  readonly by: string;
}

/** What a user publishes. */
export type Stroke = Pixel | Clear;

export function isClear<T extends object>(stroke: T): stroke is Extract<T, Clear> {
  return "clear" in stroke;
}

/** A received pixel. One in the background, as the painters publish, never replaces one that is not. */
export interface ReceivedPixel extends Pixel {
  readonly isBackground: boolean;
}

/** A position in the history of the channel; the epoch identifies the history in which the offset counts. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** The connection of this page to the gateway. */
export type Link =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected"; readonly sinceMs: number }
  /** `nextAttemptAtMs` is null while an attempt is in progress. */
  | {
      readonly kind: "reconnecting";
      readonly attempt: number;
      readonly nextAttemptAtMs: number | null;
      readonly cause: string;
    }
  /** The device reports no network, which may be wrong. `nextAttemptAtMs` is null while an attempt is in progress. */
  | { readonly kind: "offline"; readonly nextAttemptAtMs: number | null }
  /** The gateway closed the connection with a code that forbids reconnecting. */
  | { readonly kind: "stopped"; readonly cause: string };

/** The outages of this page. Each lasts from the first lost connection until the picture is current again. */
export interface Outage {
  readonly sinceMs: number | null;
  readonly lastMs: number | null;
  readonly maxMs: number | null;
  readonly count: number;
}

/** The tab that is sending an item, and until when other tabs must not send it. */
export interface Lease {
  readonly tab: string;
  readonly untilMs: number;
}

/** A stroke that is not acknowledged. The gateway recognises a repeated publication by the key. */
export type Item = Stroke & Queued;

export interface Queued {
  readonly key: string;
  readonly createdMs: number;
  /** Orders items of the same millisecond. */
  readonly sequence: number;
  /** When it was first sent; null when it was never sent. */
  readonly sentMs: number | null;
  readonly lease: Lease | null;
}

/** An acknowledged stroke whose publication has not arrived on the channel yet. */
export type Acked = Stroke & { readonly key: string; readonly at: Position };

export interface Participant {
  readonly client: string;
  readonly name: string;
}

/** The reply to a publication: its position, and whether its idempotency key was already used. */
export interface Ack extends Position {
  readonly isDuplicate: boolean;
}

/** A message to the user. */
export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly tone: "info" | "bad";
}

/** The states that the demo's server reports; "unknown" for any other. */
export const GATEWAY_STATES = ["starting", "up", "unresponsive", "down"] as const;
export type GatewayState = (typeof GATEWAY_STATES)[number] | "unknown";
export const CLIENT_STATES = ["disconnected", "connecting", "connected", "reconnecting", "failed"] as const;
export type ClientState = (typeof CLIENT_STATES)[number] | "unknown";

export interface LiveClient {
  readonly name: string;
  readonly state: ClientState;
  readonly attempt: number;
  readonly nextAttemptAtMs: number | null;
  readonly downtimeMs: number;
  readonly lastDowntimeMs: number | null;
  readonly downtimeMaxMs: number | null;
  readonly resumed: number;
  readonly undelivered: number;
  readonly lost: number;
  readonly acked: number;
  readonly inFlight: number;
}

export interface Disconnect {
  readonly atMs: number;
  readonly client: string;
  readonly cause: string;
  readonly code: number | null;
  readonly downtimeMs: number | null;
}

/** The live report of the demo's server about the gateway and the demo's own clients. */
export interface Report {
  readonly nowMs: number;
  /** When the demo started. Reports with different values are not comparable. */
  readonly startedMs: number;
  readonly gateway: {
    readonly state: GatewayState;
    /** How often the gateway went down, for any reason. */
    readonly outages: number;
    readonly downSinceMs: number | null;
    readonly lastOutageMs: number | null;
  };
  readonly connections: number;
  readonly messagesPerSecond: number;
  readonly resumes: number;
  readonly clients: readonly LiveClient[];
  readonly undelivered: number;
  readonly lost: number;
  readonly acked: number;
  readonly duplicated: number;
  readonly disconnects: readonly Disconnect[];
}
