import { describe, expect, it } from "vitest";
import type { Acked, Item } from "../../src/state/model";
import {
  CLAIM_MS,
  inOrder,
  isOverdue,
  replaced,
  sendable,
  shown,
  unseen,
  WINDOW_MARGIN_MS,
} from "../../src/state/queue";

const WINDOW = 120_000;
const NOW = 1_000_000;

function item(key: string, over: Partial<Item> = {}): Item {
  return { key, x: 0, y: 0, color: 1, by: "a", madeMs: NOW, turn: 0, sentMs: null, claim: null, ...over };
}

function keys(items: readonly Item[]): readonly string[] {
  return items.map(({ key }) => key);
}

describe("the queue", () => {
  it("is in the order in which it was drawn", () => {
    const items = [item("c", { turn: 2 }), item("a", { madeMs: NOW - 1, turn: 9 }), item("b", { turn: 1 })];

    expect(keys(inOrder(items))).toEqual(["a", "b", "c"]);
  });

  it("sends one item of a cell at a time, or an older colour could win", () => {
    const items = [item("first", { sentMs: NOW }), item("second"), item("elsewhere", { x: 1 })];

    expect(keys(sendable(items, "me", NOW, WINDOW))).toEqual(["first", "elsewhere"]);
  });

  it("leaves what another tab is sending alone, until the claim is over", () => {
    const claimed = [item("a", { claim: { tab: "other", untilMs: NOW + CLAIM_MS } })];

    expect(sendable(claimed, "me", NOW, WINDOW)).toEqual([]);
    expect(keys(sendable(claimed, "other", NOW, WINDOW))).toEqual(["a"]);
    expect(keys(sendable(claimed, "me", NOW + CLAIM_MS, WINDOW))).toEqual(["a"]);
  });

  it("does not respect a claim that no clock could have made", () => {
    const claimed = [item("a", { claim: { tab: "other", untilMs: NOW + 1_000_000 } })];

    expect(keys(sendable(claimed, "me", NOW, WINDOW))).toEqual(["a"]);
  });

  it("never sends again what is older than the window, counted from the first time", () => {
    const edge = NOW + WINDOW - WINDOW_MARGIN_MS;

    expect(isOverdue(item("a", { sentMs: NOW }), edge, WINDOW)).toBe(false);
    expect(isOverdue(item("a", { sentMs: NOW }), edge + 1, WINDOW)).toBe(true);
    expect(sendable([item("a", { sentMs: NOW })], "me", edge + 1, WINDOW)).toEqual([]);
  });

  it("sends what never left, however old it is", () => {
    expect(keys(sendable([item("a", { madeMs: 1 })], "me", NOW, WINDOW))).toEqual(["a"]);
  });

  it("does not trust an age below zero", () => {
    expect(isOverdue(item("a", { sentMs: NOW + 1 }), NOW, WINDOW)).toBe(true);
  });

  it("drops what a new pixel makes pointless, but nothing that may have arrived", () => {
    const items = [item("unsent"), item("sent", { sentMs: NOW }), item("other cell", { y: 3 })];

    expect(keys(replaced(items, { x: 0, y: 0 }))).toEqual(["unsent"]);
  });
});

describe("what a person sees", () => {
  const acked: Acked = { key: "k", x: 0, y: 0, color: 7, by: "a", at: { epoch: "e", offset: 10 } };

  it("is the newest of the queue, else of the acknowledged", () => {
    expect(shown([item("a", { color: 2 }), item("b", { color: 3 })], [acked], { x: 0, y: 0 })?.color).toBe(3);
    expect(shown([], [acked], { x: 0, y: 0 })?.color).toBe(7);
    expect(shown([], [acked], { x: 1, y: 0 })).toBeUndefined();
  });

  it("holds an acknowledged pixel until the picture has it", () => {
    expect(unseen([acked], { epoch: "e", offset: 9 })).toEqual([acked]);
    expect(unseen([acked], { epoch: "e", offset: 10 })).toEqual([]);
    expect(unseen([acked], { epoch: "another", offset: 1 })).toEqual([]);
    expect(unseen([acked], null)).toEqual([acked]);
  });
});
