// One outage of the gateway, from the click or the first report that shows it to the verdict. A kill by another viewer, or
// a crash, is evaluated in the same way.

import type { Outage, Report } from "./model";

/** Longer than a restart and a backoff. The verdict lists the clients that have not reconnected within this time. */
export const RECOVERY_TIMEOUT_MS = 30_000;
/** The name of this page in the list of clients. */
export const THIS_PAGE = "this page";

/** The connection of this page, as far as it matters for the verdict. */
export interface PageLink {
  readonly isConnected: boolean;
  readonly outage: Outage;
}

/** The recovery of one client after this kill. */
export interface ClientRecovery {
  readonly name: string;
  readonly wasDisconnected: boolean;
  readonly hasReconnected: boolean;
  /** True once the client has had no undelivered pixel since its reconnect; later pixels do not count. */
  readonly hasCaughtUp: boolean;
  /** -1 when there is no earlier report, so that every connected client has recovered. */
  readonly resumedBefore: number;
  readonly lastDowntimeBefore: number | null;
}

/** A kill whose recovery is being observed, or was. */
export interface Recovery {
  readonly kind: "recovering" | "finished";
  readonly sinceMs: number;
  /** The number of outages of the gateway, and of this page, before the kill. */
  readonly outagesBefore: number;
  readonly pageOutagesBefore: number;
  /** The demo's clients, and this page if it was open before the kill. */
  readonly clients: readonly ClientRecovery[];
  readonly lostBefore: number;
  readonly lost: number;
  readonly undelivered: number;
  /** The downtime of the gateway; null until it is up again. */
  readonly outageMs: number | null;
}

export type Kill =
  | { readonly kind: "idle" }
  /** `before` is the last report before the click, with which later reports are compared. */
  | { readonly kind: "requested"; readonly before: Report | null; readonly pageOutagesBefore: number }
  /** `isTransient` when the next report can show that the reason no longer holds. */
  | { readonly kind: "rejected"; readonly reason: string; readonly isTransient: boolean }
  | Recovery;

/** The number of outages of this page before one that is in progress. */
export function outagesBefore({ count, sinceMs }: Outage): number {
  return sinceMs === null ? count : count - 1;
}

/** The gateway went down; later reports are compared with `before`, the last report from before that. */
export function begin(before: Report, pageOutagesBefore: number, nowMs: number): Recovery {
  const page = { name: THIS_PAGE, resumed: 0, lastDowntimeMs: null };
  return {
    kind: "recovering",
    sinceMs: nowMs,
    outagesBefore: before.gateway.outages,
    pageOutagesBefore,
    clients: [...before.clients, page].map((client) => ({
      name: client.name,
      wasDisconnected: false,
      hasReconnected: false,
      hasCaughtUp: false,
      resumedBefore: client.resumed,
      lastDowntimeBefore: client.lastDowntimeMs,
    })),
    lostBefore: before.lost,
    lost: 0,
    undelivered: 0,
    outageMs: null,
  };
}

/**
 * The last outage that a page finds in its first report. The page has no earlier report, and was not connected before:
 * it waits for the demo's clients, and the lost pixels are those since the start of the demo.
 */
export function beginLate(first: Report, nowMs: number): Recovery {
  return {
    kind: "recovering",
    sinceMs: nowMs,
    outagesBefore: first.gateway.outages - 1,
    pageOutagesBefore: 0,
    clients: first.clients.map(({ name }) => ({
      name,
      wasDisconnected: true,
      hasReconnected: false,
      hasCaughtUp: false,
      resumedBefore: -1,
      lastDowntimeBefore: null,
    })),
    lostBefore: 0,
    lost: 0,
    undelivered: 0,
    outageMs: null,
  };
}

/** True when a report was made before the gateway went down. */
export function isBefore(report: Report, kill: Kill): boolean {
  return kill.kind === "recovering" && report.gateway.outages <= kill.outagesBefore;
}

/** Evaluates the next report. The kill is finished when all clients have caught up, or after `RECOVERY_TIMEOUT_MS`. */
export function observe(kill: Kill, report: Report, page: PageLink, nowMs: number): Kill {
  if (kill.kind === "rejected") {
    return kill.isTransient && report.gateway.state === "up" ? { kind: "idle" } : kill;
  }
  if (kill.kind !== "recovering") {
    return kill;
  }
  const isOverdue = nowMs - kill.sinceMs > RECOVERY_TIMEOUT_MS;
  if (isBefore(report, kill)) {
    const reason = `The gateway did not go down within ${RECOVERY_TIMEOUT_MS / 1_000} s.`;
    return isOverdue ? { kind: "rejected", reason, isTransient: false } : kill;
  }
  const clients = kill.clients.map((client) =>
    client.name === THIS_PAGE
      ? observePage(client, page, kill.pageOutagesBefore)
      : observeClient(client, report),
  );
  const isUp = report.gateway.state === "up";
  const isSettled = isUp && clients.every((client) => client.hasCaughtUp);
  const isCatchingUp = (name: string): boolean =>
    clients.some((client) => client.name === name && !client.hasCaughtUp);
  return {
    ...kill,
    kind: isSettled || isOverdue ? "finished" : "recovering",
    clients,
    lost: report.lost - kill.lostBefore,
    undelivered: report.clients.reduce(
      (sum, { name, undelivered }) => sum + (isCatchingUp(name) ? undelivered : 0),
      0,
    ),
    outageMs: isUp ? report.gateway.lastOutageMs : null,
  };
}

function observePage(client: ClientRecovery, page: PageLink, before: number): ClientRecovery {
  const { isConnected, outage } = page;
  const wasDisconnected = client.wasDisconnected || !isConnected || outage.count > before;
  const hasReconnected = wasDisconnected && isConnected && outage.sinceMs === null;
  return { ...client, wasDisconnected, hasReconnected, hasCaughtUp: hasReconnected };
}

function observeClient(client: ClientRecovery, report: Report): ClientRecovery {
  const now = report.clients.find(({ name }) => name === client.name);
  if (now === undefined) {
    return { ...client, hasReconnected: false, hasCaughtUp: false };
  }
  const isConnected = now.state === "connected";
  const hasRecovered = now.resumed > client.resumedBefore || now.lastDowntimeMs !== client.lastDowntimeBefore;
  // The server ends an outage when the client has resubscribed, which is later than the connect.
  const hasReconnected = hasRecovered && isConnected && now.downtimeMs === 0;
  return {
    ...client,
    wasDisconnected: client.wasDisconnected || !isConnected || hasRecovered,
    hasReconnected,
    hasCaughtUp: hasReconnected && (client.hasCaughtUp || now.undelivered === 0),
  };
}
