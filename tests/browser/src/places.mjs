// Where things are: the project, the program that is tested, the browser, and the folder for what a run leaves.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What a run leaves for people to look at; below the target folder, so never tracked. */
export const RESULTS = join(ROOT, "target/browser");

/** The pictures of the documents. */
export const IMAGES = join(ROOT, "docs/images");

/** The program as the step `build` makes it; `STEADFAST` names another one. */
export function program() {
  const path = process.env.STEADFAST ?? join(ROOT, "target/debug/steadfast");
  if (!existsSync(path)) {
    throw new Error(`${path} is not built; \`cargo xtask test --only web-build,build\` does that`);
  }
  return path;
}

/** Debian's browser; `CHROMIUM` names another one. */
export function chromium() {
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(path)) {
    throw new Error(`${path} is not there; \`cargo xtask setup\` installs it, or CHROMIUM names another one`);
  }
  return path;
}

/** A fresh folder for one run. */
export async function scratch(name) {
  await mkdir(RESULTS, { recursive: true });
  return mkdtemp(join(RESULTS, `${name}-`));
}
