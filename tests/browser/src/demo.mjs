// `steadfast demo` as a process: started in a folder of its own, asked for its books, broken from outside, ended.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { program, scratch } from "./places.mjs";
import { PATIENCE_MS, until } from "./until.mjs";

/** Below the ports of outgoing connections, so that nobody gets one of these by chance. */
const PORTS_FROM = 20_000;
const PORTS = 10_000;

export class Demo {
  #child;
  #folder;
  #port;
  /** What it printed for people, and what it said besides. */
  printed = "";
  said = "";

  /** Starts it as `make run` does, on a port of its own, and waits for its greeting. */
  static async start({ painters } = {}) {
    const demo = new Demo();
    demo.#folder = await scratch("demo");
    demo.#port = await freePair();
    const choice = painters === undefined ? [] : ["--painters", String(painters)];
    demo.#child = spawn(program(), ["demo", ...choice], {
      cwd: demo.#folder,
      env: { ...process.env, PORT: String(demo.#port) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    demo.#child.stdout.setEncoding("utf8").on("data", (text) => {
      demo.printed += text;
    });
    demo.#child.stderr.setEncoding("utf8").on("data", (text) => {
      demo.said += text;
    });
    try {
      await until("the greeting of the demo", () => {
        demo.#mustLive();
        return demo.printed.includes("Stop with");
      });
    } catch (error) {
      await demo.stop();
      throw new Error(`${error.message}; it said: ${demo.printed}${demo.said}`);
    }
    if (!(await (await fetch(demo.address)).text()).includes("app.js")) {
      await demo.stop();
      throw new Error("the program holds no page; `cargo xtask test --only web-build,build` makes both");
    }
    return demo;
  }

  /** The address that it printed. */
  get address() {
    const [address] = /http:\/\/\S+/u.exec(this.printed) ?? [];
    return address;
  }

  get gateway() {
    const [url] = /ws:\/\/\S+/u.exec(this.printed) ?? [];
    return url;
  }

  /** The books of the demo's own clients. */
  live() {
    return this.#ask("demo/live");
  }

  /** The picture of the application, with its position. */
  picture() {
    return this.#ask("demo/picture");
  }

  config() {
    return this.#ask("demo/config");
  }

  /** Kills the gateway from outside and keeps it away until the returned function is called. */
  async keepAway() {
    const { gateway } = await until("a gateway to kill", async () => {
      const live = await this.live();
      return live.gateway.state === "up" && live;
    });
    process.kill(gateway.pid, "SIGKILL");
    return this.holdPort();
  }

  /** Takes the port of a gateway that is dying, so that it cannot come back; returns how to let it. */
  holdPort() {
    return until("the port of the dead gateway", () => takePort(this.#port + 1));
  }

  /** As Ctrl-C does; the exit code. */
  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, "exit", { signal: AbortSignal.timeout(PATIENCE_MS) });
      this.#child.kill("SIGINT");
      await ended.catch(() => this.#child.kill("SIGKILL"));
    }
    await rm(this.#folder, { recursive: true, force: true });
    return this.#child.exitCode;
  }

  async #ask(path) {
    const answer = await fetch(`${this.address}/${path}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) {
      throw new Error(`${path} answered ${answer.status}`);
    }
    return answer.json();
  }

  #mustLive() {
    if (this.#child.exitCode !== null) {
      throw new Error(`it ended with ${this.#child.exitCode}`);
    }
  }
}

/** Two ports in a row that nobody listens on: of the page and of its gateway. */
async function freePair() {
  const first = PORTS_FROM + ((process.pid * 2) % PORTS);
  for (let port = first; port < first + 1_000; port += 2) {
    try {
      const pair = [await takePort(port), await takePort(port + 1)];
      await Promise.all(pair.map((giveBack) => giveBack()));
      return port;
    } catch {
      // Somebody's; the next pair.
    }
  }
  throw new Error("no two free ports in a row");
}

/** Listens on a port and hangs up on everyone; returns how to give the port back, which may be done twice. */
async function takePort(port) {
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
