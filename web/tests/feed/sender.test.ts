import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Ack } from "../../src/feed/connection";
import { type Desk, Sender, type Wire } from "../../src/feed/sender";
import { Shelf } from "../../src/feed/shelf";
import { type Follow, loaded, nothing, published } from "../../src/state/follow";
import type { Acked, Pixel, Position } from "../../src/state/model";
import { CLAIM_MS, IN_FLIGHT_MAX, QUEUE_MAX } from "../../src/state/queue";
import { MapDrawer } from "./drawer";

const WINDOW = 120_000;
const LOST = { code: 2, message: "transport closed" };
const BUSY = { code: 111, message: "too many requests", temporary: true };
const FORBIDDEN = { code: 103, message: "permission denied", temporary: false };

/** A gateway that remembers keys for the window, and answers or loses what it is told to. */
class Gateway {
  readonly applied: { readonly pixel: Pixel; readonly key: string }[] = [];
  readonly #known = new Map<string, { readonly ack: Ack; readonly atMs: number }>();
  /** What becomes of the next call: its answer comes, its answer is lost, it never arrives, or it is refused. */
  fate: "answered" | "answer lost" | "lost" | object = "answered";

  async publish(pixel: Pixel, key: string): Promise<Ack> {
    const { fate } = this;
    if (typeof fate === "object") {
      throw fate;
    }
    if (fate === "lost") {
      throw LOST;
    }
    const ack = this.#apply(pixel, key);
    if (fate === "answer lost") {
      throw LOST;
    }
    return ack;
  }

  #apply(pixel: Pixel, key: string): Ack {
    const known = this.#known.get(key);
    if (known !== undefined && Date.now() - known.atMs <= WINDOW) {
      return { ...known.ack, duplicate: true };
    }
    this.applied.push({ pixel, key });
    const ack: Ack = { epoch: "e", offset: this.applied.length, duplicate: false };
    this.#known.set(key, { ack, atMs: Date.now() });
    return ack;
  }

  picture(): Follow {
    const blank = loaded(nothing({ width: 64, height: 64 }), {
      ...{ epoch: "e", offset: 0, pixels: new Uint8Array(4_096).fill(255) },
    });
    return this.applied.reduce(
      (follow, { pixel }, index) => published(follow, { offset: index + 1, pixel }),
      blank,
    );
  }
}

class Tab implements Wire {
  isSubscribed = true;
  readonly notices: string[] = [];
  readonly acked: Acked[] = [];
  readonly shelf: Shelf;
  readonly sender: Sender;
  readonly #gateway: Gateway;

  constructor(gateway: Gateway, drawer: MapDrawer, name = "tab") {
    this.#gateway = gateway;
    this.shelf = new Shelf(drawer, "canvas");
    let keys = 0;
    const desk: Desk = {
      follow: () => gateway.picture(),
      acked: () => this.acked,
      queueChanged: () => undefined,
      acknowledged: (pixel) => this.acked.push(pixel),
      noticed: (text) => this.notices.push(text),
      windowMs: WINDOW,
      tab: name,
      newKey: () => {
        keys += 1;
        return `${name}-${Date.now()}-${keys}`;
      },
      dice: () => 0.5,
    };
    this.sender = new Sender(this.shelf, this, desk);
  }

  publish(pixel: Pixel, key: string): Promise<Ack> {
    return this.#gateway.publish(pixel, key);
  }

  async top(): Promise<Position> {
    return { epoch: "e", offset: this.#gateway.applied.length };
  }

  /** Looks every half second, as the page does. */
  async live(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.sender.look();
      await vi.advanceTimersByTimeAsync(500);
    }
  }
}

function dot(x: number, color = 1, y = 0): Pixel {
  return { x, y, color, by: "Ada" };
}

function setUp() {
  const gateway = new Gateway();
  const drawer = new MapDrawer();
  return { gateway, drawer, tab: new Tab(gateway, drawer) };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("drawing", () => {
  it("is sent at once, acknowledged, and forgotten", async () => {
    const { gateway, drawer, tab } = setUp();
    tab.sender.paint([dot(1), dot(2)]);
    await tab.live(500);

    expect(gateway.applied.map(({ pixel }) => pixel.x)).toEqual([1, 2]);
    expect(tab.acked.map(({ at }) => at.offset)).toEqual([1, 2]);
    expect(drawer.length).toBe(0);
  });

  it("keeps the last colour of a cell, in the order drawn", async () => {
    const { gateway, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1, 2), dot(5), dot(1, 3)]);
    tab.isSubscribed = true;
    await tab.live(1_000);

    expect(gateway.applied.map(({ pixel }) => [pixel.x, pixel.color])).toEqual([
      [5, 1],
      [1, 3],
    ]);
  });

  it("leaves out what would change nothing", async () => {
    const { gateway, tab } = setUp();
    tab.sender.paint([dot(1), dot(1)]);
    await tab.live(500);
    tab.sender.paint([dot(1)]);
    await tab.live(500);

    expect(gateway.applied).toHaveLength(1);
  });

  it("has a limit, and says so", () => {
    const { tab } = setUp();
    tab.isSubscribed = false;
    const many = Array.from({ length: QUEUE_MAX + 7 }, (_, index) =>
      dot(index % 64, 1, Math.floor(index / 64)),
    );
    tab.sender.paint(many);

    expect(tab.shelf.items()).toHaveLength(QUEUE_MAX);
    expect(tab.notices).toEqual([expect.stringContaining(`${QUEUE_MAX} pixels wait`)]);
    tab.sender.paint([dot(0, 5)]);
    expect(tab.shelf.items().some(({ color }) => color === 5)).toBe(true);
  });

  it("has a bounded number of unanswered calls", async () => {
    const { gateway, tab } = setUp();
    const publish = vi.spyOn(gateway, "publish").mockReturnValue(new Promise(() => undefined));
    tab.sender.paint(Array.from({ length: IN_FLIGHT_MAX + 5 }, (_, index) => dot(index)));
    await tab.live(1_000);

    expect(publish).toHaveBeenCalledTimes(IN_FLIGHT_MAX);
  });
});

describe("without a connection", () => {
  it("what is drawn outlives a reload and is applied once", async () => {
    const { gateway, drawer, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1), dot(2)]);
    await tab.live(600_000);
    const reloaded = new Tab(gateway, drawer);
    await reloaded.live(1_000);

    expect(gateway.applied.map(({ pixel }) => pixel.x)).toEqual([1, 2]);
    expect(drawer.length).toBe(0);
  });

  it("a lost answer is asked for again with the same key, and applied once", async () => {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = "answer lost";
    tab.sender.paint([dot(1)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    gateway.fate = "answered";
    const reloaded = new Tab(gateway, drawer);
    await reloaded.live(1_000);

    expect(gateway.applied).toHaveLength(1);
    expect(reloaded.acked.map(({ at }) => at.offset)).toEqual([1]);
  });

  it("an older colour is never applied over a newer one", async () => {
    const { gateway, tab } = setUp();
    gateway.fate = "lost";
    tab.sender.paint([dot(1, 2)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.sender.paint([dot(1, 3)]);
    gateway.fate = "answered";
    await tab.live(1_000);

    expect(gateway.applied.map(({ pixel }) => pixel.color)).toEqual([2, 3]);
  });
});

describe("what may have arrived and is older than the window", () => {
  async function away(fate: "answer lost" | "lost") {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = fate;
    tab.sender.paint([dot(1, 4)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    gateway.fate = "answered";
    await vi.advanceTimersByTimeAsync(WINDOW + 1_000);
    const back = new Tab(gateway, drawer);
    await back.live(1_000);
    return { gateway, drawer, back };
  }

  it("is not applied a second time: the picture shows it", async () => {
    const { gateway, drawer, back } = await away("answer lost");

    expect(gateway.applied).toHaveLength(1);
    expect(back.notices).toEqual([]);
    expect(drawer.length).toBe(0);
  });

  it("is taken back with the reason when the picture does not show it", async () => {
    const { gateway, drawer, back } = await away("lost");

    expect(gateway.applied).toHaveLength(0);
    expect(back.notices).toEqual([expect.stringContaining("taken back")]);
    expect(drawer.length).toBe(0);
  });

  it("is counted from the first time it was sent, however often it was repeated", async () => {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = "answer lost";
    tab.sender.paint([dot(1, 4)]);
    await tab.live(WINDOW + 5_000);

    expect(gateway.applied).toHaveLength(1);
    expect([drawer.length, tab.notices]).toEqual([0, []]);
  });

  it("waits for a picture that is at the top of the channel", async () => {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = "answer lost";
    tab.sender.paint([dot(1, 4)]);
    await vi.advanceTimersByTimeAsync(0);
    tab.isSubscribed = false;
    await vi.advanceTimersByTimeAsync(WINDOW + 1_000);
    const back = new Tab(gateway, drawer);
    const stale = vi.spyOn(gateway, "picture").mockReturnValue(new Gateway().picture());
    await back.live(2_000);

    expect(drawer.length).toBe(1);
    stale.mockRestore();
    await back.live(1_000);
    expect([drawer.length, back.notices]).toEqual([0, []]);
  });
});

describe("a refusal", () => {
  it("takes the pixel back with the reason", async () => {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = FORBIDDEN;
    tab.sender.paint([dot(2)]);
    await tab.live(500);

    expect(tab.notices).toEqual([
      "Your pixel at column 3, row 1 was taken back: the gateway refused it (permission denied).",
    ]);
    expect(drawer.length).toBe(0);
  });

  it("that is temporary is tried again, with growing pauses", async () => {
    const { gateway, tab } = setUp();
    const publish = vi.spyOn(gateway, "publish");
    gateway.fate = BUSY;
    tab.sender.paint([dot(2)]);
    await tab.live(20_000);
    const tries = publish.mock.calls.length;
    gateway.fate = "answered";
    await tab.live(5_000);

    expect(tries).toBeGreaterThan(4);
    expect(tries).toBeLessThan(16);
    expect(gateway.applied).toHaveLength(1);
    expect(tab.notices).toEqual([]);
  });
});

describe("two tabs", () => {
  it("send each pixel once between them", async () => {
    const { gateway, drawer, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint(Array.from({ length: 40 }, (_, index) => dot(index)));
    tab.isSubscribed = true;
    const other = new Tab(gateway, drawer, "other");
    tab.sender.look();
    other.sender.look();
    await Promise.all([tab.live(5_000), other.live(5_000)]);

    expect(gateway.applied.map(({ pixel }) => pixel.x).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(drawer.length).toBe(0);
  });

  it("do not send what the other one settled while nobody told them", async () => {
    const { gateway, drawer, tab } = setUp();
    tab.isSubscribed = false;
    tab.sender.paint([dot(1)]);
    const other = new Tab(gateway, drawer, "other");
    tab.isSubscribed = true;
    await tab.live(WINDOW + 1_000);
    await other.live(1_000);

    expect(gateway.applied).toHaveLength(1);
  });

  it("go on at once with what the other one gave up", async () => {
    const { gateway, drawer, tab } = setUp();
    gateway.fate = "lost";
    tab.sender.paint([dot(1)]);
    await vi.advanceTimersByTimeAsync(0);
    gateway.fate = "answered";
    await new Tab(gateway, drawer, "other").live(500);

    expect(gateway.applied).toHaveLength(1);
  });

  it("do not lose what the other one was sending when it was closed", async () => {
    const { gateway, drawer, tab } = setUp();
    vi.spyOn(gateway, "publish").mockReturnValueOnce(new Promise(() => undefined));
    tab.sender.paint([dot(1)]);
    const other = new Tab(gateway, drawer, "other");
    await other.live(CLAIM_MS - 1_000);
    expect(gateway.applied).toHaveLength(0);
    await other.live(2_000);

    expect(gateway.applied).toHaveLength(1);
  });
});
