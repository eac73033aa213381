// The walk-through of a user who follows the first screen of the README.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { makeRunDirectory, ROOT } from "../src/paths.mjs";
import { Run } from "../src/run.mjs";
import { TIMEOUT_MS } from "../src/until.mjs";
import { openBrowser } from "../src/user.mjs";

/** The lines that fit on one screen, with a picture. */
const SCREEN_LINES = 50;
const TIME = String.raw`\d+(\.\d+)? (ms|s)`;

/** The next free cell in the middle of the canvas, relative to its size. */
let drawn = 0;
function nextCell({ x, y, width, height }) {
  drawn += 1;
  return {
    x: x + width * (0.4 + ((drawn % 12) + 0.5) / 64),
    y: y + height * (0.4 + (Math.floor(drawn / 12) + 0.5) / 64),
  };
}

const MOUSE = {
  draw: async (page) => {
    const { x, y } = nextCell(await page.getByRole("application").boundingBox());
    await page.mouse.click(x, y);
  },
  kill: (button) => button.click(),
};

const FINGER = {
  draw: async (page) => {
    const { x, y } = nextCell(await page.getByRole("application").boundingBox());
    await page.touchscreen.tap(x, y);
  },
  kill: (button) => button.tap(),
};

/** From the canvas, Tab reaches the button, and Shift+Tab returns. */
const KEYBOARD = {
  draw: async (page) => {
    await tabTo(page.getByRole("application"), "Shift+Tab");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
  },
  kill: async (button) => {
    await tabTo(button, "Tab");
    await button.page().keyboard.press("Enter");
  },
};

async function tabTo(element, key) {
  const isFocused = () => element.evaluate((it) => it === document.activeElement);
  for (let presses = 0; presses < 20 && !(await isFocused()); presses += 1) {
    await element.page().keyboard.press(key);
  }
  assert.ok(await isFocused(), `${key} reaches ${element}`);
}

const browser = await openBrowser();
after(() => browser.close());

test("the first screen of the README names the command, the address and the button", () => {
  const screen = firstScreen();

  assert.match(screen, /^make run$/mu);
  assert.match(screen, /<http:\/\/127\.0\.0\.1:8000>/u);
  assert.equal(buttonName(screen), "Kill the gateway");
  const commands = execFileSync("make", ["--dry-run", "run"], { cwd: ROOT, encoding: "utf8" });
  assert.match(commands, /^cargo xtask run$/mu);
});

describe("a user who starts the demo, draws, and clicks the button", () => {
  let run;
  let page;

  before(async () => {
    run = await Run.start(await makeRunDirectory("walk-through"));
  });
  after(() => run?.kill());
  afterEach(() => page?.context().close());

  for (const [device, options, hand] of [
    ["on a laptop", { viewport: { width: 1280, height: 680 } }, MOUSE],
    ["on a phone", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }, FINGER],
    [
      "on a phone on its side",
      { viewport: { width: 844, height: 390 }, hasTouch: true, isMobile: true },
      FINGER,
    ],
    ["with the keyboard alone", { viewport: { width: 1280, height: 680 } }, KEYBOARD],
  ]) {
    test(`${device} sees the canvas, the button and the result of each kill together`, async () => {
      assert.match(run.stdout, /^Demo running at http:\/\/127\.0\.0\.1:\d+$/mu);
      page = await open(options);

      await isInWindow(page.getByRole("application"));
      await isInWindow(page.getByText("Hollow pixels are not acknowledged yet."));
      for (let kills = 1; kills <= 2; kills += 1) {
        await hand.draw(page);
        await page.getByText("All pixels that you drew are acknowledged").waitFor();
        const button = page.getByRole("button", { name: buttonName(run.stdout) });
        await isInWindow(button);
        await areApart(page.getByRole("application"), page.locator(".kill"));
        await areApart(page.locator(".palette"), page.locator(".kill"));
        await hand.kill(button);
        await page.getByText("Reconnecting", { exact: true }).waitFor();
        await isInWindow(page.getByText("The gateway is down"));
        await hand.draw(page);
        await isInWindow(page.getByText(/^\d pixels? waiting for a connection, stored in this browser$/u));
        await page.getByText(/last outage/u).waitFor();
        await isInWindow(page.getByText("All 6 clients reconnected."));
        await isInWindow(page.getByText("0 acknowledged pixels were lost."));
        await isInWindow(page.getByText("The gateway is up"));
        await isInWindow(page.getByRole("application"));
      }

      assert.match(
        await page.getByTestId("verdict").textContent(),
        new RegExp(`^The gateway was down for ${TIME}\\.`, "u"),
      );
      const rows = await page.locator(".clients tbody tr").allTextContents();
      assert.equal(rows.length, 6);
      for (const row of rows) {
        assert.match(row, new RegExp(`^(painter \\d|this page)${TIME}connected, longest ${TIME}$`, "u"));
      }
    });
  }

  test("at 150 % in a laptop's window sees the canvas and all controls together", async () => {
    page = await open({ viewport: { width: 853, height: 453 } });
    const controls = [
      page.getByRole("application"),
      page.locator(".palette"),
      page.getByText("All pixels that you drew are acknowledged"),
      page.getByRole("button", { name: "My pixels" }),
      page.getByRole("button", { name: "Clear" }),
    ];

    const panel = page.locator(".kill");
    await isInWindow(panel);
    for (const control of controls) {
      await isInWindow(control);
      await areApart(control, panel);
    }
  });

  test("has bars of downtime of at least 120 px", async () => {
    page = await open({ viewport: { width: 1920, height: 1080 } });

    for (const [width, height] of [
      [1_920, 1_080],
      [910, 680],
      [768, 1_024],
    ]) {
      await page.setViewportSize({ width, height });
      const bar = await page.locator(".clients .bar svg").first().boundingBox();
      assert.ok(bar.width >= 120, `${bar.width} px in a window of ${width} by ${height} px`);
    }
  });

  test("never scrolls sideways, also in a narrow window", async () => {
    page = await open({ viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true });

    for (const [width, height] of [
      ...[320, 390, 768, 901, 1_280].map((wide) => [wide, 680]),
      ...[320, 540, 667, 844].map((wide) => [wide, 390]),
    ]) {
      await page.setViewportSize({ width, height });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px in a window of ${width} by ${height} px`);
    }
  });

  test("sees at the top that the demo does not respond, and the picture again after the second start", async () => {
    page = await open({ viewport: { width: 1280, height: 680 } });
    await MOUSE.draw(page);
    await page.getByText("All pixels that you drew are acknowledged").waitFor();
    const button = page.getByRole("button", { name: "Kill the gateway" });
    await run.kill();

    const alert = page.getByRole("alert").getByText("The demo does not respond at this address.");
    await isInWindow(alert);
    await page
      .getByRole("alert")
      .getByText(`PORT=${new URL(run.address).port} make run`)
      .waitFor();
    await page.locator(".clients tr.disconnected").nth(5).waitFor();
    assert.equal(await page.getByTestId("verdict").textContent(), "", "no result of an earlier kill");
    assert.equal(await button.getAttribute("aria-disabled"), "true");
    assert.equal(await page.getByText("The gateway is up").count(), 0);
    await button.click({ force: true });
    await MOUSE.draw(page);
    await run.startAgain();

    await alert.waitFor({ state: "detached" });
    await page.getByText("The gateway is up").waitFor();
    await page.getByText("All pixels that you drew are acknowledged").waitFor();
    assert.deepEqual(await page.locator(".bad:visible").allTextContents(), [], "no error is left");
    const { foreground } = await (await fetch(`${run.address}/demo/picture`)).json();
    const drawn = Buffer.from(foreground, "base64").filter((byte) => byte === 1).length;
    assert.ok(drawn >= 10, `${drawn} pixels of users after the second start`);
    assert.equal(await run.stop(), 0, "Ctrl-C stops it with exit code 0");
  });

  async function open(options) {
    const opened = await browser.newPage({ reducedMotion: "reduce", ...options });
    opened.setDefaultTimeout(TIMEOUT_MS);
    await opened.goto(run.address);
    await opened.getByText("Connected", { exact: true }).waitFor();
    await opened.getByText("painter 5").first().waitFor();
    return opened;
  }
});

/** Waits until an element is visible, and asserts that it is in the window without scrolling. */
async function isInWindow(element) {
  await element.waitFor();
  const { box, width, height } = await element.evaluate((it) => {
    const { left, top, right, bottom } = it.getBoundingClientRect();
    return { box: { left, top, right, bottom }, width: innerWidth, height: innerHeight };
  });
  const isInside = box.left >= 0 && box.top >= 0 && box.right <= width && box.bottom <= height;
  assert.ok(isInside, `${element} is outside of the window: ${JSON.stringify(box)}`);
}

/** Asserts that two elements do not overlap. */
async function areApart(one, other) {
  const [a, b] = await Promise.all([one.boundingBox(), other.boundingBox()]);
  const isApart =
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
  assert.ok(isApart, `${one} and ${other} overlap: ${JSON.stringify([a, b])}`);
}

function firstScreen() {
  return readFileSync(join(ROOT, "README.md"), "utf8").split("\n").slice(0, SCREEN_LINES).join("\n");
}

/** The name of the button in a text. */
function buttonName(text) {
  return /press "(?<name>[^"]+)"/u.exec(text)?.groups.name;
}
