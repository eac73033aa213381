// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Feed, startFeed } from "../../src/feed/feed";
import type { Position } from "../../src/state/model";
import { initial } from "../../src/state/state";
import { createStore, type Store } from "../../src/state/store";
import { FakeServer, picture } from "./fake-server";
import { accept, FakeSocket } from "./fake-socket";

const CONFIG = "GET demo/config";
const PICTURE = "GET demo/picture";

let server: FakeServer;
let store: Store;
let feed: Feed;
let commands: Record<string, unknown>[];
let names: readonly string[];

async function tick(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** Accepts all commands, records them, and replies to presence with `names`. */
function gateway(at: Position, recovered: boolean): void {
  accept(() => ({ recovered, at }));
  const accepting = FakeSocket.onCommand;
  FakeSocket.onCommand = (socket, command) => {
    commands.push(command);
    accepting(socket, command);
    if ("presence" in command) {
      const clients = names.map((name, id) => [`${id}`, { client: `${id}`, user: "", conn_info: { name } }]);
      socket.receive({ id: command.id, presence: { presence: Object.fromEntries(clients) } });
    }
  };
}

async function connect(): Promise<void> {
  await tick();
  FakeSocket.last().open();
  await tick();
}

/** Reconnects after a lost connection to a channel at this offset, without recovery. */
async function reconnectAfterGap(offset: number): Promise<void> {
  gateway({ epoch: "e", offset }, false);
  FakeSocket.last().fail();
  await tick();
  feed.actions.reconnectNow();
  await connect();
}

function participants(): readonly string[] {
  return [...store.get().participants.values()].map(({ name }) => name);
}

function start(): void {
  store = createStore(initial("Ada", 1));
  feed = startFeed(store);
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  localStorage.clear();
  FakeSocket.made.length = 0;
  commands = [];
  names = ["Ada"];
  server = new FakeServer();
  server.install();
  gateway({ epoch: "e", offset: 5 }, true);
});

afterEach(() => {
  feed.stop();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the start of the page", () => {
  it("loads configuration and picture, and subscribes after the picture's position", async () => {
    start();
    await connect();

    expect(store.get()).toMatchObject({ link: { kind: "connected" }, replica: { picture: { offset: 5 } } });
    expect(commands).toContainEqual(
      expect.objectContaining({ subscribe: expect.objectContaining({ epoch: "e", offset: 5 }) }),
    );
  });

  it("retries each of both, and shows the error until it succeeds", async () => {
    const { [CONFIG]: config, [PICTURE]: loaded } = server.replies;
    server.replies[CONFIG] = "unreachable";
    server.replies[PICTURE] = { status: 503, body: {} };
    start();
    await tick(500);
    expect(store.get()).toMatchObject({ config: null, startError: "failed to fetch" });

    Object.assign(server.replies, { [CONFIG]: config });
    await tick(2_000);
    expect(store.get()).toMatchObject({
      ...{ startError: null, config: { channel: "canvas" } },
      pictureError: "demo/picture returned HTTP status 503",
    });
    Object.assign(server.replies, { [PICTURE]: loaded });
    await tick(2_000);
    expect(store.get()).toMatchObject({ pictureError: null, replica: { picture: { offset: 5 } } });
  });
});

describe("the picture", () => {
  it("is reloaded after a gap with increasing delays, and the error is kept until then", async () => {
    start();
    await connect();
    server.replies[PICTURE] = { status: 503, body: {} };
    await reconnectAfterGap(9);
    const before = server.count(PICTURE);
    expect(store.get().pictureError).toBe("demo/picture returned HTTP status 503");
    const requests: number[] = [];
    for (const delay of [175, 300, 550, 550, 550]) {
      await tick(delay - 1);
      requests.push(server.count(PICTURE) - before);
      await tick(1);
    }

    expect(requests).toEqual([0, 1, 2, 3, 4]);
    server.replies[PICTURE] = picture(9);
    await tick(1_050);
    expect(store.get()).toMatchObject({
      pictureError: null,
      replica: { requiredPosition: null, reloads: 1 },
    });
  });

  it("is reloaded until it is new enough, and then no more", async () => {
    start();
    await connect();
    await reconnectAfterGap(9);
    await tick(175);
    expect(store.get().replica.requiredPosition).toEqual({ epoch: "e", offset: 9 });
    server.replies[PICTURE] = picture(9);
    await tick(300);
    const requests = server.count(PICTURE);
    await tick(10_000);

    expect(store.get().replica).toMatchObject({ requiredPosition: null, picture: { offset: 9 } });
    expect(server.count(PICTURE)).toBe(requests);
  });
});

describe("the participants", () => {
  it("are requested on each subscription and every 30 seconds", async () => {
    start();
    await connect();
    expect(participants()).toEqual(["Ada"]);
    names = ["Ada", "Bo"];
    for (let passed = 0; passed < 30_000; passed += 10_000) {
      FakeSocket.last().receive({});
      await tick(10_000);
    }

    expect(participants()).toEqual(["Ada", "Bo"]);
  });

  it("join and leave between two requests, and survive a failed one", async () => {
    start();
    await connect();
    FakeSocket.last().receive({
      push: { channel: "canvas", join: { info: { client: "7", user: "", conn_info: { name: "Cy" } } } },
    });
    await tick();
    expect(participants()).toEqual(["Ada", "Cy"]);
    FakeSocket.onCommand = (socket, command) => {
      if ("presence" in command) {
        socket.receive({ id: command.id, error: { code: 100, message: "internal" } });
      }
    };
    FakeSocket.last().receive({});
    await tick(20_000);
    FakeSocket.last().receive({});
    await tick(10_000);

    expect(participants()).toEqual(["Ada", "Cy"]);
  });
});

describe("the user", () => {
  it("paints pixels, which are published with an idempotency key", async () => {
    start();
    await connect();
    feed.actions.paint([{ x: 1, y: 0 }]);
    await tick();

    expect(commands).toContainEqual(
      expect.objectContaining({
        rpc: {
          method: "gw.publish",
          data: {
            ...{ channel: "canvas", data: { x: 1, y: 0, color: 1, by: "Ada" } },
            idempotency_key: expect.stringMatching(/^[0-9a-f-]{36}$/u),
          },
        },
      }),
    );
    expect(store.get()).toMatchObject({ queue: [], acked: [{ x: 1, at: { offset: 9 } }] });
  });

  it("changes the name, which is stored and sent with a reconnect", async () => {
    start();
    await connect();
    feed.actions.rename("  Grace \n Hopper ");
    await connect();

    expect(store.get().name).toBe("Grace Hopper");
    expect(localStorage.getItem("steadfast.name")).toBe("Grace Hopper");
    expect(commands).toContainEqual(
      expect.objectContaining({ connect: expect.objectContaining({ data: { name: "Grace Hopper" } }) }),
    );
  });

  it("is notified that a long name is cut", async () => {
    start();
    await connect();
    feed.actions.rename("x".repeat(25));
    await connect();

    expect(store.get().name).toBe("x".repeat(24));
    expect(store.get().notices).toMatchObject([
      { text: "Your name was cut to 24 characters.", tone: "info" },
    ]);
  });

  it("clears the canvas with a publication, and finds the own pixels again after a reload", async () => {
    start();
    await connect();
    feed.actions.paint([{ x: 1, y: 0 }]);
    await tick();
    feed.stop();
    start();
    await connect();
    expect([...store.get().own]).toEqual([255, 1, 255, 255]);
    feed.actions.clear();
    await tick();

    expect(commands.at(-1)).toMatchObject({
      rpc: { method: "gw.publish", data: { channel: "canvas", data: { clear: true, by: "Ada" } } },
    });
    expect([...store.get().own]).toEqual([255, 255, 255, 255]);
  });

  it("returns to the page, which reconnects immediately", async () => {
    start();
    await connect();
    FakeSocket.last().fail();
    await tick();
    document.dispatchEvent(new Event("visibilitychange"));

    expect(FakeSocket.made).toHaveLength(2);
  });

  it("chooses a colour, moves the cursor and closes a notice", async () => {
    start();
    await connect();
    store.dispatch({ type: "noticeAdded", text: "full", tone: "bad" });
    feed.actions.chooseColor(0);
    feed.actions.moveCursor({ x: 1, y: 1 });
    feed.actions.closeNotice(1);

    expect(feed.actions.currentState()).toMatchObject({ color: 0, cursor: { x: 1, y: 1 }, notices: [] });
    expect(localStorage.getItem("steadfast.color")).toBe("0");
  });
});

it("a change of the storage by another tab updates the queue", async () => {
  start();
  await connect();
  FakeSocket.onCommand = () => undefined;
  const item = {
    key: "k",
    x: 0,
    y: 0,
    color: 1,
    by: "Bo",
    createdMs: 1,
    sequence: 1,
    sentMs: null,
    lease: null,
  };
  localStorage.setItem("steadfast.queue.canvas.k", JSON.stringify(item));
  window.dispatchEvent(
    new StorageEvent("storage", { key: "steadfast.queue.canvas.k", storageArea: localStorage }),
  );

  expect(store.get().queue).toEqual([item]);
});

describe("stop", () => {
  it("closes the connection and leaves no timer and no listener", async () => {
    start();
    await connect();
    const requests = server.requests.length;
    feed.stop();
    await tick();
    const { readyState } = FakeSocket.last();
    const state = store.get();
    window.dispatchEvent(new Event("online"));
    document.dispatchEvent(new Event("visibilitychange"));
    localStorage.setItem("steadfast.queue.canvas.k", "{}");
    window.dispatchEvent(new StorageEvent("storage", { key: null, storageArea: localStorage }));
    store.dispatch({ type: "subscribed", at: { epoch: "e", offset: 99 }, isRecovered: false, nowMs: 0 });
    await tick(60_000);

    expect([readyState, FakeSocket.made.length, vi.getTimerCount()]).toEqual([3, 1, 0]);
    expect(server.requests).toHaveLength(requests);
    expect(store.get().queue).toBe(state.queue);
    expect(localStorage.getItem("steadfast.queue.canvas.k")).toBe("{}");
  });

  it("removes its listeners of the window and the document", async () => {
    const added = [window, document].map((target) => vi.spyOn(target, "addEventListener"));
    start();
    await connect();
    feed.stop();
    // The library adds listeners for `pagehide` and `pageshow` that it never removes.
    const options = added
      .flatMap(({ mock }) => mock.calls.map(([type, , option]) => [type, option]))
      .filter(([type]) => type !== "pagehide" && type !== "pageshow");

    expect(options.map(([type]) => type)).toEqual(["offline", "online", "storage", "visibilitychange"]);
    for (const [, option] of options) {
      expect(option).toMatchObject({ signal: { aborted: true } });
    }
  });

  it("ends a reload of the picture", async () => {
    start();
    await connect();
    server.replies[PICTURE] = { status: 503, body: {} };
    await reconnectAfterGap(9);
    feed.stop();
    await tick();
    const requests = server.requests.length;
    await tick(60_000);

    expect([server.requests.length, vi.getTimerCount()]).toEqual([requests, 0]);
  });

  it("ends a start that waits for the server", async () => {
    server.replies[CONFIG] = "unreachable";
    start();
    await tick(100);
    feed.stop();
    await tick();
    const requests = server.requests.length;
    await tick(60_000);

    expect([server.requests.length, vi.getTimerCount()]).toEqual([requests, 0]);
  });
});
