import { describe, expect, it } from "vitest";
import type { Config, Link } from "../../src/state/model";
import { type Action, reduce } from "../../src/state/reduce";
import type { Picture } from "../../src/state/replica";
import { initial, NOTICES_MAX, RATES_MAX, type State } from "../../src/state/state";

const CONFIG: Config = {
  ...{
    gateway: "ws://here",
    port: 8_000,
    channel: "canvas",
    width: 4,
    height: 4,
    colors: ["#000000", "#ffffff"],
    colorNames: ["black", "white"],
  },
  ...{ isKillAllowed: true, dedupWindowMs: 120_000 },
};
const PICTURE: Picture = {
  epoch: "e",
  offset: 5,
  pixels: new Uint8Array(16).fill(255),
  foreground: new Uint8Array(16),
};
const CONNECTED: Link = { kind: "connected", sinceMs: 0 };
const LOST: Link = { kind: "reconnecting", attempt: 1, nextAttemptAtMs: 1, cause: "transport closed" };

function stateAfter(...actions: readonly Action[]): State {
  return [{ type: "configured", config: CONFIG, own: null } as const, ...actions].reduce(
    reduce,
    initial("Ada", 9),
  );
}

function link(to: Link, nowMs: number): Action {
  return { type: "linkChanged", link: to, self: null, nowMs };
}

const LOADED: Action = { type: "pictureLoaded", picture: PICTURE, nowMs: 0 };

function subscribed(nowMs: number, isRecovered: boolean, offset = 5): Action {
  return { type: "subscribed", at: { epoch: "e", offset }, isRecovered, nowMs };
}

describe("the outage of this page", () => {
  it("lasts from the first loss to the recovered channel, over all attempts between", () => {
    const state = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      subscribed(0, true),
      link(LOST, 1_000),
      link({ kind: "reconnecting", attempt: 1, nextAttemptAtMs: null, cause: "" }, 1_200),
      link(LOST, 1_400),
      link(CONNECTED, 2_000),
      subscribed(2_100, true),
    );

    expect(state.outage).toEqual({ sinceMs: null, lastMs: 1_100, maxMs: 1_100, count: 1 });
  });

  it("continues when the connection is lost again before the channel is recovered", () => {
    const state = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      link(LOST, 1_000),
      link(CONNECTED, 2_000),
      link(LOST, 2_100),
      link(CONNECTED, 3_000),
      subscribed(3_000, true),
    );

    expect(state.outage).toEqual({ sinceMs: null, lastMs: 2_000, maxMs: 2_000, count: 1 });
  });

  it("continues after a gap until the picture is current again", () => {
    const gap = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      link(LOST, 1_000),
      link(CONNECTED, 2_000),
      subscribed(2_100, false, 9),
    );
    const closed = reduce(gap, { type: "pictureLoaded", picture: { ...PICTURE, offset: 9 }, nowMs: 2_500 });

    expect(gap.outage.sinceMs).toBe(1_000);
    expect(closed.outage).toEqual({ sinceMs: null, lastMs: 1_500, maxMs: 1_500, count: 1 });
  });
});

describe("an acknowledged pixel", () => {
  const acked: Action = {
    type: "acknowledged",
    stroke: { key: "k", x: 1, y: 1, color: 1, by: "Ada", at: { epoch: "e", offset: 6 } },
  };

  it("stays solid until its publication arrives, and is then in the picture", () => {
    const before = stateAfter(LOADED, acked);
    const state = reduce(before, {
      type: "published",
      publication: { offset: 6, stroke: { x: 1, y: 1, color: 1, by: "Ada", isBackground: false } },
    });

    expect(before.acked).toHaveLength(1);
    expect(state.acked).toEqual([]);
    expect(state.replica.picture?.pixels[5]).toBe(1);
  });

  it("is not stored when the publication arrived first", () => {
    const state = stateAfter(
      LOADED,
      {
        type: "published",
        publication: { offset: 6, stroke: { x: 1, y: 1, color: 1, by: "Ada", isBackground: false } },
      },
      acked,
    );

    expect(state.acked).toEqual([]);
  });
});

describe("the list of notices", () => {
  it("is bounded", () => {
    const notices = Array.from(
      { length: 9 },
      (_, index): Action => ({ type: "noticeAdded", text: `${index}`, tone: "bad" }),
    );

    expect(stateAfter(...notices).notices.map(({ text }) => text)).toEqual(["6", "7", "8"]);
    expect(stateAfter(...notices).notices).toHaveLength(NOTICES_MAX);
    expect(RATES_MAX).toBe(60);
  });

  it("contains the same text once", () => {
    const same: Action = { type: "noticeAdded", text: "full", tone: "bad" };

    expect(stateAfter(same, same).notices).toHaveLength(1);
  });
});

describe("the participants", () => {
  const ada = { client: "1", name: "Ada" };

  it("join, leave, and are replaced by a presence reply", () => {
    const joined = stateAfter({ type: "joined", participant: ada }, { type: "joined", participant: ada });
    const presence: Action = { type: "presenceLoaded", participants: [{ client: "2", name: "Bo" }] };

    expect([...joined.participants.values()]).toEqual([ada]);
    expect([...reduce(joined, { type: "left", client: "1" }).participants]).toEqual([]);
    expect([...reduce(joined, presence).participants.keys()]).toEqual(["2"]);
  });
});

it("a colour that this canvas does not have becomes its last one", () => {
  expect(stateAfter().color).toBe(1);
});
