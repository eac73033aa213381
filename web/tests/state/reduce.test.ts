import { describe, expect, it } from "vitest";
import type { Picture } from "../../src/state/follow";
import type { Config, Link } from "../../src/state/model";
import { type Fact, reduce } from "../../src/state/reduce";
import { initial, NOTICES_MAX, RATES_MAX, type State } from "../../src/state/state";

const CONFIG: Config = {
  ...{ gateway: "ws://here", channel: "canvas", width: 4, height: 4, colors: ["#000000", "#ffffff"] },
  ...{ kill: true, dedupeWindowMs: 120_000 },
};
const PICTURE: Picture = { epoch: "e", offset: 5, pixels: new Uint8Array(16).fill(255) };
const CONNECTED: Link = { kind: "connected", sinceMs: 0 };
const LOST: Link = { kind: "reconnecting", attempt: 1, nextTryMs: 1, cause: "transport closed" };

function stateAfter(...facts: readonly Fact[]): State {
  return [{ type: "configured", config: CONFIG } as const, ...facts].reduce(reduce, initial("Ada", 9));
}

function link(to: Link, nowMs: number): Fact {
  return { type: "linkChanged", link: to, self: null, nowMs };
}

const LOADED: Fact = { type: "pictureLoaded", picture: PICTURE, nowMs: 0 };

function subscribed(nowMs: number, isRecovered: boolean, offset = 5): Fact {
  return { type: "subscribed", at: { epoch: "e", offset }, isRecovered, nowMs };
}

describe("the time that this page was out", () => {
  it("goes from the first loss to the recovered channel, over all tries between", () => {
    const state = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      subscribed(0, true),
      link(LOST, 1_000),
      link({ kind: "reconnecting", attempt: 1, nextTryMs: null, cause: "" }, 1_200),
      link(LOST, 1_400),
      link(CONNECTED, 2_000),
      subscribed(2_100, true),
    );

    expect(state.outage).toEqual({ sinceMs: null, lastMs: 1_100, count: 1 });
  });

  it("goes on when the connection is lost again before the channel was recovered", () => {
    const state = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      link(LOST, 1_000),
      link(CONNECTED, 2_000),
      link(LOST, 2_100),
      link(CONNECTED, 3_000),
      subscribed(3_000, true),
    );

    expect(state.outage).toEqual({ sinceMs: null, lastMs: 2_000, count: 1 });
  });

  it("goes on after a gap until the picture is whole again", () => {
    const gap = stateAfter(
      LOADED,
      link(CONNECTED, 0),
      link(LOST, 1_000),
      link(CONNECTED, 2_000),
      subscribed(2_100, false, 9),
    );
    const closed = reduce(gap, { type: "pictureLoaded", picture: { ...PICTURE, offset: 9 }, nowMs: 2_500 });

    expect(gap.outage.sinceMs).toBe(1_000);
    expect(closed.outage).toEqual({ sinceMs: null, lastMs: 1_500, count: 1 });
  });
});

describe("an acknowledged pixel", () => {
  const acked: Fact = {
    type: "acknowledged",
    pixel: { key: "k", x: 1, y: 1, color: 1, by: "Ada", at: { epoch: "e", offset: 6 } },
  };

  it("stays solid until its publication arrives, and is then the picture's", () => {
    const before = stateAfter(LOADED, acked);
    const state = reduce(before, {
      type: "published",
      placed: { offset: 6, pixel: { x: 1, y: 1, color: 1, by: "Ada" } },
    });

    expect(before.acked).toHaveLength(1);
    expect(state.acked).toEqual([]);
    expect(state.follow.picture?.pixels[5]).toBe(1);
  });

  it("is not kept when the publication came first", () => {
    const state = stateAfter(
      LOADED,
      { type: "published", placed: { offset: 6, pixel: { x: 1, y: 1, color: 1, by: "Ada" } } },
      acked,
    );

    expect(state.acked).toEqual([]);
  });
});

describe("what grows", () => {
  it("has a bound", () => {
    const notices = Array.from(
      { length: 9 },
      (_, index): Fact => ({ type: "noticed", text: `${index}`, tone: "bad" }),
    );

    expect(stateAfter(...notices).notices.map(({ text }) => text)).toEqual(["6", "7", "8"]);
    expect(stateAfter(...notices).notices).toHaveLength(NOTICES_MAX);
    expect(RATES_MAX).toBe(60);
  });

  it("says the same thing once", () => {
    const same: Fact = { type: "noticed", text: "full", tone: "bad" };

    expect(stateAfter(same, same).notices).toHaveLength(1);
  });
});

describe("people", () => {
  const ada = { client: "1", name: "Ada" };

  it("come, go, and are those whom the gateway names", () => {
    const joined = stateAfter({ type: "joined", person: ada }, { type: "joined", person: ada });
    const told: Fact = { type: "presenceTold", people: [{ client: "2", name: "Bo" }] };

    expect([...joined.people.values()]).toEqual([ada]);
    expect([...reduce(joined, { type: "left", client: "1" }).people]).toEqual([]);
    expect([...reduce(joined, told).people.keys()]).toEqual(["2"]);
  });
});

it("a colour that this canvas does not have becomes its last one", () => {
  expect(stateAfter().color).toBe(1);
});
