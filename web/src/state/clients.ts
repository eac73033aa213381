// The list of clients: those of the demo, and this page.

import { THIS_PAGE } from "./kill";
import type { LiveClient, Outage } from "./model";
import type { State } from "./state";

/** One line of the list. Times are in milliseconds. */
export interface ClientRow {
  readonly name: string;
  readonly isConnected: boolean;
  readonly status: string;
  /** The time until the next attempt; null while no attempt is scheduled. */
  readonly nextAttemptInMs: number | null;
  /** The current or last downtime; null if there was none. */
  readonly downtimeMs: number | null;
  readonly maxMs: number | null;
}

export function clientRows(state: State, nowMs: number): readonly ClientRow[] {
  const { report, receivedMs, isStale } = state.live;
  if (report === null) {
    return [];
  }
  // The clocks of the server and of this device may differ.
  const clockOffsetMs = report.nowMs - receivedMs;
  const serverNowMs = nowMs + clockOffsetMs;
  const running = Math.max(0, nowMs - receivedMs);
  const rows = report.clients.map((client) =>
    isStale ? unknownRow(client) : demoRow(client, serverNowMs, running),
  );
  return [...rows, pageRow(state, nowMs)];
}

function demoRow(client: LiveClient, serverNowMs: number, runningMs: number): ClientRow {
  const isConnected = client.state === "connected";
  const next = client.nextAttemptAtMs;
  const isWaiting = client.state === "reconnecting" && next !== null && next > serverNowMs;
  // The demo ends an outage when the client has resubscribed.
  const isOut = !isConnected || client.downtimeMs > 0;
  return {
    name: client.name,
    isConnected,
    status: client.state === "reconnecting" ? "connecting" : client.state,
    nextAttemptInMs: isWaiting ? next - serverNowMs : null,
    downtimeMs: isOut ? client.downtimeMs + runningMs : client.lastDowntimeMs,
    maxMs: client.downtimeMaxMs,
  };
}

/** A client while the demo does not respond: only its past is known. */
function unknownRow({ name, lastDowntimeMs, downtimeMaxMs }: LiveClient): ClientRow {
  const past = { downtimeMs: lastDowntimeMs, maxMs: downtimeMaxMs };
  return { name, isConnected: false, status: "unknown", nextAttemptInMs: null, ...past };
}

function pageRow({ link, outage }: State, nowMs: number): ClientRow {
  const next = link.kind === "reconnecting" || link.kind === "offline" ? link.nextAttemptAtMs : null;
  return {
    name: THIS_PAGE,
    isConnected: link.kind === "connected",
    status: link.kind === "reconnecting" ? "connecting" : link.kind,
    nextAttemptInMs: next === null ? null : Math.max(0, next - nowMs),
    downtimeMs: pageDowntime(outage, nowMs),
    maxMs: outage.maxMs,
  };
}

function pageDowntime({ sinceMs, lastMs }: Outage, nowMs: number): number | null {
  return sinceMs === null ? lastMs : Math.max(0, nowMs - sinceMs);
}
