// `steadfast demo` as a process: starts it in a separate directory, reads its report, kills its gateway, stops it.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeRunDirectory, program } from "./paths.mjs";
import { TIMEOUT_MS, until } from "./until.mjs";

export class Demo {
  #child;
  #directory;
  stdout = "";
  stderr = "";

  /** Starts the demo as `make run` does, on a free port, and waits for its banner. */
  static async start({ painters } = {}) {
    const demo = new Demo();
    demo.#directory = await makeRunDirectory("demo");
    const choice = painters === undefined ? [] : ["--painters", String(painters)];
    demo.#child = spawn(program(), ["demo", ...choice], {
      cwd: demo.#directory,
      env: { ...process.env, PORT: "0" },
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

  /** The printed URL for clients of the gateway, at the port of the page. */
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
    const release = await this.holdPort();
    process.kill(gateway.pid, "SIGKILL");
    return release;
  }

  /**
   * Keeps the port of an exiting gateway closed: the next gateway waits for its configuration, whose file is a FIFO until
   * the returned function is called. A start that fails would not do, because the demo exits after three of them.
   */
  async holdPort() {
    const configuration = join(this.#directory, "steadfast-data/demo/gateway.toml");
    const [original, fifo] = [`${configuration}.original`, `${configuration}.fifo`];
    execFileSync("mkfifo", [fifo]);
    await rename(configuration, original);
    await rename(fifo, configuration);
    let isHeld = true;
    return async () => {
      if (isHeld) {
        isHeld = false;
        await rename(configuration, fifo);
        await rename(original, configuration);
        await writeToReader(fifo, await readFile(configuration));
        await rm(fifo);
      }
    };
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

/** Writes to a FIFO if a process is waiting to read it. */
async function writeToReader(fifo, bytes) {
  const file = await open(fifo, constants.O_WRONLY | constants.O_NONBLOCK).catch((error) => {
    if (error.code !== "ENXIO") {
      throw error;
    }
  });
  await file?.writeFile(bytes);
  await file?.close();
}
