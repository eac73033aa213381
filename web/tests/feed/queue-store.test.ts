import { describe, expect, it } from "vitest";
import { QueueStore } from "../../src/feed/queue-store";
import type { Item } from "../../src/state/model";
import { MapStorage } from "./map-storage";

function item(key: string, createdMs = 1): Item {
  return { key, x: 1, y: 2, color: 3, by: "Ada", createdMs, sequence: 0, sentMs: null, lease: null };
}

function keys(queue: QueueStore): readonly string[] {
  return queue.items().map(({ key }) => key);
}

describe("the stored queue", () => {
  it("keeps items over a reload, in their order", () => {
    const storage = new MapStorage();
    const before = new QueueStore(storage, "canvas");
    before.put(item("later", 2));
    before.put({ ...item("earlier", 1), sentMs: 5, lease: { tab: "t", untilMs: 9 } });

    const after = new QueueStore(storage, "canvas");

    expect(after.items()).toEqual(before.items());
    expect(keys(after)).toEqual(["earlier", "later"]);
  });

  it("shares items between tabs without losing or duplicating one", () => {
    const storage = new MapStorage();
    const [one, two] = [new QueueStore(storage, "canvas"), new QueueStore(storage, "canvas")];
    one.put(item("a"));
    two.put(item("b"));
    two.onStorage("steadfast.queue.canvas.a");
    one.onStorage("steadfast.queue.canvas.b");

    expect([keys(one), keys(two)]).toEqual([
      ["a", "b"],
      ["a", "b"],
    ]);
    one.remove("b");
    expect(two.reload("b")).toBeUndefined();
    expect(keys(two)).toEqual(["a"]);
  });

  it("ignores the entries of other canvases and other programs", () => {
    const storage = new MapStorage();
    storage.setItem("steadfast.name", "Ada");
    new QueueStore(storage, "another").put(item("other"));
    const queue = new QueueStore(storage, "canvas");

    expect(keys(queue)).toEqual([]);
    expect(queue.onStorage("steadfast.name")).toBe(false);
  });

  it("removes invalid entries, so that they do not fail at every visit", () => {
    const storage = new MapStorage();
    storage.setItem("steadfast.queue.canvas.a", "{");
    storage.setItem("steadfast.queue.canvas.b", '{"key":"b"}');
    storage.setItem("steadfast.queue.canvas.c", JSON.stringify(item("not c")));

    expect(keys(new QueueStore(storage, "canvas"))).toEqual([]);
    expect(storage.length).toBe(0);
  });

  it("reports that the browser does not store items, and continues in memory", () => {
    const storage = new MapStorage();
    storage.capacity = 1;
    const queue = new QueueStore(storage, "canvas");
    queue.put(item("a"));
    expect(queue.isPersisted).toBe(true);
    queue.put(item("b"));

    expect(queue.isPersisted).toBe(false);
    expect(keys(queue)).toEqual(["a", "b"]);
    expect(queue.reload("b")).toBeDefined();
    storage.entries.clear();
    expect(queue.reload("a")).toBeUndefined();
    expect(new QueueStore(null, "canvas").isPersisted).toBe(false);
  });

  it("removes an entry that it could not update, so that other tabs do not use it", () => {
    const storage = new MapStorage();
    const queue = new QueueStore(storage, "canvas");
    queue.put(item("a"));
    storage.isReadOnly = true;
    queue.put({ ...item("a"), sentMs: 5 });

    expect(queue.isPersisted).toBe(false);
    expect(queue.reload("a")?.sentMs).toBe(5);
    expect(keys(new QueueStore(storage, "canvas"))).toEqual([]);
    storage.isReadOnly = false;
    queue.put({ ...item("a"), sentMs: 5 });
    expect(queue.isPersisted).toBe(true);
  });

  it("detects that the storage was cleared", () => {
    const storage = new MapStorage();
    const queue = new QueueStore(storage, "canvas");
    queue.put(item("a"));
    storage.entries.clear();

    expect(queue.onStorage(null)).toBe(true);
    expect(keys(queue)).toEqual([]);
  });
});
