// The page with the report of a run of the lab: it needs no network, it can be read on a phone, on paper, with the
// keyboard and with a screen reader, and its plots are drawn.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runAxe } from "../src/accessibility.mjs";
import { LabRun } from "../src/lab-run.mjs";
import { IMAGES, RESULTS } from "../src/paths.mjs";
import { differences, REPORT, takeReport } from "../src/screenshots.mjs";
import { openBrowser } from "../src/user.mjs";

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const SECTIONS = [
  "checks",
  "timeline",
  "traffic",
  "latency",
  "recovery",
  "clients",
  "messages",
  "requests",
  "faults",
  "programs",
  "totals",
  "logs",
];

let browser;
let passed;
let failed;

before(async () => {
  browser = await openBrowser();
  passed = await LabRun.start();
  assert.equal(passed.exit, 0, passed.messages);
  failed = await passed.withoutOneDelivery();
});

after(() => browser?.close());

/** Opens a page without a network, and returns it with everything that it requested and reported. */
async function open(t, run, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, offline: true, ...options });
  t.after(() => context.close());
  const page = await context.newPage();
  const seen = { requests: [], messages: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => seen.messages.push(message.text()));
  page.on("pageerror", (error) => seen.messages.push(String(error)));
  await page.goto(run.page);
  return { page, seen };
}

test("a stored run with a lost delivery fails, and the page links the check to the publication", async (t) => {
  const { page } = await open(t, failed);

  assert.equal(failed.exit, 1);
  assert.match(await page.locator("h1").textContent(), /^FAIL: 1 of 10 required checks violated/u);
  await page.getByRole("link", { name: "no-acknowledged-message-lost", exact: true }).click();
  const evidence = page.locator(":target");
  assert.match(await evidence.textContent(), /lost: publication \d+ of chat-\d+ to chat-\d+/u);
  await evidence.getByRole("link", { name: "violations by delivery" }).click();
  assert.equal(await page.locator(":target tbody tr").count(), 1);
});

test("each fault opens to what its gateway printed around it, with a link to the whole log", async (t) => {
  const { page } = await open(t, passed);

  const logs = page.locator("#faults details");
  assert.equal(await logs.count(), 2, "one for each kill");
  for (const log of await logs.all()) {
    const lines = log.locator("pre");
    assert.ok(!(await lines.isVisible()), "it is collapsed");
    await log.locator("summary").click();
    assert.ok(await lines.isVisible());
    const text = await lines.textContent();
    assert.match(text, / s --- kill \d injected\n/u);
    assert.match(text, / s --- kill \d healed\n/u);
    assert.match(text, / s .*listening/u, "the gateway started again");
    const path = await log.getByRole("link").getAttribute("href");
    assert.ok(statSync(join(passed.directory, path)).size > 100, path);
  }
  assert.match(await page.locator("#programs tbody").textContent(), /gateway\s*steadfast \d/u);
});

test("the page requests nothing else and reports no error", async (t) => {
  for (const run of [passed, failed]) {
    const { page, seen } = await open(t, run);
    await page.locator("details").evaluateAll((all) => {
      for (const one of all) {
        one.open = true;
      }
    });
    await page.locator("summary").last().scrollIntoViewIfNeeded();

    const others = seen.requests.filter((url) => url !== run.page && !url.startsWith("data:"));
    assert.deepEqual(others, []);
    assert.deepEqual(seen.messages, []);
    assert.equal(await page.locator("script").count(), 0);
  }
});

for (const [device, viewport] of [
  ["a desktop", DESKTOP],
  ["a phone", PHONE],
]) {
  test(`plots are drawn and fit on ${device}`, async (t) => {
    const { page } = await open(t, passed, { viewport });

    const plots = await page.locator("svg.lines").all();
    assert.equal(plots.length, 3);
    for (const plot of plots) {
      const { x, width, height } = await plot.boundingBox();
      assert.ok(width > viewport.width / 2 && height > 100, `${width} by ${height}`);
      assert.ok(x >= 0 && x + width <= viewport.width, `from ${x} to ${x + width}`);
      const lengths = await plot
        .locator("path.line")
        .evaluateAll((lines) => lines.map((line) => line.getTotalLength()));
      assert.ok(lengths.filter((length) => length > 1_000).length >= 2, `lines of ${lengths}`);
    }
    for (const [selector, least] of [
      [".lane .bar", 2],
      [".client .up", 4],
      [".share rect", 10],
    ]) {
      assert.ok((await page.locator(selector).count()) >= least, selector);
    }
    const text = await page.locator("main").textContent();
    assert.match(text.trim(), /^PASS: no violation of \d+ required checks/u, "the verdict comes first");
    const cut = await page
      .locator("pre, .phase, .legend, #checks .scroll")
      .evaluateAll((all) =>
        all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent),
      );
    assert.deepEqual(cut, [], "parts that are cut");
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide`);
  });

  test(`axe finds no serious violation on ${device}, in light and dark`, async (t) => {
    const { page } = await open(t, failed, { viewport });
    await page.locator("summary").first().click();

    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { violations, checked } = await runAxe(page);
      assert.deepEqual(violations, [], colorScheme);
      assert.ok(
        checked.includes("color-contrast") && checked.includes("region"),
        "axe has checked the rules",
      );
    }
  });
}

test("the keyboard reaches every link, table and plot table", async (t) => {
  const { page } = await open(t, passed);

  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "To the checks");
  await page.locator("#timeline summary").focus();
  await page.keyboard.press("Enter");
  const rows = page.locator("#timeline tbody tr");
  await rows.first().waitFor();
  assert.ok((await rows.count()) >= 8, "one row for each second");
});

test("the printed page has every section and fits on A4", async (t) => {
  const { page } = await open(t, failed, { colorScheme: "dark" });

  const pdf = await page.pdf({ preferCSSPageSize: true, path: join(RESULTS, "lab-report.pdf") });
  await page.emulateMedia({ media: "print" });

  const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/gu).length;
  assert.ok(pages >= 2 && pages <= 20, `${pages} pages`);
  const boxes = new Set(pdf.toString("latin1").match(/\/MediaBox\s*\[[^\]]*\]/gu));
  assert.equal(boxes.size, 1);
  assert.match([...boxes][0], /59[45](?:\.\d+)? 84[12](?:\.\d+)?\]/u);
  for (const section of SECTIONS) {
    assert.ok(await page.locator(`#${section}`).isVisible(), section);
  }
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(background, "rgb(255, 255, 255)", "print is light, also in dark mode");
});

test("the picture of the documents shows the current page", async () => {
  mkdirSync(RESULTS, { recursive: true });

  const regions = await takeReport(browser, passed, RESULTS);

  assert.ok(regions.length > 5, "the picture has regions to compare");
  const found = await differences(join(IMAGES, REPORT.name), join(RESULTS, REPORT.name), regions);
  assert.deepEqual(found, [], `${REPORT.name} is outdated: run \`make pictures\``);
});

test("the page is small, and stored next to the other formats", () => {
  const size = (name) => statSync(join(passed.directory, name)).size;

  assert.ok(size("report.html") > 20_000 && size("report.html") < 300_000, `${size("report.html")} bytes`);
  for (const name of ["report.txt", "report.json", "report.xml", "history.txt", "run.json"]) {
    assert.ok(size(name) > 100, name);
  }
  assert.match(readFileSync(join(passed.directory, "report.xml"), "utf8"), /<testsuite name="gateway-kill"/u);
});
