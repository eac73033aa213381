// The button, pressed again as soon as it allows: each kill is followed by a short outage of every client, however many
// kills there were before.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Demo } from "../src/demo.mjs";
import { openBrowser, User } from "../src/user.mjs";

const KILLS = 10;
/** Beyond half of the gateway's downtime, which the delays grow with: the longest delay and the resubscription. */
const RECOVERY_MS = 1_500;

let browser;
let demo;
let ada;

before(async () => {
  browser = await openBrowser();
  demo = await Demo.start();
  ada = await User.open(browser, demo, "Ada", { viewport: { width: 1280, height: 680 } });
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

test("painters and page return from each of ten kills in a bounded time", async () => {
  for (let kills = 1; kills <= KILLS; kills += 1) {
    await ada.killButton().and(ada.page.locator('[aria-disabled="false"]')).click();
    await ada.page.locator('[data-kill="recovering"]').waitFor();
    await ada.tile("Connections", 0);
    await ada.page.locator('[data-kill="finished"]').waitFor();

    // Five painters, the client that maintains the picture, and this page.
    await ada.tile("Connections", 7);
    const { gateway, clients, lost } = await demo.live();
    const bound = 1.5 * gateway.last_outage_ms + RECOVERY_MS;
    assert.deepEqual([gateway.kills, lost], [kills, 0]);
    for (const { name, last_downtime_ms: downtime } of clients) {
      assert.ok(downtime <= bound, `${name}: ${downtime} ms after kill ${kills}; at most ${bound} ms`);
    }
    const own = milliseconds(
      await ada.page.getByRole("row", { name: "this page" }).locator(".downtime").textContent(),
    );
    assert.ok(own <= bound, `this page: ${own} ms after kill ${kills}; at most ${bound} ms`);
  }
});

test("the page never says that the gateway is up while a kill has ended its connection", () => {
  const contradictions = ada.badges.filter(
    ({ link, gateway }) => link === "reconnecting" && gateway === "up",
  );
  const down = ada.badges.filter(({ link, gateway }) => link === "reconnecting" && gateway === "down");

  assert.deepEqual(contradictions, []);
  assert.ok(down.length >= KILLS, `${down.length} changes while the gateway was down`);
});

/** A duration as the page shows it. */
function milliseconds(text) {
  const [, number, unit] = /^([\d.]+) (ms|s)$/u.exec(text) ?? [];
  return Number(number) * (unit === "s" ? 1_000 : 1);
}
