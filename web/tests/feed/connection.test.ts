import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BASE_MS, CAP_MS, delayMs, FLOOR_MS, levelAfter, STABLE_MS } from "../../src/feed/backoff";
import { CALL_TIMEOUT_MS, Connection, callError, isLoopback } from "../../src/feed/connection";
import type { Link, Position } from "../../src/state/model";
import { accept, FakeSocket } from "./fake-socket";

interface Events {
  readonly links: Link[];
  readonly subscriptions: { readonly at: Position; readonly isRecovered: boolean }[];
  readonly offsets: number[];
}

const network = { target: new EventTarget(), isOnline: true };
let events: Events;
let connection: Connection;

function link(): Link {
  return events.links.at(-1) ?? { kind: "connecting" };
}

async function tick(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

async function connect(): Promise<void> {
  FakeSocket.last().open();
  await tick();
}

function create(url: string): Connection {
  return new Connection(
    url,
    "canvas",
    "Ada",
    {
      linkChanged: (to) => events.links.push(to),
      subscribed: (at, isRecovered) => events.subscriptions.push({ at, isRecovered }),
      published: (offset) => events.offsets.push(offset),
      joined: () => undefined,
      left: () => undefined,
    },
    { network: network.target, isOnline: () => network.isOnline, random: () => 0.5, websocket: FakeSocket },
  );
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  FakeSocket.made.length = 0;
  network.target = new EventTarget();
  network.isOnline = true;
  events = { links: [], subscriptions: [], offsets: [] };
  accept(() => ({ recovered: true, at: { epoch: "e", offset: 5 } }));
  connection = create("ws://here");
  connection.start({ epoch: "e", offset: 5 });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the connection", () => {
  it("continues the channel from the picture's position", async () => {
    const sent: unknown[] = [];
    const accepting = FakeSocket.onCommand;
    FakeSocket.onCommand = (socket, command) => {
      sent.push(command);
      accepting(socket, command);
    };
    await connect();
    FakeSocket.last().receive({ push: { channel: "canvas", pub: { offset: 6, data: {} } } });
    await tick();

    expect(sent).toContainEqual(
      expect.objectContaining({ connect: expect.objectContaining({ data: { name: "Ada" } }) }),
    );
    expect(sent).toContainEqual(
      expect.objectContaining({
        subscribe: expect.objectContaining({ recover: true, epoch: "e", offset: 5 }),
      }),
    );
    expect(events.subscriptions).toEqual([{ at: { epoch: "e", offset: 5 }, isRecovered: true }]);
    expect(events.offsets).toEqual([6]);
    expect(link()).toEqual({ kind: "connected", sinceMs: 1_000_000 });
  });

  it("announces the time of the next attempt, and starts it then", async () => {
    await connect();
    FakeSocket.last().fail();
    await tick();
    const delay = FLOOR_MS + BASE_MS / 2;

    expect(link()).toEqual({
      ...{ kind: "reconnecting", attempt: 1, nextAttemptAtMs: 1_000_000 + delay, cause: "transport closed" },
    });
    await tick(delay - 1);
    expect(FakeSocket.made).toHaveLength(1);
    await tick(1);
    expect(FakeSocket.made).toHaveLength(2);
    expect(link()).toMatchObject({ kind: "reconnecting", attempt: 1, nextAttemptAtMs: null });
    await connect();
    expect(link().kind).toBe("connected");
  });

  it("retries indefinitely, with delays that increase up to the cap", async () => {
    const delays: number[] = [];
    for (let attempts = 0; attempts < 60; attempts += 1) {
      FakeSocket.last().fail();
      await tick();
      const next = link();
      if (next.kind !== "reconnecting" || next.nextAttemptAtMs === null) {
        throw new Error("no attempt is scheduled");
      }
      expect(next.nextAttemptAtMs - Date.now()).toBeLessThanOrEqual(FLOOR_MS + CAP_MS);
      delays.push(next.nextAttemptAtMs - Date.now());
      await tick(next.nextAttemptAtMs - Date.now());
    }
    expect(delays.slice(0, 7)).toEqual([175, 300, 550, 550, 550, 550, 550]);

    expect(FakeSocket.made).toHaveLength(61);
    await connect();
    expect(link().kind).toBe("connected");
  });

  it("increases the delay when the gateway closes the connection right after each connect", async () => {
    const delays: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      await connect();
      FakeSocket.last().fail();
      await tick();
      const next = link();
      const delay =
        next.kind === "reconnecting" && next.nextAttemptAtMs !== null ? next.nextAttemptAtMs - Date.now() : 0;
      delays.push(delay);
      await tick(delay);
    }

    expect(delays).toEqual([175, 300, 550, 550]);
  });

  it("retries when the gateway closes the connection before it replies", async () => {
    FakeSocket.onCommand = () => undefined;
    FakeSocket.last().open();
    await tick(10);
    FakeSocket.last().fail();
    await tick(1_000);

    expect(FakeSocket.made).toHaveLength(2);
  });

  it("ends an attempt without a reply, before and after the socket opened", async () => {
    FakeSocket.onCommand = () => undefined;
    await tick(CALL_TIMEOUT_MS + 1_000);
    expect(FakeSocket.made).toHaveLength(2);
    FakeSocket.last().open();
    await tick(CALL_TIMEOUT_MS + 1_000);

    expect(FakeSocket.made).toHaveLength(3);
  });

  it("detects a gateway that stops sending pings", async () => {
    await connect();
    await tick(31_000);

    expect(link()).toMatchObject({ kind: "reconnecting", cause: "no ping" });
  });

  it("starts one attempt immediately when the user requests it", async () => {
    await connect();
    FakeSocket.last().fail();
    await tick();
    connection.reconnectNow();
    connection.reconnectNow();

    expect(FakeSocket.made).toHaveLength(2);
    await connect();
    connection.reconnectNow();
    expect(FakeSocket.made).toHaveLength(2);
  });

  it("is offline without a network, retries slowly, and reconnects immediately when it is available", async () => {
    await connect();
    network.isOnline = false;
    network.target.dispatchEvent(new Event("offline"));
    await tick();
    expect(link()).toEqual({ kind: "offline", nextAttemptAtMs: Date.now() + 5_000 + FLOOR_MS + BASE_MS / 2 });
    for (let attempts = 0; attempts < 10; attempts += 1) {
      await tick(6_000);
      FakeSocket.last().fail();
    }
    await tick();
    expect(link().kind).toBe("offline");
    expect(FakeSocket.made).toHaveLength(11);
    network.isOnline = true;
    network.target.dispatchEvent(new Event("online"));
    await connect();

    expect(link().kind).toBe("connected");
    expect(events.subscriptions).toHaveLength(2);
  });

  it("connects although the browser reports no network, which may be wrong", async () => {
    network.isOnline = false;
    network.target.dispatchEvent(new Event("offline"));
    connection.reconnectNow();
    expect(link()).toEqual({ kind: "offline", nextAttemptAtMs: null });
    await connect();

    expect(link().kind).toBe("connected");
  });

  it("ignores the network when the gateway is on the same device", async () => {
    connection.close();
    connection = create("ws://127.0.0.1:8000/connection/websocket");
    network.isOnline = false;
    connection.start({ epoch: "e", offset: 5 });
    await connect();
    network.target.dispatchEvent(new Event("offline"));
    expect(link().kind).toBe("connected");
    FakeSocket.last().fail();
    await tick();

    expect(link()).toMatchObject({
      kind: "reconnecting",
      nextAttemptAtMs: Date.now() + FLOOR_MS + BASE_MS / 2,
    });
    expect(["localhost", "a.localhost", "[::1]", "127.1.2.3"].map(isLoopback)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(["127.example.com", "10.0.0.1", "localhost.example.com"].map(isLoopback)).toEqual([
      ...[false, false, false],
    ]);
  });

  it("stops with the reason when the gateway closes with a code that forbids reconnecting", async () => {
    await connect();
    FakeSocket.last().fail(3500, "invalid token");
    await tick(60_000);

    expect(link()).toEqual({ kind: "stopped", cause: "invalid token" });
    expect(FakeSocket.made).toHaveLength(1);
    connection.reconnectNow();
    await connect();
    expect(link().kind).toBe("connected");
  });

  it("publishes with an idempotency key, and distinguishes a lost call from a rejection", async () => {
    await connect();

    await expect(connection.publish({}, "k")).resolves.toEqual({ epoch: "e", offset: 9, isDuplicate: false });
    FakeSocket.onCommand = (socket, { id }) =>
      socket.receive({ id, error: { code: 103, message: "permission denied" } });
    const rejected = await connection.publish({}, "k").catch(callError);
    FakeSocket.onCommand = () => undefined;
    const lost = connection.publish({}, "k").catch(callError);
    await tick();
    FakeSocket.last().fail();
    expect(rejected).toEqual({ code: 103, message: "permission denied", isTemporary: false });
    await expect(lost).resolves.toMatchObject({ isTemporary: true });
  });

  it("repeats a publication whose reply is invalid", async () => {
    await connect();

    for (const data of [null, { epoch: "e", offset: 9 }, { epoch: "e", offset: "9", duplicate: false }]) {
      FakeSocket.onCommand = (socket, { id }) => socket.receive({ id, rpc: { data } });
      const error = await connection.publish({}, "k").catch(callError);
      expect(error).toEqual({ code: 0, message: "invalid reply to gw.publish", isTemporary: true });
    }
  });

  it("stays closed, without timers and listeners", async () => {
    await connect();
    FakeSocket.last().fail();
    await tick();
    connection.close();
    expect(vi.getTimerCount()).toBe(0);
    const links = events.links.length;
    for (const type of ["offline", "online"]) {
      network.target.dispatchEvent(new Event(type));
    }
    connection.reconnectNow();
    await tick(60_000);

    expect([FakeSocket.made.length, events.links.length]).toEqual([1, links]);
  });
});

describe("the backoff", () => {
  it("is jitter between the floor and a bound that doubles up to the cap", () => {
    expect([0, 1, 2, 9].map((level) => delayMs(level, () => 0.999_999))).toEqual([
      ...[FLOOR_MS + 249, FLOOR_MS + 499, FLOOR_MS + 999, FLOOR_MS + CAP_MS - 1],
    ]);
    expect(delayMs(9, () => 0)).toBe(FLOOR_MS);
  });

  it("decreases only with the duration of a connection, so that a flapping gateway is not overloaded", () => {
    expect(levelAfter(2, STABLE_MS - 1)).toBe(2);
    expect(levelAfter(2, STABLE_MS)).toBe(1);
    expect(levelAfter(40, 60 * STABLE_MS)).toBe(0);
  });
});
