import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { pageClock } from "../../src/feed/clock";
import { QueueStore } from "../../src/feed/queue-store";
import { Sender, type SenderContext, type Transport } from "../../src/feed/sender";
import { type Ack, type Acked, isClear, type Pixel, type Position, type Stroke } from "../../src/state/model";
import { IN_FLIGHT_MAX, LEASE_MS, QUEUE_MAX } from "../../src/state/queue";
import { emptyReplica, loaded, published, type Replica } from "../../src/state/replica";
import { MapStorage } from "./map-storage";

const WINDOW = 120_000;
const LOST = { code: 2, message: "transport closed" };
const BUSY = { code: 111, message: "too many requests", temporary: true };
const FORBIDDEN = { code: 103, message: "permission denied", temporary: false };

/** A fake gateway that remembers keys for the deduplication window, and replies to, rejects or loses calls. */
class Gateway {
  readonly applied: { readonly stroke: Stroke; readonly key: string }[] = [];
  readonly #known = new Map<string, { readonly ack: Ack; readonly at: number }>();
  /** The outcome of the next calls: the reply arrives, the reply is lost, the call is lost, or an error is thrown. */
  fate: "replied" | "reply lost" | "lost" | object = "replied";

  async publish(stroke: Stroke, key: string): Promise<Ack> {
    const { fate } = this;
    if (typeof fate === "object") {
      throw fate;
    }
    if (fate === "lost") {
      throw LOST;
    }
    const ack = this.#apply(stroke, key);
    if (fate === "reply lost") {
      throw LOST;
    }
    return ack;
  }

  #apply(stroke: Stroke, key: string): Ack {
    const known = this.#known.get(key);
    if (known !== undefined && performance.now() - known.at <= WINDOW) {
      return { ...known.ack, isDuplicate: true };
    }
    this.applied.push({ stroke, key });
    const ack: Ack = { epoch: "e", offset: this.applied.length, isDuplicate: false };
    this.#known.set(key, { ack, at: performance.now() });
    return ack;
  }

  picture(): Replica {
    const blank = loaded(emptyReplica({ width: 64, height: 64 }), {
      ...{
        epoch: "e",
        offset: 0,
        pixels: new Uint8Array(4_096).fill(255),
        foreground: new Uint8Array(4_096),
      },
    });
    return this.applied.reduce(
      (replica, { stroke }, index) =>
        published(replica, {
          offset: index + 1,
          stroke: isClear(stroke) ? stroke : { ...stroke, isBackground: false },
        }),
      blank,
    );
  }
}

class Tab implements Transport {
  isSubscribed = true;
  readonly notices: string[] = [];
  readonly acked: Acked[] = [];
  readonly queue: QueueStore;
  readonly sender: Sender;
  readonly #gateway: Gateway;

  constructor(gateway: Gateway, storage: MapStorage, name = "tab") {
    this.#gateway = gateway;
    this.queue = new QueueStore(storage, "canvas");
    let keys = 0;
    const context: SenderContext = {
      replica: () => gateway.picture(),
      acked: () => this.acked,
      queueChanged: () => undefined,
      acknowledged: (stroke) => this.acked.push(stroke),
      notifyUser: (text) => this.notices.push(text),
      dedupWindowMs: WINDOW,
      tab: name,
      newKey: () => {
        keys += 1;
        return `${name}-${Date.now()}-${keys}`;
      },
      random: () => 0.5,
      now: pageClock(
        () => Date.now(),
        () => performance.now(),
      ),
    };
    this.sender = new Sender(this.queue, this, context);
  }

  publish(stroke: Stroke, key: string): Promise<Ack> {
    return this.#gateway.publish(stroke, key);
  }

  async highWatermark(): Promise<Position> {
    return { epoch: "e", offset: this.#gateway.applied.length };
  }

  /** Polls every half second, as the page does. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.sender.poll();
      await vi.advanceTimersByTimeAsync(500);
    }
  }
}

/** The applied pixels, in order. */
function applied({ applied: all }: Gateway): readonly Pixel[] {
  return all.flatMap(({ stroke }) => (isClear(stroke) ? [] : [stroke]));
}

function dot(x: number, color = 1, y = 0): Pixel {
  return { x, y, color, by: "Ada" };
}

function setUp() {
  const gateway = new Gateway();
  const storage = new MapStorage();
  return { gateway, storage, tab: new Tab(gateway, storage) };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("drawing", () => {
  it("is sent immediately, acknowledged, and removed from the queue", async () => {
    const { gateway, storage, tab } = setUp();
    tab.sender.paint([dot(1), dot(2)]);
    await tab.run(500);

    expect(applied(gateway).map((pixel) => pixel.x)).toEqual([1, 2]);
    expect(tab.acked.map(({ at }) => at.offset)).toEqual([1, 2]);
    expect(storage.length).toBe(0);
  });

  it("keeps the last colour of a cell, in the order drawn", async () => {
    const { gateway, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1, 2), dot(5), dot(1, 3)]);
    tab.isSubscribed = true;
    await tab.run(1_000);

    expect(applied(gateway).map((pixel) => [pixel.x, pixel.color])).toEqual([
      [5, 1],
      [1, 3],
    ]);
  });

  it("ignores pixels that would change nothing", async () => {
    const { gateway, tab } = setUp();
    tab.sender.paint([dot(1), dot(1)]);
    await tab.run(500);
    tab.sender.paint([dot(1)]);
    await tab.run(500);

    expect(gateway.applied).toHaveLength(1);
  });

  it("has a limit, and notifies the user", () => {
    const { tab } = setUp();
    tab.isSubscribed = false;
    const many = Array.from({ length: QUEUE_MAX + 7 }, (_, index) =>
      dot(index % 64, 1, Math.floor(index / 64)),
    );
    tab.sender.paint(many);

    expect(tab.queue.items()).toHaveLength(QUEUE_MAX);
    expect(tab.notices).toEqual([expect.stringContaining(`queue is full (${QUEUE_MAX} pixels)`)]);
    tab.sender.paint([dot(0, 5)]);
    expect(tab.queue.items().some((item) => !isClear(item) && item.color === 5)).toBe(true);
  });

  it("has a bounded number of calls in flight", async () => {
    const { gateway, tab } = setUp();
    const publish = vi.spyOn(gateway, "publish").mockReturnValue(new Promise(() => undefined));
    tab.sender.paint(Array.from({ length: IN_FLIGHT_MAX + 5 }, (_, index) => dot(index)));
    await tab.run(1_000);

    expect(publish).toHaveBeenCalledTimes(IN_FLIGHT_MAX);
  });
});

describe("without a connection", () => {
  it("drawn pixels survive a reload and are applied once", async () => {
    const { gateway, storage, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1), dot(2)]);
    await tab.run(600_000);
    const reloaded = new Tab(gateway, storage);
    await reloaded.run(1_000);

    expect(applied(gateway).map((pixel) => pixel.x)).toEqual([1, 2]);
    expect(storage.length).toBe(0);
  });

  it("a publication whose reply is lost is repeated with the same key, and applied once", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.paint([dot(1)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    gateway.fate = "replied";
    const reloaded = new Tab(gateway, storage);
    await reloaded.run(1_000);

    expect(gateway.applied).toHaveLength(1);
    expect(reloaded.acked.map(({ at }) => at.offset)).toEqual([1]);
  });

  it("an older colour is never applied over a newer one", async () => {
    const { gateway, tab } = setUp();
    gateway.fate = "lost";
    tab.sender.paint([dot(1, 2)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.sender.paint([dot(1, 3)]);
    gateway.fate = "replied";
    await tab.run(1_000);

    expect(applied(gateway).map((pixel) => pixel.color)).toEqual([2, 3]);
  });
});

describe("an item that may have arrived and is older than the deduplication window", () => {
  async function reopenAfterWindow(fate: "reply lost" | "lost") {
    const { gateway, storage, tab } = setUp();
    gateway.fate = fate;
    tab.sender.paint([dot(1, 4)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    gateway.fate = "replied";
    await vi.advanceTimersByTimeAsync(WINDOW + 1_000);
    const reopened = new Tab(gateway, storage);
    await reopened.run(1_000);
    return { gateway, storage, reopened };
  }

  it("is not applied twice: the picture shows it", async () => {
    const { gateway, storage, reopened } = await reopenAfterWindow("reply lost");

    expect(gateway.applied).toHaveLength(1);
    expect(reopened.notices).toEqual([]);
    expect(storage.length).toBe(0);
  });

  it("is removed with the reason when the picture does not show it", async () => {
    const { gateway, storage, reopened } = await reopenAfterWindow("lost");

    expect(gateway.applied).toHaveLength(0);
    expect(reopened.notices).toEqual([expect.stringContaining("removed")]);
    expect(storage.length).toBe(0);
  });

  it("is counted from the first time it was sent, however often it was repeated", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.paint([dot(1, 4)]);
    await tab.run(WINDOW + 5_000);

    expect(gateway.applied).toHaveLength(1);
    expect([storage.length, tab.notices]).toEqual([0, []]);
  });

  it("is not applied twice when the wall clock is set back by less than its age", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.paint([dot(1, 4)]);
    await tab.run(WINDOW / 2);
    vi.setSystemTime(Date.now() - WINDOW / 3);
    await tab.run(WINDOW);

    expect(gateway.applied).toHaveLength(1);
    expect([storage.length, tab.notices]).toEqual([0, []]);
  });

  it("waits for a picture that has reached the high watermark of the channel", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.paint([dot(1, 4)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    await vi.advanceTimersByTimeAsync(WINDOW + 1_000);
    const reopened = new Tab(gateway, storage);
    const stale = vi.spyOn(gateway, "picture").mockReturnValue(new Gateway().picture());
    await reopened.run(2_000);

    expect(storage.length).toBe(1);
    stale.mockRestore();
    await reopened.run(1_000);
    expect([storage.length, reopened.notices]).toEqual([0, []]);
  });
});

describe("a rejection", () => {
  it("removes the pixel with the reason", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = FORBIDDEN;
    tab.sender.paint([dot(2)]);
    await tab.run(500);

    expect(tab.notices).toEqual([
      "Your pixel at column 3, row 1 was removed: the gateway rejected it (permission denied).",
    ]);
    expect(storage.length).toBe(0);
  });

  it("that is temporary is retried with increasing delays", async () => {
    const { gateway, tab } = setUp();
    const publish = vi.spyOn(gateway, "publish");
    gateway.fate = BUSY;
    tab.sender.paint([dot(2)]);
    await tab.run(20_000);
    const calls = publish.mock.calls.length;
    gateway.fate = "replied";
    await tab.run(5_000);

    expect(calls).toBeGreaterThan(4);
    expect(calls).toBeLessThan(16);
    expect(gateway.applied).toHaveLength(1);
    expect(tab.notices).toEqual([]);
  });
});

describe("two tabs", () => {
  it("send each pixel once between them", async () => {
    const { gateway, storage, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint(Array.from({ length: 40 }, (_, index) => dot(index)));
    tab.isSubscribed = true;
    const other = new Tab(gateway, storage, "other");
    tab.sender.poll();
    other.sender.poll();
    await Promise.all([tab.run(5_000), other.run(5_000)]);

    expect(
      applied(gateway)
        .map((pixel) => pixel.x)
        .sort((a, b) => a - b),
    ).toEqual([...Array(40).keys()]);
    expect(storage.length).toBe(0);
  });

  it("do not send what another tab settled without a storage event", async () => {
    const { gateway, storage, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1)]);
    const other = new Tab(gateway, storage, "other");
    tab.isSubscribed = true;
    await tab.run(WINDOW + 1_000);
    await other.run(1_000);

    expect(gateway.applied).toHaveLength(1);
  });

  it("immediately send what another tab released", async () => {
    const { gateway, storage, tab } = setUp();
    gateway.fate = "lost";
    tab.sender.paint([dot(1)]);
    await vi.advanceTimersByTimeAsync(0);
    gateway.fate = "replied";
    await new Tab(gateway, storage, "other").run(500);

    expect(gateway.applied).toHaveLength(1);
  });

  it("do not lose what another tab was sending when it was closed", async () => {
    const { gateway, storage, tab } = setUp();
    vi.spyOn(gateway, "publish").mockReturnValueOnce(new Promise(() => undefined));
    tab.sender.paint([dot(1)]);
    const other = new Tab(gateway, storage, "other");
    await other.run(LEASE_MS - 1_000);
    expect(gateway.applied).toHaveLength(0);
    await other.run(2_000);

    expect(gateway.applied).toHaveLength(1);
  });
});

describe("a clear", () => {
  it("is published once, after earlier pixels and before later ones", async () => {
    const { gateway, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.paint([dot(1)]);
    await tab.run(500);
    tab.sender.clear("Ada");
    tab.sender.paint([dot(1), dot(2)]);
    await tab.run(1_000);
    expect(gateway.applied).toHaveLength(1);
    gateway.fate = "replied";
    await tab.run(2_000);

    expect(gateway.applied.map(({ stroke }) => (isClear(stroke) ? "clear" : stroke.x))).toEqual([
      ...[1, "clear", 1, 2],
    ]);
    expect(tab.queue.items()).toEqual([]);
    expect(tab.acked[1]).toMatchObject({ clear: true, by: "Ada", at: { offset: 2 } });
  });

  it("that was queued without a connection survives a reload and is applied once", async () => {
    const { gateway, storage, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(5)]);
    tab.sender.clear("Ada");
    tab.sender.paint([dot(6)]);
    const reloaded = new Tab(gateway, storage);
    gateway.fate = "reply lost";
    await reloaded.run(1_000);
    gateway.fate = "replied";
    await reloaded.run(1_000);

    expect(gateway.applied.map(({ stroke }) => (isClear(stroke) ? "clear" : stroke.x))).toEqual([
      ...["clear", 6],
    ]);
  });

  it("that may have arrived is not repeated after the deduplication window", async () => {
    const { gateway, tab } = setUp();
    gateway.fate = "reply lost";
    tab.sender.clear("Ada");
    await tab.run(500);
    gateway.fate = "lost";
    await tab.run(WINDOW);
    gateway.fate = "replied";
    await tab.run(1_000);

    expect(gateway.applied).toHaveLength(1);
    expect(tab.queue.items()).toEqual([]);
    expect(tab.notices).toEqual([expect.stringContaining("may not have been cleared")]);
  });

  it("that is rejected is removed with the reason", async () => {
    const { gateway, tab } = setUp();
    gateway.fate = FORBIDDEN;
    tab.sender.clear("Ada");
    await tab.run(500);

    expect(tab.notices).toEqual(["The canvas was not cleared: the gateway rejected it (permission denied)."]);
  });
});

it("a pixel of the background's colour is published, so that it belongs to the user", async () => {
  const { gateway, tab } = setUp();
  const picture = gateway.picture();
  const painter = { ...dot(1), by: "painter 1", isBackground: true };
  vi.spyOn(gateway, "picture").mockReturnValue(published(picture, { offset: 1, stroke: painter }));
  tab.sender.paint([dot(1)]);
  await tab.run(500);

  expect(gateway.applied).toHaveLength(1);
});
