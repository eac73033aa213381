// Starts the real gateway, and starts it again a second after it died. For development without the demo itself.

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
  #isEnding = false;
  kills = 0;
  downSinceMs: number | null = null;
  lastOutageMs: number | null = null;

  /** In memory every restart is a gap for all who were connected. */
  constructor(binary: string, port: number, isInMemory: boolean) {
    const folder = mkdtempSync(join(tmpdir(), "stand-in-"));
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

  /** False when it is down already. */
  kill(): boolean {
    if (this.state !== "up") {
      return false;
    }
    this.kills += 1;
    this.#process?.kill("SIGKILL");
    return true;
  }

  end(): void {
    this.#isEnding = true;
    this.#process?.kill("SIGKILL");
  }

  #start(): void {
    const child = spawn(this.#binary, this.#arguments, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process = child;
    // The first line on stdout says that it serves.
    child.stdout.once("data", () => {
      if (this.downSinceMs !== null) {
        this.lastOutageMs = Date.now() - this.downSinceMs;
        this.downSinceMs = null;
      }
    });
    child.once("exit", () => {
      this.#process = null;
      this.downSinceMs ??= Date.now();
      if (!this.#isEnding) {
        setTimeout(() => this.#start(), RESTART_MS);
      }
    });
  }
}
