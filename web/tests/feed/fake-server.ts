// A fake of the demo's HTTP server: replaces `fetch`, and responds with the replies that the test sets.

import { vi } from "vitest";

/** A status with its body; "unreachable" fails the request. */
type Reply = { readonly status: number; readonly body: unknown } | "unreachable";

export class FakeServer {
  readonly requests: string[] = [];
  readonly replies: Record<string, Reply> = {
    "GET demo/config": ok({
      ...{
        gateway: "ws://here",
        port: 8100,
        channel: "canvas",
        width: 2,
        height: 2,
        colors: ["#000000", "#ffffff"],
        color_names: ["black", "white"],
      },
      ...{ is_kill_allowed: true, dedup_window_ms: 120_000 },
    }),
    "GET demo/picture": picture(5),
    "GET demo/live": report(),
    "POST demo/kill": { status: 202, body: { killed: true } },
  };

  install(): void {
    vi.stubGlobal("fetch", async (path: string, { method }: { method: string }) => {
      const request = `${method} ${path}`;
      this.requests.push(request);
      const reply = this.replies[request];
      if (reply === undefined || reply === "unreachable") {
        throw new TypeError("failed to fetch");
      }
      return new Response(JSON.stringify(reply.body), { status: reply.status });
    });
  }

  count(request: string): number {
    return this.requests.filter((other) => other === request).length;
  }
}

export function ok(body: unknown): Reply {
  return { status: 200, body };
}

/** A blank picture of 2 by 2 pixels. */
export function picture(offset: number, epoch = "e"): Reply {
  return ok({
    epoch,
    offset,
    width: 2,
    height: 2,
    pixels: btoa("\xff\xff\xff\xff"),
    foreground: btoa("\0\0\0\0"),
  });
}

export function report(outages = 0, state = "up"): Reply {
  return ok({ now_ms: 1, gateway: { state, outages }, clients: [], messages_per_second: 7 });
}
