// Paths: the project, the program under test, the browser, and the directory for results.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The results of a run; below the target directory, so never committed. */
export const RESULTS = join(ROOT, "target/browser");

/** The pictures of the documents. */
export const IMAGES = join(ROOT, "docs/images");

/** The program that the step `build` builds; `STEADFAST` sets another path. */
export function program() {
  const path = process.env.STEADFAST ?? join(targetFolder(), "debug/steadfast");
  if (!existsSync(path)) {
    throw new Error(`program not found at ${path}: run \`cargo xtask test --only web-build,build\``);
  }
  return path;
}

/** Cargo's target folder, which its configuration or `CARGO_TARGET_DIR` may set. */
function targetFolder() {
  const query = ["metadata", "--no-deps", "--format-version", "1"];
  const metadata = execFileSync("cargo", query, { cwd: ROOT, maxBuffer: 2 ** 26 });
  return JSON.parse(metadata).target_directory;
}

/** Debian's browser; `CHROMIUM` sets another path. */
export function chromium() {
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(path)) {
    throw new Error(`browser not found at ${path}: run \`cargo xtask setup\`, or set CHROMIUM to its path`);
  }
  return path;
}

/** Creates a new directory for one run. */
export async function makeRunDirectory(name) {
  await mkdir(RESULTS, { recursive: true });
  return mkdtemp(join(RESULTS, `${name}-`));
}
