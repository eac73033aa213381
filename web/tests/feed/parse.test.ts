import { describe, expect, it } from "vitest";
import * as parse from "../../src/feed/parse";

const RAW = {
  ...{ gateway: "ws://here", channel: "canvas", width: 2, height: 2, colors: ["#000000", "#ffffff"] },
  ...{ kill: true, dedupe_window_ms: 5 },
};

function config() {
  const parsed = parse.config(RAW);
  if (parsed === null) {
    throw new Error("the example is valid");
  }
  return parsed;
}

describe("what the demo's server says", () => {
  it("is taken when it is whole", () => {
    expect(config()).toMatchObject({ gateway: "ws://here", dedupeWindowMs: 5, kill: true });
    expect(
      parse.picture(
        { epoch: "e", offset: 3, width: 2, height: 2, pixels: btoa("\x00\x01\xff\xff") },
        config(),
      ),
    ).toEqual({ epoch: "e", offset: 3, pixels: Uint8Array.from([0, 1, 255, 255]) });
  });

  it("is refused when a part is missing or of another size", () => {
    for (const broken of [
      null,
      [],
      { ...RAW, width: 0 },
      { ...RAW, height: "2" },
      { ...RAW, colors: ["red"] },
    ]) {
      expect(parse.config(broken)).toBeNull();
    }
    const picture = { epoch: "e", offset: 3, width: 2, height: 2, pixels: btoa("\x00\x01\xff\xff") };
    for (const broken of [
      { ...picture, pixels: btoa("\x00") },
      { ...picture, pixels: "%%%" },
      { ...picture, offset: -1 },
      { ...picture, epoch: 7 },
      { ...picture, width: 4 },
    ]) {
      expect(parse.picture(broken, config())).toBeNull();
    }
    expect(parse.report({ clients: [] })).toBeNull();
  });

  it("may leave out what is not known yet", () => {
    const report = parse.report({
      now_ms: 1,
      clients: [{ name: "a", state: "connected", last_out_ms: null }, 3],
    });

    expect(report?.clients.map(({ name, lastOutMs }) => [name, lastOutMs])).toEqual([
      ["a", null],
      ["?", null],
    ]);
  });
});

describe("what the channel carries", () => {
  it("is a pixel only if every part is one of this canvas", () => {
    const pixel = { x: 1, y: 0, color: 1, by: "Ada" };

    expect(parse.placed(7, pixel, config())).toEqual({ offset: 7, pixel });
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
      expect(parse.placed(7, other, config())).toEqual({ offset: 7, pixel: null });
    }
  });
});

it("a name is one short line, and somebody without one is someone", () => {
  expect(parse.cleanName("  Ada \n Lovelace  ")).toBe("Ada Lovelace");
  expect(parse.cleanName("x".repeat(99))).toHaveLength(parse.NAME_MAX);
  expect(parse.person("1", { name: "Ada" }).name).toBe("Ada");
  expect([parse.person("1", null).name, parse.person("1", { name: 5 }).name]).toEqual(["someone", "someone"]);
});
