// The walk-through of a user who follows the first screen of the README.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Demo } from "../src/demo.mjs";
import { ROOT } from "../src/paths.mjs";
import { TIMEOUT_MS } from "../src/until.mjs";
import { openBrowser } from "../src/user.mjs";

/** The lines that fit on one screen, with a picture. */
const SCREEN_LINES = 50;
const TIME = String.raw`\d+(\.\d+)? (ms|s)`;

const browser = await openBrowser();
after(() => browser.close());

test("the first screen of the README names the command, the address and the button", () => {
  const screen = firstScreen();

  assert.match(screen, /^make run$/mu);
  assert.match(screen, /<http:\/\/127\.0\.0\.1:8000>/u);
  assert.equal(button(screen), "Kill the gateway");
  const commands = execFileSync("make", ["--dry-run", "run"], { cwd: ROOT, encoding: "utf8" });
  assert.match(commands, /^cargo xtask run$/mu);
});

test("a user who starts the demo and clicks the button reads the result for every client", async (t) => {
  const demo = await Demo.start();
  t.after(() => demo.stop());
  assert.match(demo.stdout, /^Demo running at http:\/\/127\.0\.0\.1:\d+$/mu);
  const page = await browser.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);

  await page.goto(demo.address);
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByText("painter 5").first().waitFor();
  await page.getByRole("application").click();
  await page.getByText("All pixels that you drew are acknowledged").waitFor();
  await page.getByRole("button", { name: button(demo.stdout) }).click();
  await page.getByText("Reconnecting", { exact: true }).waitFor();
  await page.getByText("reconnected.").waitFor();

  // biome-ignore lint/performance/useDomNodeTextContent: the test checks the lines as rendered
  const panel = await page.locator("section", { hasText: "Kill the gateway" }).last().innerText();
  assert.match(panel, /The gateway is up/u);
  assert.match(panel, new RegExp(`The gateway was down for ${TIME}\\.`, "u"));
  assert.match(panel, /All 5 clients reconnected\./u);
  assert.match(panel, /0 acknowledged pixels were lost\./u);
  for (const client of ["painter 1", "painter 2", "painter 3", "painter 4", "painter 5", "this page"]) {
    assert.match(panel, new RegExp(`^${client}\\s+${TIME}$`, "mu"), panel);
  }
  await page.getByText(new RegExp(`^last outage ${TIME}$`, "u")).waitFor();
  assert.equal(await demo.stop(), 0, "Ctrl-C stops it with exit code 0");
});

function firstScreen() {
  return readFileSync(join(ROOT, "README.md"), "utf8").split("\n").slice(0, SCREEN_LINES).join("\n");
}

/** The name of the button in a text. */
function button(text) {
  return /press "(?<name>[^"]+)"/u.exec(text)?.groups.name;
}
