// `steadfast demo` as a process: starts it in a separate directory, reads its report, kills its gateway, stops it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { makeRunDirectory, program } from "./paths.mjs";
import { TIMEOUT_MS, until } from "./until.mjs";

/** The ports of the demos: below the ephemeral ports, so that no outgoing connection uses one of them. */
const PORTS_FROM = 20_000;
const PORTS = 10_000;

export class Demo {
  #child;
  #directory;
  #port;
  stdout = "";
  stderr = "";

  /** Starts the demo as `make run` does, on a free port, and waits for its banner. */
  static async start({ painters } = {}) {
    const demo = new Demo();
    demo.#directory = await makeRunDirectory("demo");
    demo.#port = await findFreePorts();
    const choice = painters === undefined ? [] : ["--painters", String(painters)];
    demo.#child = spawn(program(), ["demo", ...choice], {
      cwd: demo.#directory,
      env: { ...process.env, PORT: String(demo.#port) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    demo.#child.stdout.setEncoding("utf8").on("data", (text) => {
      demo.stdout += text;
    });
    demo.#child.stderr.setEncoding("utf8").on("data", (text) => {
      demo.stderr += text;
    });
    try {
      await until("the banner of the demo", () => {
        demo.#assertRunning();
        return demo.stdout.includes("Stop with");
      });
    } catch (error) {
      await demo.stop();
      throw new Error(`${error.message}; output: ${demo.stdout}${demo.stderr}`);
    }
    if (!(await (await fetch(demo.address)).text()).includes("app.js")) {
      await demo.stop();
      throw new Error(
        "the program was built without the page; run `cargo xtask test --only web-build,build`",
      );
    }
    return demo;
  }

  /** The printed address of the page. */
  get address() {
    const [address] = /http:\/\/\S+/u.exec(this.stdout) ?? [];
    return address;
  }

  get gateway() {
    const [url] = /ws:\/\/\S+/u.exec(this.stdout) ?? [];
    return url;
  }

  /** The live report. */
  live() {
    return this.#get("demo/live");
  }

  /** The server's picture with its position. */
  picture() {
    return this.#get("demo/picture");
  }

  config() {
    return this.#get("demo/config");
  }

  /** Kills the gateway, and prevents its restart until the returned function is called. */
  async holdGatewayDown() {
    const { gateway } = await until("a running gateway", async () => {
      const live = await this.live();
      return live.gateway.state === "up" && live;
    });
    process.kill(gateway.pid, "SIGKILL");
    return this.holdPort();
  }

  /** Occupies the port of an exiting gateway, so that it cannot restart; returns a function that releases the port. */
  holdPort() {
    return until("the port of the killed gateway", () => occupyPort(this.#port + 1));
  }

  /** Stops the demo as Ctrl-C does, and returns the exit code. */
  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit", { signal: AbortSignal.timeout(TIMEOUT_MS) });
      this.#child.kill("SIGINT");
      await exited.catch(() => this.#child.kill("SIGKILL"));
    }
    await rm(this.#directory, { recursive: true, force: true });
    return this.#child.exitCode;
  }

  async #get(path) {
    const response = await fetch(`${this.address}/${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) {
      throw new Error(`${path} returned HTTP status ${response.status}`);
    }
    return response.json();
  }

  #assertRunning() {
    if (this.#child.exitCode !== null) {
      throw new Error(`it exited with code ${this.#child.exitCode}`);
    }
  }
}

/** Finds two consecutive free ports, for the page and the gateway. */
async function findFreePorts() {
  const first = PORTS_FROM + ((process.pid * 2) % PORTS);
  for (let port = first; port < first + 1_000; port += 2) {
    try {
      const pair = [await occupyPort(port), await occupyPort(port + 1)];
      await Promise.all(pair.map((release) => release()));
      return port;
    } catch {
      // A port is in use: the next pair is tried.
    }
  }
  throw new Error("no two consecutive free ports");
}

/** Listens on a port and closes all connections; returns an idempotent function that releases the port. */
async function occupyPort(port) {
  const server = createServer((socket) => socket.destroy());
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return async () => {
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  };
}
