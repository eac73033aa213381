import { describe, expect, it } from "vitest";
import {
  begin,
  type Kill,
  observe,
  type PageLink,
  RECOVERY_TIMEOUT_MS,
  THIS_PAGE,
} from "../../src/state/kill";
import type { Report } from "../../src/state/model";
import { client, NO_OUTAGE, report } from "./reports";

const BEFORE = report(0, [client("a"), client("b")]);
const DURING = report(1, [
  client("a", { state: "reconnecting", downtimeMs: 300 }),
  client("b", { state: "connecting" }),
]);
const AFTER = [
  client("a", { lastDowntimeMs: 900, resumed: 1 }),
  client("b", { lastDowntimeMs: 1_400, resumed: 1 }),
] as const;

/** This page after one outage. */
const BACK: PageLink = {
  isConnected: true,
  outage: { sinceMs: null, lastMs: 900, maxMs: 900, count: 1 },
};
const OUT: PageLink = { isConnected: false, outage: { ...NO_OUTAGE, sinceMs: 1, count: 1 } };

function observed(...reports: readonly Report[]): Kill {
  const start = begin(BEFORE, 0, 0);
  return reports.reduce<Kill>((kill, next, index) => observe(kill, next, BACK, (index + 1) * 200), start);
}

describe("a kill", () => {
  it("is finished when every client was disconnected, has reconnected, and nothing is undelivered", () => {
    const kill = observed(DURING, report(1, AFTER));

    expect(kill).toMatchObject({ kind: "finished", lost: 0, undelivered: 0, outageMs: 1_200 });
    expect(kill).toMatchObject({ clients: [{ name: "a" }, { name: "b" }, { name: THIS_PAGE }] });
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
      clients: [{ hasReconnected: false }, { hasReconnected: true }, { hasReconnected: true }],
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
      BACK,
      RECOVERY_TIMEOUT_MS + 1,
    );

    expect(kill).toMatchObject({
      kind: "finished",
      clients: [{ hasReconnected: true }, { name: "b", hasReconnected: false }, { hasReconnected: true }],
    });
  });

  it("waits until this page has lost its connection, and has a current picture again", () => {
    const start: Kill = begin(BEFORE, 0, 0);
    const unaware = observe(start, report(1, AFTER), { isConnected: true, outage: NO_OUTAGE }, 200);
    const out = observe(unaware, report(1, AFTER), OUT, 400);
    const reloading = observe(out, report(1, AFTER), { ...OUT, isConnected: true }, 600);

    expect([unaware.kind, out.kind, reloading.kind]).toEqual(["recovering", "recovering", "recovering"]);
    expect(observe(reloading, report(1, AFTER), BACK, 800).kind).toBe("finished");
  });

  it("is rejected when the gateway does not go down", () => {
    const kill = observe(observed(BEFORE), BEFORE, BACK, RECOVERY_TIMEOUT_MS + 1);

    expect(kill).toEqual({
      ...{ kind: "rejected", reason: "The gateway did not go down within 30 s.", isTransient: false },
    });
  });
});

it("a rejection that may no longer hold ends when the gateway is up", () => {
  const rejected = (isTransient: boolean): Kill => ({ kind: "rejected", reason: "", isTransient });

  expect(observe(rejected(true), report(0), BACK, 0).kind).toBe("idle");
  expect(observe(rejected(false), report(0), BACK, 0).kind).toBe("rejected");
});
