// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Live, watchLive } from "../../src/feed/live";
import type { Link } from "../../src/state/model";
import { initial } from "../../src/state/state";
import { createStore, type Store } from "../../src/state/store";
import { FakeServer, report } from "./fake-server";

const LIVE = "GET demo/live";

let server: FakeServer;
let store: Store;
let stopping: AbortController;
let live: Live;

async function tick(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** The number of report requests within a time. */
async function requestsWithin(ms: number): Promise<number> {
  const before = server.count(LIVE);
  await tick(ms);
  return server.count(LIVE) - before;
}

function reconnect(): void {
  const picture = { epoch: "e", offset: 0, pixels: new Uint8Array(0), foreground: new Uint8Array(0) };
  link({ kind: "connected", sinceMs: 0 });
  store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
}

function loseConnection(): void {
  link({ kind: "connected", sinceMs: 0 });
  link({ kind: "reconnecting", attempt: 1, nextAttemptAtMs: null, cause: "" });
}

function link(to: Link): void {
  store.dispatch({ type: "linkChanged", link: to, self: null, nowMs: Date.now() });
}

beforeEach(async () => {
  vi.useFakeTimers({ now: 1_000_000 });
  server = new FakeServer();
  server.install();
  store = createStore(initial("Ada", 0));
  stopping = new AbortController();
  live = watchLive(store, stopping.signal);
  await tick();
});

afterEach(() => {
  stopping.abort();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("the live report", () => {
  it("is requested every second, and every 5 seconds while the page is hidden", async () => {
    expect(store.get().live).toMatchObject({ isStale: false, rates: [7] });
    // Until the numbers have settled, the requests are more frequent.
    expect(await requestsWithin(3_000)).toBe(15);
    expect(await requestsWithin(10_000)).toBe(10);
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    await tick(1_000);
    expect(await requestsWithin(10_000)).toBe(2);
  });

  it("is outdated while the server does not respond, and is kept", async () => {
    server.replies[LIVE] = "unreachable";
    await tick(1_000);

    expect(store.get().live).toMatchObject({ isStale: true, report: { messagesPerSecond: 7 } });
    server.replies[LIVE] = report();
    await tick(1_000);
    expect(store.get().live.isStale).toBe(false);
  });

  it("is not requested or used after the stop", async () => {
    let fail: (reason: Error) => void = () => undefined;
    const fetch = vi.fn().mockReturnValue(
      new Promise((_, reject) => {
        fail = reject;
      }),
    );
    vi.stubGlobal("fetch", fetch);
    await tick(1_000);
    stopping.abort();
    fail(new TypeError("failed to fetch"));
    await tick(10_000);

    expect(fetch).toHaveBeenCalledOnce();
    expect([store.get().live.isStale, vi.getTimerCount()]).toEqual([false, 0]);
  });
});

describe("a kill", () => {
  it("is compared with the report before it, and watched every 200 ms", async () => {
    await live.kill();
    expect(store.get().kill).toMatchObject({ kind: "recovering", outagesBefore: 0 });
    await tick(1_000);

    expect(await requestsWithin(2_000)).toBe(10);
    server.replies[LIVE] = report(1);
    loseConnection();
    await tick(200);
    expect(store.get().kill).toMatchObject({ kind: "recovering", clients: [{ hasReconnected: false }] });
    reconnect();
    await tick(200);
    expect(store.get().kill.kind).toBe("finished");
  });

  it("by another viewer is noticed when the connection is lost", async () => {
    reconnect();
    await tick(200);
    server.replies[LIVE] = report(1, "down");
    loseConnection();
    await tick();

    expect(store.get().kill).toMatchObject({ kind: "recovering", outagesBefore: 0 });
    expect(await requestsWithin(2_000)).toBe(10);
  });

  it("is rejected with the reason of the server", async () => {
    server.replies["POST demo/kill"] = { status: 409, body: {} };
    await live.kill();

    expect(store.get().kill).toEqual({
      kind: "rejected",
      reason: "The gateway is already down. It restarts automatically.",
      isTransient: true,
    });
  });

  it("is rejected when the server does not respond", async () => {
    server.replies["POST demo/kill"] = "unreachable";
    await live.kill();

    expect(store.get().kill).toEqual({
      ...{ kind: "rejected", reason: "The demo's server did not respond.", isTransient: true },
    });
    server.replies[LIVE] = report();
    await tick(1_000);
    expect(store.get().kill).toEqual({ kind: "idle" });
  });

  it("without an earlier report cannot be evaluated", async () => {
    const other = createStore(initial("Ada", 0));
    server.replies[LIVE] = "unreachable";
    await watchLive(other, stopping.signal).kill();

    expect(other.get().kill).toMatchObject({
      kind: "rejected",
      reason: expect.stringContaining("no earlier report"),
    });
  });
});
