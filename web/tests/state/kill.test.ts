import { describe, expect, it } from "vitest";
import { begin, type Kill, observe, PATIENCE_MS } from "../../src/state/kill";
import type { LiveClient, Report } from "../../src/state/model";

function client(name: string, over: Partial<LiveClient> = {}): LiveClient {
  return {
    ...{ name, state: "connected", attempt: 0, nextTryMs: null, outMs: 0, lastOutMs: null, outMaxMs: null },
    ...{ resumed: 0, owed: 0, lost: 0, acked: 0, pending: 0 },
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
      owed: 0,
      lost: 0,
      acked: 0,
      duplicated: 0,
    },
    disconnects: [],
    ...over,
  };
}

const BEFORE = report(0, [client("a"), client("b")]);
const OUT = report(1, [
  client("a", { state: "reconnecting", outMs: 300 }),
  client("b", { state: "connecting" }),
]);
const BACK = [
  client("a", { lastOutMs: 900, resumed: 1 }),
  client("b", { lastOutMs: 1_400, resumed: 1 }),
] as const;

function observed(...reports: readonly Report[]): Kill {
  return reports.reduce((kill, next, index) => observe(kill, next, (index + 1) * 200), begin(BEFORE, 0, 0));
}

describe("a kill", () => {
  it("is over when everybody was cut, is back, and nothing is owed", () => {
    const kill = observed(OUT, report(1, BACK));

    expect(kill).toMatchObject({ kind: "over", lost: 0, owed: 0, outageMs: 1_200 });
    expect(kill).toMatchObject({ watched: [{ outMs: 900 }, { outMs: 1_400 }] });
  });

  it("is not judged by a report from before it", () => {
    expect(observed(report(0, BACK)).kind).toBe("watching");
  });

  it("notices an outage that no report saw", () => {
    expect(observed(report(1, BACK)).kind).toBe("over");
  });

  it("does not take somebody who was never cut for somebody who came back", () => {
    expect(observed(report(1, [client("a"), BACK[1]])).kind).toBe("watching");
  });

  it("does not take somebody who is connected but not subscribed again for somebody who came back", () => {
    const connected = client("a", { outMs: 700 });
    const again = client("a", { outMs: 100, lastOutMs: 900, resumed: 1 });

    expect(observed(OUT, report(1, [connected, BACK[1]]))).toMatchObject({
      kind: "watching",
      watched: [{ isBack: false, outMs: 700 }, { isBack: true }],
    });
    expect(observed(OUT, report(1, [again, BACK[1]])).kind).toBe("watching");
  });

  it("goes on while something is owed, and says what was lost since", () => {
    const behind = client("b", { lastOutMs: 1_400, resumed: 1, owed: 2 });

    expect(observed(report(1, [BACK[0], behind]))).toMatchObject({ kind: "watching", owed: 2 });
    expect(observed(report(1, BACK, { lost: 3 }))).toMatchObject({ kind: "over", lost: 3 });
  });

  it("is over when each has caught up once, while others draw on", () => {
    const [a, b] = BACK;

    const kill = observed(report(1, [a, { ...b, owed: 1 }]), report(1, [{ ...a, owed: 1 }, b]));

    expect(kill).toMatchObject({ kind: "over", owed: 0 });
  });

  it("begins to wait again for somebody who is cut a second time", () => {
    const [a, b] = BACK;
    const cut = client("a", { state: "reconnecting", outMs: 50, lastOutMs: 900, resumed: 1 });
    const behind = { ...a, resumed: 2, owed: 3 };

    const kill = observed(report(1, [a, { ...b, owed: 1 }]), report(1, [cut, b]), report(1, [behind, b]));

    expect(kill).toMatchObject({ kind: "watching", owed: 3 });
  });

  it("ends with the names of those who are missing when patience is over", () => {
    const kill = observe(
      observed(OUT),
      report(1, [BACK[0], client("b", { state: "failed" })]),
      PATIENCE_MS + 1,
    );

    expect(kill).toMatchObject({ kind: "over", watched: [{ isBack: true }, { name: "b", isBack: false }] });
  });
});
