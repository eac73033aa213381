// `steadfast demo` as a user runs it: in a directory and at a port that stay the same when it is started again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { program } from "./paths.mjs";
import { TIMEOUT_MS, until } from "./until.mjs";

export class Run {
  #child;
  #port;
  #directory;
  stdout = "";

  static async start(directory) {
    const run = new Run();
    run.#directory = directory;
    run.#port = await findFreePort();
    await run.startAgain();
    return run;
  }

  async startAgain() {
    this.stdout = "";
    this.#child = spawn(program(), ["demo"], {
      cwd: this.#directory,
      env: { ...process.env, PORT: String(this.#port) },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text) => {
      this.stdout += text;
    });
    await until("the banner of the demo", () => {
      if (this.#child.exitCode !== null) {
        throw new Error(`it exited with code ${this.#child.exitCode}`);
      }
      return this.stdout.includes("Stop with");
    });
  }

  /** The printed address of the page. */
  get address() {
    const [address] = /http:\/\/\S+/u.exec(this.stdout) ?? [];
    return address;
  }

  /** Ends the demo without a chance to save anything, and its gateway with it. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** Stops the demo as Ctrl-C does, and returns the exit code. */
  async stop() {
    await this.#end("SIGINT");
    return this.#child.exitCode;
  }

  async #end(signal) {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit", { signal: AbortSignal.timeout(TIMEOUT_MS) });
      this.#child.kill(signal);
      await exited;
    }
  }
}

async function findFreePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
