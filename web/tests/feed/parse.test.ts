import { describe, expect, it } from "vitest";
import * as parse from "../../src/feed/parse";

const RAW = {
  ...{
    gateway: "ws://here",
    port: 8100,
    channel: "canvas",
    width: 2,
    height: 2,
    colors: ["#000000", "#ffffff"],
    color_names: ["black", "white"],
  },
  ...{ is_kill_allowed: true, dedup_window_ms: 5 },
};

function config() {
  const parsed = parse.config(RAW);
  if (parsed === null) {
    throw new Error("the example is valid");
  }
  return parsed;
}

describe("a response of the demo's server", () => {
  it("is accepted when it is complete", () => {
    expect(config()).toMatchObject({
      gateway: "ws://here",
      port: 8_100,
      colorNames: ["black", "white"],
      dedupWindowMs: 5,
      isKillAllowed: true,
    });
    expect(
      parse.picture(
        {
          ...{ epoch: "e", offset: 3, width: 2, height: 2, pixels: btoa("\x00\x01\xff\xff") },
          foreground: btoa("\x01\x00\x00\x00"),
        },
        config(),
      ),
    ).toEqual({
      ...{ epoch: "e", offset: 3, pixels: Uint8Array.from([0, 1, 255, 255]) },
      foreground: Uint8Array.from([1, 0, 0, 0]),
    });
  });

  it("is rejected when a part is missing or has another size", () => {
    for (const broken of [
      null,
      [],
      { ...RAW, width: 0 },
      { ...RAW, height: "2" },
      { ...RAW, colors: ["red"] },
      { ...RAW, color_names: ["black"] },
      { ...RAW, color_names: ["black", 1] },
      { ...RAW, gateway: "ws://" },
    ]) {
      expect(parse.config(broken)).toBeNull();
    }
    const bytes = btoa("\x00\x01\xff\xff");
    const picture = { epoch: "e", offset: 3, width: 2, height: 2, pixels: bytes, foreground: bytes };
    expect(parse.picture(picture, config())).not.toBeNull();
    for (const broken of [
      { ...picture, pixels: btoa("\x00") },
      { ...picture, pixels: "%%%" },
      { ...picture, foreground: undefined },
      { ...picture, offset: -1 },
      { ...picture, epoch: 7 },
      { ...picture, width: 4 },
    ]) {
      expect(parse.picture(broken, config())).toBeNull();
    }
    expect(parse.report({ clients: [] })).toBeNull();
  });

  it("may omit what is not known yet", () => {
    const report = parse.report({
      now_ms: 1,
      clients: [{ name: "a", state: "connected", last_downtime_ms: null }, 3],
    });

    expect(report?.clients.map(({ name, lastDowntimeMs }) => [name, lastDowntimeMs])).toEqual([
      ["a", null],
      ["?", null],
    ]);
  });
});

describe("a state in the live report", () => {
  it("is one of the known states, else unknown", () => {
    const report = parse.report({
      now_ms: 1,
      gateway: { state: "starting" },
      clients: [{ state: "failed" }, { state: "up" }, {}],
    });

    expect(report?.gateway.state).toBe("starting");
    expect(report?.clients.map(({ state }) => state)).toEqual(["failed", "unknown", "unknown"]);
    expect(parse.report({ now_ms: 1, gateway: { state: "connected" } })?.gateway.state).toBe("unknown");
  });
});

describe("the reply to a publication", () => {
  it("has a position and says whether the key was known", () => {
    const reply = { epoch: "e", offset: 3, duplicate: true };

    expect(parse.ack(reply)).toEqual({ epoch: "e", offset: 3, isDuplicate: true });
    for (const invalid of [
      null,
      { ...reply, epoch: 1 },
      { ...reply, offset: -1 },
      { ...reply, duplicate: 1 },
    ]) {
      expect(parse.ack(invalid)).toBeNull();
    }
  });
});

describe("a publication of the channel", () => {
  it("is a pixel only if every part is valid for this canvas", () => {
    const pixel = { x: 1, y: 0, color: 1, by: "Ada" };

    expect(parse.publication(7, pixel, config())).toEqual({
      ...{ offset: 7, stroke: { ...pixel, isBackground: false } },
    });
    expect(parse.publication(7, { ...pixel, background: true }, config()).stroke).toMatchObject({
      isBackground: true,
    });
    for (const other of [
      null,
      "text",
      { ...pixel, x: 2 },
      { ...pixel, y: -1 },
      { ...pixel, x: 0.5 },
      { ...pixel, color: 2 },
      { ...pixel, by: 3 },
      { x: 1, y: 0, color: 1 },
    ]) {
      expect(parse.publication(7, other, config())).toEqual({ offset: 7, stroke: null });
    }
  });

  it("can clear the canvas", () => {
    const clear = { clear: true, by: "Ada" };

    expect(parse.publication(7, clear, config())).toEqual({ offset: 7, stroke: clear });
    expect(parse.publication(7, { clear: true }, config()).stroke).toBeNull();
    expect(parse.publication(7, { ...clear, clear: 1 }, config()).stroke).toBeNull();
  });
});

it("a name is one short line, and a participant without a name is anonymous", () => {
  expect(parse.cleanName("  Ada \n Lovelace  ")).toBe("Ada Lovelace");
  expect(parse.cleanName("x".repeat(99))).toHaveLength(parse.NAME_MAX);
  expect([parse.isTooLong("x".repeat(25)), parse.isTooLong(` ${"\u{1f600}".repeat(24)} `)]).toEqual([
    true,
    false,
  ]);
  expect(parse.participant("1", { name: "Ada" }).name).toBe("Ada");
  expect([parse.participant("1", null).name, parse.participant("1", { name: 5 }).name]).toEqual([
    "anonymous",
    "anonymous",
  ]);
});
