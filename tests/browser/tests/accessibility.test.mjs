// The page with the keyboard, with a screen reader, and on a touch screen.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runAxe } from "../src/accessibility.mjs";
import { Demo } from "../src/demo.mjs";
import { until } from "../src/until.mjs";
import { openBrowser, User } from "../src/user.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let browser;
let demo;
let config;

before(async () => {
  browser = await openBrowser();
  // Without painters, all pixels of the picture are drawn by these tests.
  demo = await Demo.start({ painters: 0 });
  config = await demo.config();
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

test("keys move, paint and change the colour, and each is announced", async (t) => {
  const kim = await User.open(browser, demo, "Kim");
  t.after(() => kim.close());
  const press = (key) => kim.page.keyboard.press(key);

  await kim.part("board").focus();
  await kim.waitForText("announcement", /^Column 33, row 33: empty$/u);
  await press("ArrowRight");
  await press("Shift+ArrowDown");
  await kim.waitForText("announcement", /^Column 34, row 41: empty$/u);
  await press("]");
  await kim.waitForText("announcement", /^Colour orange$/u);
  await press("Enter");
  await kim.waitForText("announcement", /^Column 34, row 41 painted orange$/u);
  await press("ArrowLeft");
  await press("[");
  await press("Space");

  await kim.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  await painted([
    [33, 40, 6],
    [32, 40, 5],
  ]);
});

test("each colour has the name that the demo gives it", async (t) => {
  const kim = await User.open(browser, demo, "Kim");
  t.after(() => kim.close());

  const names = await kim.page.locator(".palette label").allTextContents();

  assert.equal(names.length, config.colors.length);
  assert.deepEqual(names, config.color_names);
});

test("a finger draws a line", async (t) => {
  const finn = await User.open(browser, demo, "Finn", PHONE);
  t.after(() => finn.close());
  await finn.part("board").scrollIntoViewIfNeeded();
  const from = await finn.pointOf({ x: 10, y: 20 }, config);
  const to = await finn.pointOf({ x: 15, y: 20 }, config);
  const devtools = await finn.page.context().newCDPSession(finn.page);
  const touch = (type, ...touchPoints) => devtools.send("Input.dispatchTouchEvent", { type, touchPoints });

  await touch("touchStart", from);
  await touch("touchMove", { x: (from.x + to.x) / 2, y: from.y });
  await touch("touchMove", to);
  await touch("touchEnd");

  await finn.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  await painted([10, 11, 12, 13, 14, 15].map((x) => [x, 20, 5]));
});

for (const [device, options] of [
  ["a desktop", {}],
  ["a phone", PHONE],
]) {
  test(`axe finds no serious violation on ${device}, in light and dark, before, during and after a kill`, async (t) => {
    const kim = await User.open(browser, demo, "Kim", options);
    t.after(() => kim.close());

    await isAccessible(kim.page);
    const releasePort = await demo.holdGatewayDown();
    t.after(releasePort);
    await kim.waitForLink("reconnecting");
    await isAccessible(kim.page);
    await releasePort();
    await kim.waitForLink("connected");
    await kim.killButton().and(kim.page.locator('[aria-disabled="false"]')).click();
    await kim.waitForText("verdict", /0 acknowledged pixels were lost/u);
    await isAccessible(kim.page);
  });
}

async function isAccessible(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const { violations, checked } = await runAxe(page);
    assert.deepEqual(violations, [], colorScheme);
    assert.ok(checked.includes("color-contrast") && checked.includes("label"), "axe has checked the rules");
  }
}

/** Waits until the server's picture has these pixels. */
async function painted(pixels) {
  const { width } = config;
  await until(`the pixels ${JSON.stringify(pixels)}`, async () => {
    const cells = Buffer.from((await demo.picture()).pixels, "base64");
    return pixels.every(([x, y, color]) => cells[y * width + x] === color);
  });
}
