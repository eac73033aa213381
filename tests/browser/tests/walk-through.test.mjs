// What happens to somebody who has read the first screen of the README and nothing else.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Demo } from "../src/demo.mjs";
import { openBrowser } from "../src/person.mjs";
import { ROOT } from "../src/places.mjs";
import { PATIENCE_MS } from "../src/until.mjs";

/** As many lines as fit on a screen beside a picture. */
const SCREEN_LINES = 50;
const TIME = String.raw`\d+(\.\d+)? (ms|s)`;

const browser = await openBrowser();
after(() => browser.close());

test("the first screen of the README tells the command, the address and the button", () => {
  const screen = firstScreen();

  assert.match(screen, /^make run$/mu);
  assert.match(screen, /<http:\/\/127\.0\.0\.1:8000>/u);
  assert.equal(button(screen), "Kill the gateway");
  const commands = execFileSync("make", ["--dry-run", "run"], { cwd: ROOT, encoding: "utf8" });
  assert.match(commands, /^cargo xtask run$/mu);
});

test("who starts the demo and presses the button reads what became of everyone", async (t) => {
  const demo = await Demo.start();
  t.after(() => demo.stop());
  assert.match(demo.printed, /^Steadfast draws on http:\/\/127\.0\.0\.1:\d+$/mu);
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);

  await page.goto(demo.address);
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByText("painter 5").first().waitFor();
  await page.getByRole("application").click();
  await page.getByText("All that you drew is acknowledged").waitFor();
  await page.getByRole("button", { name: button(demo.printed) }).click();
  await page.getByText("Reconnecting", { exact: true }).waitFor();
  await page.getByText("came back.").waitFor();

  // biome-ignore lint/performance/useDomNodeTextContent: what is seen, line by line, is what is wanted
  const told = await page.locator("section", { hasText: "Kill the gateway" }).last().innerText();
  assert.match(told, /The gateway is up/u);
  assert.match(told, new RegExp(`The gateway was dead for ${TIME}\\.`, "u"));
  assert.match(told, /All 5 clients came back\./u);
  assert.match(told, /0 acknowledged pixels were lost\./u);
  for (const who of ["painter 1", "painter 2", "painter 3", "painter 4", "painter 5", "this page"]) {
    assert.match(told, new RegExp(`^${who}\\s+${TIME}$`, "mu"), told);
  }
  await page.getByText(new RegExp(`^was out ${TIME}$`, "u")).waitFor();
  assert.equal(await demo.stop(), 0, "Ctrl-C ends it in good order");
});

function firstScreen() {
  return readFileSync(join(ROOT, "README.md"), "utf8").split("\n").slice(0, SCREEN_LINES).join("\n");
}

/** The name of the button, as a text tells it. */
function button(text) {
  return /press "(?<name>[^"]+)"/u.exec(text)?.groups.name;
}
