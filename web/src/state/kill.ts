// One kill of the gateway, from the click to the verdict, evaluated from the server's reports.

import type { Report } from "./model";

/** Longer than a restart and a backoff. The verdict lists the clients that have not reconnected within this time. */
export const RECOVERY_TIMEOUT_MS = 30_000;

/** The recovery of one client of the demo after this kill. */
export interface ClientRecovery {
  readonly name: string;
  readonly wasDisconnected: boolean;
  readonly hasReconnected: boolean;
  /** True once the client has had no undelivered pixel since its reconnect; later pixels do not count. */
  readonly hasCaughtUp: boolean;
  /** Null when unknown. */
  readonly downtimeMs: number | null;
  readonly resumedBefore: number;
  readonly lastDowntimeBefore: number | null;
}

export type Kill =
  | { readonly kind: "idle" }
  /** `before` is the last report before the click, with which later reports are compared. */
  | { readonly kind: "requested"; readonly before: Report | null; readonly outagesBefore: number }
  | { readonly kind: "rejected"; readonly reason: string }
  | {
      readonly kind: "recovering" | "finished";
      readonly sinceMs: number;
      readonly killsBefore: number;
      /** The number of outages of this page before the kill. */
      readonly outagesBefore: number;
      readonly clients: readonly ClientRecovery[];
      readonly lostBefore: number;
      readonly lost: number;
      readonly undelivered: number;
      readonly outageMs: number | null;
      /** The number of acknowledged pixels in the report before the kill; `acked` is the number since then. */
      readonly ackedBefore: number;
      readonly acked: number;
    };

/** The gateway was killed; later reports are compared with `report`, the last before the kill. */
export function begin(report: Report, outagesBefore: number, nowMs: number): Kill {
  return {
    kind: "recovering",
    sinceMs: nowMs,
    killsBefore: report.gateway.kills,
    outagesBefore,
    clients: report.clients.map((client) => ({
      name: client.name,
      wasDisconnected: false,
      hasReconnected: false,
      hasCaughtUp: false,
      downtimeMs: null,
      resumedBefore: client.resumed,
      lastDowntimeBefore: client.lastDowntimeMs,
    })),
    lostBefore: report.lost,
    lost: 0,
    undelivered: report.undelivered,
    outageMs: null,
    ackedBefore: report.acked,
    acked: 0,
  };
}

/** Evaluates the next report. The kill is finished when all clients have caught up, or after `RECOVERY_TIMEOUT_MS`. */
export function observe(kill: Kill, report: Report, nowMs: number): Kill {
  if (kill.kind !== "recovering" || report.gateway.kills <= kill.killsBefore) {
    return kill;
  }
  const clients = kill.clients.map((client) => observeClient(client, report));
  const isUp = report.gateway.state === "up";
  const isSettled = isUp && clients.every((client) => client.hasCaughtUp);
  const isCatchingUp = (name: string): boolean =>
    clients.some((client) => client.name === name && !client.hasCaughtUp);
  const isFinished = isSettled || nowMs - kill.sinceMs > RECOVERY_TIMEOUT_MS;
  return {
    ...kill,
    kind: isFinished ? "finished" : "recovering",
    clients,
    lost: report.lost - kill.lostBefore,
    undelivered: report.clients.reduce(
      (sum, { name, undelivered }) => sum + (isCatchingUp(name) ? undelivered : 0),
      0,
    ),
    outageMs: isUp ? report.gateway.lastOutageMs : null,
    acked: report.acked - kill.ackedBefore,
  };
}

function observeClient(client: ClientRecovery, report: Report): ClientRecovery {
  const now = report.clients.find(({ name }) => name === client.name);
  if (now === undefined) {
    return { ...client, hasReconnected: false, hasCaughtUp: false };
  }
  const isConnected = now.state === "connected";
  const hasRecovered = now.resumed > client.resumedBefore || now.lastDowntimeMs !== client.lastDowntimeBefore;
  const wasDisconnected = client.wasDisconnected || !isConnected || hasRecovered;
  // The server ends an outage when the client has resubscribed, which is later than the connect.
  const hasReconnected = hasRecovered && isConnected && now.downtimeMs === 0;
  const hasCaughtUp = hasReconnected && (client.hasCaughtUp || now.undelivered === 0);
  return {
    ...client,
    wasDisconnected,
    hasReconnected,
    hasCaughtUp,
    downtimeMs: hasReconnected ? now.lastDowntimeMs : wasDisconnected ? now.downtimeMs : null,
  };
}
