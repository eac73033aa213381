import { describe, expect, it } from "vitest";
import { Shelf } from "../../src/feed/shelf";
import type { Item } from "../../src/state/model";
import { MapDrawer } from "./drawer";

function item(key: string, madeMs = 1): Item {
  return { key, x: 1, y: 2, color: 3, by: "Ada", madeMs, turn: 0, sentMs: null, claim: null };
}

function keys(shelf: Shelf): readonly string[] {
  return shelf.items().map(({ key }) => key);
}

describe("the shelf", () => {
  it("keeps items over a reload, in their order", () => {
    const drawer = new MapDrawer();
    const before = new Shelf(drawer, "canvas");
    before.put(item("later", 2));
    before.put({ ...item("earlier", 1), sentMs: 5, claim: { tab: "t", untilMs: 9 } });

    const after = new Shelf(drawer, "canvas");

    expect(after.items()).toEqual(before.items());
    expect(keys(after)).toEqual(["earlier", "later"]);
  });

  it("shares items between tabs without losing or doubling one", () => {
    const drawer = new MapDrawer();
    const [one, two] = [new Shelf(drawer, "canvas"), new Shelf(drawer, "canvas")];
    one.put(item("a"));
    two.put(item("b"));
    two.onStorage("steadfast.queue.canvas.a");
    one.onStorage("steadfast.queue.canvas.b");

    expect([keys(one), keys(two)]).toEqual([
      ["a", "b"],
      ["a", "b"],
    ]);
    one.remove("b");
    expect(two.fresh("b")).toBeUndefined();
    expect(keys(two)).toEqual(["a"]);
  });

  it("leaves other canvases and other programs alone", () => {
    const drawer = new MapDrawer();
    drawer.setItem("steadfast.name", "Ada");
    new Shelf(drawer, "another").put(item("theirs"));
    const shelf = new Shelf(drawer, "canvas");

    expect(keys(shelf)).toEqual([]);
    expect(shelf.onStorage("steadfast.name")).toBe(false);
  });

  it("throws away what is damaged instead of failing on it at every visit", () => {
    const drawer = new MapDrawer();
    drawer.setItem("steadfast.queue.canvas.a", "{");
    drawer.setItem("steadfast.queue.canvas.b", '{"key":"b"}');
    drawer.setItem("steadfast.queue.canvas.c", JSON.stringify(item("not c")));

    expect(keys(new Shelf(drawer, "canvas"))).toEqual([]);
    expect(drawer.length).toBe(0);
  });

  it("says so when the browser does not keep anything, and goes on in memory", () => {
    const drawer = new MapDrawer();
    drawer.room = 1;
    const shelf = new Shelf(drawer, "canvas");
    shelf.put(item("a"));
    expect(shelf.isKept).toBe(true);
    shelf.put(item("b"));

    expect(shelf.isKept).toBe(false);
    expect(keys(shelf)).toEqual(["a", "b"]);
    expect(shelf.fresh("b")).toBeDefined();
    drawer.entries.clear();
    expect(shelf.fresh("a")).toBeUndefined();
    expect(new Shelf(null, "canvas").isKept).toBe(false);
  });

  it("hides from other tabs what it could not bring up to date", () => {
    const drawer = new MapDrawer();
    const shelf = new Shelf(drawer, "canvas");
    shelf.put(item("a"));
    drawer.isFrozen = true;
    shelf.put({ ...item("a"), sentMs: 5 });

    expect(shelf.isKept).toBe(false);
    expect(shelf.fresh("a")?.sentMs).toBe(5);
    expect(keys(new Shelf(drawer, "canvas"))).toEqual([]);
    drawer.isFrozen = false;
    shelf.put({ ...item("a"), sentMs: 5 });
    expect(shelf.isKept).toBe(true);
  });

  it("notices that the whole storage was cleared", () => {
    const drawer = new MapDrawer();
    const shelf = new Shelf(drawer, "canvas");
    shelf.put(item("a"));
    drawer.entries.clear();

    expect(shelf.onStorage(null)).toBe(true);
    expect(keys(shelf)).toEqual([]);
  });
});
