import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as http from "../../src/feed/http";
import { FakeServer, ok } from "./fake-server";

let server: FakeServer;

beforeEach(() => {
  server = new FakeServer();
  server.install();
});

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("a request to the demo's server", () => {
  it("returns the parsed response", async () => {
    const config = await http.config();

    expect(config).toMatchObject({ channel: "canvas", width: 2 });
    expect(await http.picture(config)).toMatchObject({ epoch: "e", offset: 5 });
    expect(await http.live()).toMatchObject({ messagesPerSecond: 7 });
  });

  it("fails with the path and the reason", async () => {
    server.replies["GET demo/config"] = { status: 503, body: {} };
    await expect(http.config()).rejects.toThrow("demo/config returned HTTP status 503");
    server.replies["GET demo/live"] = ok({ clients: [] });
    await expect(http.live()).rejects.toThrow("demo/live returned an invalid response");
  });

  it("has a timeout, and is never cached", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout");
    const fetch = vi.spyOn(globalThis, "fetch");
    await http.config();

    expect(timeout).toHaveBeenCalledWith(5_000);
    expect(fetch).toHaveBeenCalledWith("demo/config", {
      method: "GET",
      cache: "no-store",
      signal: timeout.mock.results[0]?.value,
    });
  });
});

describe("a kill request", () => {
  it("returns null when the gateway was killed, else the reason and whether it can change", async () => {
    const rejections: (http.Rejection | null)[] = [];
    for (const status of [202, 403, 409, 500]) {
      server.replies["POST demo/kill"] = { status, body: {} };
      rejections.push(await http.kill());
    }

    expect(rejections).toEqual([
      null,
      { reason: "Killing the gateway is disabled in this demo.", isTransient: false },
      { reason: "The gateway is already down. It restarts automatically.", isTransient: true },
      { reason: "The demo's server returned HTTP status 500.", isTransient: true },
    ]);
  });
});
