// Reports of the demo's server, for tests.

import type { LiveClient, Outage, Report } from "../../src/state/model";

export const NO_OUTAGE: Outage = { sinceMs: null, lastMs: null, maxMs: null, count: 0 };

export function client(name: string, over: Partial<LiveClient> = {}): LiveClient {
  return {
    ...{ name, state: "connected", attempt: 0, nextAttemptAtMs: null, downtimeMs: 0, lastDowntimeMs: null },
    ...{ downtimeMaxMs: null, resumed: 0, undelivered: 0, lost: 0, acked: 0, inFlight: 0 },
    ...over,
  };
}

/** A report after this number of outages. */
export function report(
  outages: number,
  clients: readonly LiveClient[] = [],
  over: Partial<Report> = {},
): Report {
  return {
    ...{ nowMs: 0, startedMs: 1, connections: 2, messagesPerSecond: 0, resumes: 0, clients },
    gateway: { state: "up", outages, downSinceMs: null, lastOutageMs: outages > 0 ? 1_200 : null },
    ...{ undelivered: 0, lost: 0, acked: 0, duplicated: 0, disconnects: [] },
    ...over,
  };
}

/** A report of a gateway that is up and does not respond. */
export function unresponsive(clients: readonly LiveClient[] = []): Report {
  const gateway = { state: "unresponsive", outages: 0, downSinceMs: null, lastOutageMs: null } as const;
  return report(0, clients, { gateway, connections: 0 });
}

export function down(outages: number, clients: readonly LiveClient[] = []): Report {
  const gateway = { state: "down", outages, downSinceMs: 1, lastOutageMs: null } as const;
  return report(outages, clients, { gateway, connections: 0 });
}
