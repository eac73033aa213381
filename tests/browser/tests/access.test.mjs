// The page for those who have no mouse, do not see it, or hold it in one hand.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { examine } from "../src/access.mjs";
import { Demo } from "../src/demo.mjs";
import { openBrowser, Person } from "../src/person.mjs";
import { until } from "../src/until.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

let browser;
let demo;
let config;

before(async () => {
  browser = await openBrowser();
  // Nobody else draws: what is on the picture came from the hands that are tested.
  demo = await Demo.start({ painters: 0 });
  config = await demo.config();
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

test("keys move, paint and change the colour, and each is told", async (t) => {
  const kim = await Person.open(browser, demo, "Kim");
  t.after(() => kim.close());
  const press = (key) => kim.page.keyboard.press(key);

  await kim.part("board").focus();
  await kim.sees("told", /^Column 33, row 33: empty$/u);
  await press("ArrowRight");
  await press("Shift+ArrowDown");
  await kim.sees("told", /^Column 34, row 41: empty$/u);
  await press("]");
  await kim.sees("told", /^Colour orange$/u);
  await press("Enter");
  await kim.sees("told", /^Column 34, row 41 painted orange$/u);
  await press("ArrowLeft");
  await press("[");
  await press("Space");

  await kim.sees("waiting", /^All that you drew is acknowledged$/u);
  await painted([
    [33, 40, 6],
    [32, 40, 5],
  ]);
});

test("a finger draws a line", async (t) => {
  const finn = await Person.open(browser, demo, "Finn", PHONE);
  t.after(() => finn.close());
  await finn.part("board").scrollIntoViewIfNeeded();
  const from = await finn.placeOf({ x: 10, y: 20 }, config);
  const to = await finn.placeOf({ x: 15, y: 20 }, config);
  const devtools = await finn.page.context().newCDPSession(finn.page);
  const touch = (type, ...touchPoints) => devtools.send("Input.dispatchTouchEvent", { type, touchPoints });

  await touch("touchStart", from);
  await touch("touchMove", { x: (from.x + to.x) / 2, y: from.y });
  await touch("touchMove", to);
  await touch("touchEnd");

  await finn.sees("waiting", /^All that you drew is acknowledged$/u);
  await painted([10, 11, 12, 13, 14, 15].map((x) => [x, 20, 5]));
});

for (const [device, options] of [
  ["a desk", {}],
  ["a phone", PHONE],
]) {
  test(`axe finds nothing grave on ${device}, in light and dark, while it is calm, cut and over`, async (t) => {
    const kim = await Person.open(browser, demo, "Kim", options);
    t.after(() => kim.close());

    await isAccessible(kim.page);
    const giveBack = await demo.keepAway();
    t.after(giveBack);
    await kim.isLinked("reconnecting");
    await isAccessible(kim.page);
    await giveBack();
    await kim.isLinked("connected");
    await kim.killButton().and(kim.page.locator('[aria-disabled="false"]')).click();
    await kim.sees("verdict", /0 acknowledged pixels were lost/u);
    await isAccessible(kim.page);
  });
}

async function isAccessible(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const { found, tested } = await examine(page);
    assert.deepEqual(found, [], colorScheme);
    assert.ok(tested.includes("color-contrast") && tested.includes("label"), "axe has looked");
  }
}

/** Waits until the application's picture has these pixels. */
async function painted(pixels) {
  const { width } = config;
  await until(`the pixels ${JSON.stringify(pixels)}`, async () => {
    const cells = Buffer.from((await demo.picture()).pixels, "base64");
    return pixels.every(([x, y, color]) => cells[y * width + x] === color);
  });
}
