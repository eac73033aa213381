// Replaces the demo's server during development of the page: `DEV_GATEWAY_PORT=8101 npm run dev` serves the page with a
// real gateway on that port, five painters, and the HTTP API of the demo. This plugin is not part of the build.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Connect, Plugin } from "vite";
import { Application, CHANNEL, COLOR_NAMES, COLORS, HEIGHT, WIDTH } from "./application.ts";
import { Gateway } from "./gateway.ts";
import { Painter } from "./painter.ts";

const PAINTERS = 5;
const EVERY_MS = 150;
const STARTED_MS = Date.now();

export function devServer(): Plugin {
  const port = Number(process.env["DEV_GATEWAY_PORT"] ?? "");
  const install = (middlewares: Connect.Server): void => {
    if (port > 0) {
      // A changed configuration recreates Vite's server in the same process; the gateway and the painters keep running.
      running.devServer ??= serve(port);
      middlewares.use("/demo", running.devServer);
    }
  };
  return {
    name: "dev-server",
    configureServer: (server) => install(server.middlewares),
    configurePreviewServer: (server) => install(server.middlewares),
  };
}

const running = globalThis as { devServer?: Handler };

type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

function serve(port: number): Handler {
  const binary = process.env["STEADFAST"] ?? builtBinary();
  if (!existsSync(binary)) {
    throw new Error(`gateway not found at ${binary}: run \`cargo build\`, or set STEADFAST to its path`);
  }
  const gateway = new Gateway(binary, port, process.env["DEV_GATEWAY_STORE"] === "memory");
  process.once("exit", () => gateway.stop());
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(0));
  }
  const application = new Application(gateway.url);
  const painters = Array.from(
    { length: PAINTERS },
    (_, index) => new Painter(gateway.url, index + 1, EVERY_MS),
  );
  return (request, response, next) => {
    const respond = (status: number, body: object): void => {
      response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(JSON.stringify(body));
    };
    switch (`${request.method} ${request.url}`) {
      case "GET /config":
        return respond(200, config(gateway));
      case "GET /picture": {
        const picture = application.picture();
        return respond(picture === null ? 503 : 200, picture ?? { error: "the picture has no position yet" });
      }
      case "GET /live":
        return respond(200, live(gateway, application, painters));
      case "POST /kill":
        return gateway.kill()
          ? respond(202, { killed: true })
          : respond(409, { error: "the gateway is already down" });
      default:
        return next();
    }
  };
}

/** The path at which cargo builds the gateway; the target folder is configurable. */
function builtBinary(): string {
  const query = ["metadata", "--no-deps", "--format-version", "1"];
  const project = fileURLToPath(new URL("../../..", import.meta.url));
  const metadata = execFileSync("cargo", query, { cwd: project, maxBuffer: 2 ** 26, encoding: "utf8" });
  const { target_directory: target } = JSON.parse(metadata) as { target_directory: string };
  return join(target, "debug/steadfast");
}

function config(gateway: Gateway): object {
  return {
    gateway: gateway.url,
    channel: CHANNEL,
    width: WIDTH,
    height: HEIGHT,
    port: null,
    colors: COLORS,
    color_names: COLOR_NAMES,
    is_kill_allowed: true,
    dedup_window_ms: 120_000,
  };
}

function live(gateway: Gateway, application: Application, painters: readonly Painter[]): object {
  const clients = painters.map((painter) => painter.report(application.received, application.offset));
  const sum = (field: string): number => clients.reduce((total, client) => total + Number(client[field]), 0);
  const disconnects = painters.flatMap((painter) => painter.disconnects).sort((a, b) => b.at_ms - a.at_ms);
  return {
    now_ms: Date.now(),
    started_ms: STARTED_MS,
    gateway: {
      state: gateway.state,
      pid: gateway.pid,
      kills: gateway.kills,
      outages: gateway.outages,
      down_since_ms: gateway.downSinceMs,
      last_outage_ms: gateway.lastOutageMs,
    },
    connections: clients.filter((client) => client["state"] === "connected").length + 1,
    messages_per_second: application.messagesPerSecond(),
    resumes: sum("resumed"),
    clients,
    undelivered: sum("undelivered"),
    lost: sum("lost"),
    acked: sum("acked"),
    duplicated: 0,
    disconnects: disconnects.slice(0, 20),
  };
}
