// A run of the lab as a process, and its stored directory: renders it again, also with an event that is removed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeRunDirectory, program, ROOT } from "./paths.mjs";

/** A short run with two kills, of clients that need no other program. */
const ARGUMENTS = [
  ["--profile", "short", "--seed", "7", "-p", "kinds=steadfast"],
  ["-p", "baseline=1s", "-p", "duration=5s", "-p", "quiet=1s", "-p", "recovery_max=3s"],
].flat();

export class LabRun {
  /** The directory of the run. */
  directory;
  /** The exit code and the messages of the last command. */
  exit;
  messages;

  /** Runs the scenario `gateway-kill`, which takes about half a minute. */
  static async start() {
    const run = new LabRun();
    const parent = await makeRunDirectory("lab");
    await run.#steadfast(["run", "scenarios/gateway-kill.toml", ...ARGUMENTS, "--out", parent]);
    const [name] = await readdir(parent);
    if (name === undefined) {
      throw new Error(`no run: ${run.messages}`);
    }
    run.directory = join(parent, name);
    return run;
  }

  /** The page of the run as a URL. */
  get page() {
    return `file://${join(this.directory, "report.html")}`;
  }

  /** A copy of the run in which one client never received the first publication: a FAIL. */
  async withoutOneDelivery() {
    const run = new LabRun();
    run.directory = join(await makeRunDirectory("lab-loss"), "run");
    await cp(this.directory, run.directory, { recursive: true });
    const path = join(run.directory, "history.txt");
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    const lost = lines.findIndex((line) => / c\d+ delivered /u.test(line));
    lines.splice(lost, 1);
    const count = lines.findIndex((line) => line.startsWith("end "));
    const [, records, dropped] = lines[count].split(" ");
    lines[count] = `end ${Number(records) - 1} ${dropped}`;
    await writeFile(path, `${lines.join("\n")}\n`);
    await run.render();
    return run;
  }

  /** Renders the stored run again. */
  async render() {
    await this.#steadfast(["report", this.directory]);
  }

  async #steadfast(args) {
    // The page shows the command, which must not depend on the place of the program.
    const child = spawn(program(), ["lab", ...args], {
      cwd: ROOT,
      argv0: "steadfast",
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.messages = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.messages += text;
    });
    [this.exit] = await once(child, "close");
  }
}
