import { describe, expect, it } from "vitest";
import { begin, type Kill, observe, RECOVERY_TIMEOUT_MS } from "../../src/state/kill";
import type { LiveClient, Report } from "../../src/state/model";

function client(name: string, over: Partial<LiveClient> = {}): LiveClient {
  return {
    ...{
      name,
      state: "connected",
      attempt: 0,
      nextAttemptAtMs: null,
      downtimeMs: 0,
      lastDowntimeMs: null,
      downtimeMaxMs: null,
    },
    ...{ resumed: 0, undelivered: 0, lost: 0, acked: 0, inFlight: 0 },
    ...over,
  };
}

function report(kills: number, clients: readonly LiveClient[], over: Partial<Report> = {}): Report {
  return {
    nowMs: 0,
    gateway: { state: "up", kills, downSinceMs: null, lastOutageMs: kills > 0 ? 1_200 : null },
    ...{
      connections: 2,
      messagesPerSecond: 0,
      resumes: 0,
      clients,
      undelivered: 0,
      lost: 0,
      acked: 0,
      duplicated: 0,
    },
    disconnects: [],
    ...over,
  };
}

const BEFORE = report(0, [client("a"), client("b")]);
const DURING = report(1, [
  client("a", { state: "reconnecting", downtimeMs: 300 }),
  client("b", { state: "connecting" }),
]);
const AFTER = [
  client("a", { lastDowntimeMs: 900, resumed: 1 }),
  client("b", { lastDowntimeMs: 1_400, resumed: 1 }),
] as const;

function observed(...reports: readonly Report[]): Kill {
  return reports.reduce((kill, next, index) => observe(kill, next, (index + 1) * 200), begin(BEFORE, 0, 0));
}

describe("a kill", () => {
  it("is finished when every client was disconnected, has reconnected, and nothing is undelivered", () => {
    const kill = observed(DURING, report(1, AFTER));

    expect(kill).toMatchObject({ kind: "finished", lost: 0, undelivered: 0, outageMs: 1_200 });
    expect(kill).toMatchObject({ clients: [{ downtimeMs: 900 }, { downtimeMs: 1_400 }] });
  });

  it("is not evaluated with an earlier report", () => {
    expect(observed(report(0, AFTER)).kind).toBe("recovering");
  });

  it("detects an outage between two reports", () => {
    expect(observed(report(1, AFTER)).kind).toBe("finished");
  });

  it("does not count a client that was never disconnected as reconnected", () => {
    expect(observed(report(1, [client("a"), AFTER[1]])).kind).toBe("recovering");
  });

  it("does not count a client that is connected but not resubscribed as reconnected", () => {
    const connected = client("a", { downtimeMs: 700 });
    const again = client("a", { downtimeMs: 100, lastDowntimeMs: 900, resumed: 1 });

    expect(observed(DURING, report(1, [connected, AFTER[1]]))).toMatchObject({
      kind: "recovering",
      clients: [{ hasReconnected: false, downtimeMs: 700 }, { hasReconnected: true }],
    });
    expect(observed(DURING, report(1, [again, AFTER[1]])).kind).toBe("recovering");
  });

  it("continues while something is undelivered, and counts what was lost since", () => {
    const lagging = client("b", { lastDowntimeMs: 1_400, resumed: 1, undelivered: 2 });

    expect(observed(report(1, [AFTER[0], lagging]))).toMatchObject({ kind: "recovering", undelivered: 2 });
    expect(observed(report(1, AFTER, { lost: 3 }))).toMatchObject({ kind: "finished", lost: 3 });
  });

  it("is finished when each client has caught up once, while others still draw", () => {
    const [a, b] = AFTER;

    const kill = observed(report(1, [a, { ...b, undelivered: 1 }]), report(1, [{ ...a, undelivered: 1 }, b]));

    expect(kill).toMatchObject({ kind: "finished", undelivered: 0 });
  });

  it("waits again for a client that is disconnected a second time", () => {
    const [a, b] = AFTER;
    const disconnected = client("a", {
      state: "reconnecting",
      downtimeMs: 50,
      lastDowntimeMs: 900,
      resumed: 1,
    });
    const lagging = { ...a, resumed: 2, undelivered: 3 };

    const kill = observed(
      report(1, [a, { ...b, undelivered: 1 }]),
      report(1, [disconnected, b]),
      report(1, [lagging, b]),
    );

    expect(kill).toMatchObject({ kind: "recovering", undelivered: 3 });
  });

  it("finishes with the names of the missing clients after the timeout", () => {
    const kill = observe(
      observed(DURING),
      report(1, [AFTER[0], client("b", { state: "failed" })]),
      RECOVERY_TIMEOUT_MS + 1,
    );

    expect(kill).toMatchObject({
      kind: "finished",
      clients: [{ hasReconnected: true }, { name: "b", hasReconnected: false }],
    });
  });
});
