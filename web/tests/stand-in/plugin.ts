// A stand-in for the demo's server while the page is worked on: `STAND_IN=8101 npm run dev` serves the page together
// with a real gateway on that port, five painters, and the demo's HTTP. Never part of what is built.

import { existsSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";
import { Application, CHANNEL, COLORS, HEIGHT, WIDTH } from "./application.ts";
import { Gateway } from "./gateway.ts";
import { Painter } from "./painter.ts";

const BINARY = process.env["STEADFAST"] ?? "../target/debug/steadfast";
const PAINTERS = 5;
const EVERY_MS = 150;

export function standIn(): Plugin {
  const port = Number(process.env["STAND_IN"] ?? "");
  const install = (middlewares: Connect.Server): void => {
    if (port > 0) {
      // A changed configuration makes the server anew in the same process: the gateway and the painters go on.
      running.standIn ??= serve(port);
      middlewares.use("/demo", running.standIn);
    }
  };
  return {
    name: "stand-in",
    configureServer: (server) => install(server.middlewares),
    configurePreviewServer: (server) => install(server.middlewares),
  };
}

const running = globalThis as { standIn?: Handler };

type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

function serve(port: number): Handler {
  if (!existsSync(BINARY)) {
    throw new Error(`no gateway at ${BINARY}: build it, or say where it is by STEADFAST`);
  }
  const gateway = new Gateway(BINARY, port, process.env["STAND_IN_STORE"] === "memory");
  process.once("exit", () => gateway.end());
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(0));
  }
  const application = new Application(gateway.url);
  const painters = Array.from(
    { length: PAINTERS },
    (_, index) => new Painter(gateway.url, index + 1, EVERY_MS),
  );
  return (request, response, next) => {
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(JSON.stringify(body));
    };
    switch (`${request.method} ${request.url}`) {
      case "GET /config":
        return answer(200, config(gateway));
      case "GET /picture": {
        const picture = application.picture();
        return answer(picture === null ? 503 : 200, picture ?? { error: "no position yet" });
      }
      case "GET /live":
        return answer(200, live(gateway, application, painters));
      case "POST /kill":
        return gateway.kill() ? answer(202, { killed: true }) : answer(409, { error: "already down" });
      default:
        return next();
    }
  };
}

function config(gateway: Gateway): object {
  return {
    gateway: gateway.url,
    channel: CHANNEL,
    width: WIDTH,
    height: HEIGHT,
    colors: COLORS,
    kill: true,
    dedupe_window_ms: 120_000,
  };
}

function live(gateway: Gateway, application: Application, painters: readonly Painter[]): object {
  const clients = painters.map((painter) => painter.row(application.seen, application.offset));
  const sum = (field: string): number => clients.reduce((total, client) => total + Number(client[field]), 0);
  const cuts = painters.flatMap((painter) => painter.cuts).sort((a, b) => b.at_ms - a.at_ms);
  return {
    now_ms: Date.now(),
    gateway: {
      state: gateway.state,
      pid: gateway.pid,
      kills: gateway.kills,
      down_since_ms: gateway.downSinceMs,
      last_outage_ms: gateway.lastOutageMs,
    },
    connections: clients.filter((client) => client["state"] === "connected").length + 1,
    messages_per_second: application.messagesPerSecond(),
    resumes: sum("resumed"),
    clients,
    owed: sum("owed"),
    lost: sum("lost"),
    acked: sum("acked"),
    duplicated: 0,
    disconnects: cuts.slice(0, 20),
  };
}
