// What the page shows of the demo's reports. A report can be older than what the page knows itself: the gateway is down
// once the demo has accepted a kill, and may be down once this page has lost its connection.

import type { Kill } from "./kill";
import * as kill from "./kill";
import type { GatewayState, LiveClient, Report } from "./model";
import type { State } from "./state";

/** How long the gateway is up, and this page fails to connect, before the page explains what may be wrong. */
const UNREACHABLE_AFTER_MS = 4_000;
/** The number of failed attempts before that. */
const UNREACHABLE_ATTEMPTS = 3;

export interface LiveState {
  /** The last report; as long as it is older than an accepted kill, changed to what the kill implies. */
  readonly report: Report | null;
  /** The page's times at which the report was requested and received. */
  readonly requestedMs: number;
  readonly receivedMs: number;
  /** Since when every report shows the gateway up; null while one does not. */
  readonly upSinceMs: number | null;
  /** True while the demo's server does not respond. */
  readonly isStale: boolean;
  readonly rates: readonly number[];
}

export const NO_REPORT: LiveState = {
  ...{ report: null, requestedMs: 0, receivedMs: 0, upSinceMs: null, isStale: false, rates: [] },
};

/** The report as it will be once the gateway is down: without connections and messages. */
export function assumeDown(report: Report): Report {
  return {
    ...report,
    gateway: { ...report.gateway, state: "down" },
    connections: 0,
    messagesPerSecond: 0,
    clients: report.clients.map(disconnected),
  };
}

function disconnected(client: LiveClient): LiveClient {
  return client.state === "connected" ? { ...client, state: "disconnected" } : client;
}

/** The kill after the next report. An outage that this page did not request is evaluated too. */
export function nextKill(state: State, next: Report, nowMs: number): Kill {
  const previous = state.live.report;
  let current = state.kill;
  if (previous === null || previous.startedMs !== next.startedMs) {
    current = next.gateway.outages > 0 ? kill.beginLate(next, nowMs) : { kind: "idle" };
  } else if (next.gateway.outages > previous.gateway.outages && isSettled(current)) {
    current = kill.begin(previous, kill.outagesBefore(state.outage), nowMs);
  }
  const isConnected = state.link.kind === "connected";
  return kill.observe(current, next, { isConnected, outage: state.outage }, nowMs);
}

function isSettled({ kind }: Kill): boolean {
  return kind !== "requested" && kind !== "recovering";
}

/** What the page says about the gateway: a state of the report, or what the page knows in addition. */
export type ShownGateway = GatewayState | "unreachable" | "killing" | "checking" | "restarted";

export function shownGateway({ live, kill: current, link, outage }: State): ShownGateway {
  if (live.isStale) {
    return "unreachable";
  }
  if (current.kind === "requested") {
    return "killing";
  }
  const reported = live.report?.gateway.state ?? "unknown";
  if (reported !== "up" || link.kind === "connected") {
    return reported;
  }
  if (outage.sinceMs !== null && live.requestedMs <= outage.sinceMs) {
    return "checking";
  }
  return current.kind === "recovering" ? "restarted" : "up";
}

/** True when a kill can be requested. */
export function canKill({ live, kill: current }: State): boolean {
  const state = live.report?.gateway.state;
  return !live.isStale && (state === "up" || state === "unresponsive") && isSettled(current);
}

/** Why this page cannot connect although the gateway is up; null unless it has failed to for some time. */
export function unreachableReason({ live, link }: State): string | null {
  const isUp = live.upSinceMs !== null && live.receivedMs - live.upSinceMs >= UNREACHABLE_AFTER_MS;
  return !live.isStale && isUp && link.kind === "reconnecting" && link.attempt > UNREACHABLE_ATTEMPTS
    ? link.cause
    : null;
}
