import { describe, expect, it } from "vitest";
import type { Acked, Clear, Item, Pixel, Queued } from "../../src/state/model";
import {
  inOrder,
  isOverdue,
  LEASE_MS,
  notInPicture,
  overlay,
  sendable,
  supersededBy,
  unconfirmed,
  WINDOW_MARGIN_MS,
} from "../../src/state/queue";

type PixelItem = Pixel & Queued;

const WINDOW = 120_000;
const NOW = 1_000_000;

function item(key: string, over: Partial<PixelItem> = {}): PixelItem {
  return {
    key,
    x: 0,
    y: 0,
    color: 1,
    by: "a",
    createdMs: NOW,
    sequence: 0,
    sentMs: null,
    lease: null,
    ...over,
  };
}

function keys(items: readonly Item[]): readonly string[] {
  return items.map(({ key }) => key);
}

describe("the queue", () => {
  it("is in the order in which it was drawn", () => {
    const items = [
      item("c", { sequence: 2 }),
      item("a", { createdMs: NOW - 1, sequence: 9 }),
      item("b", { sequence: 1 }),
    ];

    expect(keys(inOrder(items))).toEqual(["a", "b", "c"]);
  });

  it("sends one item of a cell at a time, so that an older colour cannot overwrite a newer one", () => {
    const items = [item("first", { sentMs: NOW }), item("second"), item("elsewhere", { x: 1 })];

    expect(keys(sendable(items, "me", NOW, WINDOW))).toEqual(["first", "elsewhere"]);
  });

  it("does not send what another tab is sending until its lease expires", () => {
    const leased = [item("a", { lease: { tab: "other", untilMs: NOW + LEASE_MS } })];

    expect(sendable(leased, "me", NOW, WINDOW)).toEqual([]);
    expect(keys(sendable(leased, "other", NOW, WINDOW))).toEqual(["a"]);
    expect(keys(sendable(leased, "me", NOW + LEASE_MS, WINDOW))).toEqual(["a"]);
  });

  it("ignores a lease further in the future than a tab may set", () => {
    const leased = [item("a", { lease: { tab: "other", untilMs: NOW + 1_000_000 } })];

    expect(keys(sendable(leased, "me", NOW, WINDOW))).toEqual(["a"]);
  });

  it("never repeats what is older than the deduplication window, counted from the first time", () => {
    const edge = NOW + WINDOW - WINDOW_MARGIN_MS;

    expect(isOverdue(item("a", { sentMs: NOW }), edge, WINDOW)).toBe(false);
    expect(isOverdue(item("a", { sentMs: NOW }), edge + 1, WINDOW)).toBe(true);
    expect(sendable([item("a", { sentMs: NOW })], "me", edge + 1, WINDOW)).toEqual([]);
  });

  it("sends what was never sent, at any age", () => {
    expect(keys(sendable([item("a", { createdMs: 1 })], "me", NOW, WINDOW))).toEqual(["a"]);
  });

  it("counts a negative age as overdue", () => {
    expect(isOverdue(item("a", { sentMs: NOW + 1 }), NOW, WINDOW)).toBe(true);
  });

  it("drops what a new pixel supersedes, but nothing that may have arrived", () => {
    const items = [item("unsent"), item("sent", { sentMs: NOW }), item("other cell", { y: 3 })];

    expect(keys(supersededBy(items, { x: 0, y: 0, color: 2, by: "a" }))).toEqual(["unsent"]);
  });
});

describe("a clear in the queue", () => {
  const clear = (key: string, over: Partial<Queued> = {}): Clear & Queued => {
    const { createdMs, sequence, sentMs, lease } = item(key, over);
    return { clear: true, by: "a", key, createdMs, sequence, sentMs, lease };
  };

  it("is sent after everything before it is settled, and everything after it waits", () => {
    const sent = item("sent", { sentMs: NOW });
    const later = item("later", { x: 2 });

    expect(keys(sendable([sent, clear("clear"), later], "me", NOW, WINDOW))).toEqual(["sent"]);
    expect(keys(sendable([clear("clear"), later], "me", NOW, WINDOW))).toEqual(["clear"]);
    expect(sendable([clear("clear", { sentMs: 1 }), later], "me", NOW, WINDOW)).toEqual([]);
  });

  it("supersedes everything that was never sent", () => {
    const items = [item("sent", { sentMs: NOW }), item("a"), item("b", { x: 3 }), clear("earlier")];

    expect(keys(supersededBy(items, { clear: true, by: "a" }))).toEqual(["a", "b", "earlier"]);
  });

  it("hides what was drawn before it, and nothing that was drawn after it", () => {
    const items = [item("sent", { sentMs: NOW }), clear("clear"), item("later", { x: 2 })];

    expect(overlay(items, [])).toMatchObject({ picture: "dimmed", queued: [{ key: "later" }] });
    expect(unconfirmed(items, [], { x: 0, y: 0 })).toBeNull();
    expect(unconfirmed(items, [], { x: 2, y: 0 })?.color).toBe(1);
    const acked: Acked = { clear: true, by: "a", key: "k", at: { epoch: "e", offset: 10 } };
    expect(overlay([], [acked])).toEqual({ picture: "hidden", acked: [], queued: [] });
  });
});

describe("the visible pixel", () => {
  const acked: Acked = { key: "k", x: 0, y: 0, color: 7, by: "a", at: { epoch: "e", offset: 10 } };

  it("is the newest in the queue, else the newest acknowledged one", () => {
    expect(
      unconfirmed([item("a", { color: 2 }), item("b", { color: 3 })], [acked], { x: 0, y: 0 })?.color,
    ).toBe(3);
    expect(unconfirmed([], [acked], { x: 0, y: 0 })?.color).toBe(7);
    expect(unconfirmed([], [acked], { x: 1, y: 0 })).toBeUndefined();
  });

  it("is an acknowledged pixel until the picture contains it", () => {
    expect(notInPicture([acked], { epoch: "e", offset: 9 })).toEqual([acked]);
    expect(notInPicture([acked], { epoch: "e", offset: 10 })).toEqual([]);
    expect(notInPicture([acked], { epoch: "another", offset: 1 })).toEqual([]);
    expect(notInPicture([acked], null)).toEqual([acked]);
  });
});
