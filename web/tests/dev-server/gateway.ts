// Starts the real gateway, and restarts it one second after it exits. Used for development without the demo's server.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RESTART_MS = 1_000;

export class Gateway {
  readonly url: string;
  readonly #binary: string;
  readonly #arguments: readonly string[];
  #process: ChildProcess | null = null;
  #isStopping = false;
  kills = 0;
  outages = 0;
  downSinceMs: number | null = null;
  lastOutageMs: number | null = null;

  /** With a store in memory, every restart is a gap for all connected clients. */
  constructor(binary: string, port: number, isInMemory: boolean) {
    const folder = mkdtempSync(join(tmpdir(), "dev-server-"));
    const config = join(folder, "gateway.toml");
    writeFileSync(config, '[server]\nallowed_origins = ["http://*"]\n\n[client]\nanonymous_info = true\n');
    this.#binary = binary;
    const store = isInMemory ? ["--memory"] : ["--data", join(folder, "data")];
    this.#arguments = ["serve", "--config", config, "--port", String(port), "--json", ...store];
    this.url = `ws://127.0.0.1:${port}/connection/websocket`;
    this.#start();
  }

  get state(): "up" | "down" | "starting" {
    if (this.#process === null) {
      return "down";
    }
    return this.downSinceMs === null ? "up" : "starting";
  }

  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Returns false when the gateway is already down. */
  kill(): boolean {
    if (this.state !== "up") {
      return false;
    }
    this.kills += 1;
    this.#process?.kill("SIGKILL");
    return true;
  }

  stop(): void {
    this.#isStopping = true;
    this.#process?.kill("SIGKILL");
  }

  #start(): void {
    const child = spawn(this.#binary, this.#arguments, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    // The gateway prints the first line on stdout when it is ready.
    child.stdout.once("data", () => {
      if (this.downSinceMs !== null) {
        this.lastOutageMs = Date.now() - this.downSinceMs;
        this.downSinceMs = null;
      }
    });
    child.once("exit", () => {
      this.#process = null;
      this.outages += this.downSinceMs === null ? 1 : 0;
      this.downSinceMs ??= Date.now();
      if (!this.#isStopping) {
        setTimeout(() => this.#start(), RESTART_MS);
      }
    });
  }
}
