// The guarantees of the demo in a real browser: two pages and an SDK client draw through three kills. Afterwards every
// acknowledged pixel is in the channel once, and all pictures are equal.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { colorsOf, HOLLOW, paintedBy, read, readAtSamePosition } from "../src/board.mjs";
import { Demo } from "../src/demo.mjs";
import { SdkClient } from "../src/sdk-client.mjs";
import { until } from "../src/until.mjs";
import { openBrowser, User } from "../src/user.mjs";

const PAINTERS = 2;
const NEXT_ATTEMPT = /attempt \d+ in \d+\.\d s/u;

let browser;
let demo;
let config;
let ada;
let ben;
let sdk;

before(async () => {
  browser = await openBrowser();
  demo = await Demo.start({ painters: PAINTERS });
  config = await demo.config();
  ada = await User.open(browser, demo, "Ada");
  ben = await User.openWithAckFilter(browser, demo, "Ben");
  sdk = await SdkClient.join(demo.gateway, config.channel, "SDK");
});

after(async () => {
  sdk?.close();
  await browser?.close();
  await demo?.stop();
});

test("all participants draw, and the page lists them", async () => {
  await ada.drag({ x: 4, y: 4 }, { x: 14, y: 4 }, config);
  await ben.click(row(6, 4, 3), config);
  await sdk.draw(row(8, 4, 5).map(sdkStroke));

  await allAcknowledged();
  for (const name of ["Ada", "Ben", "SDK", "painter 1"]) {
    await ada.part("participants").getByText(name).waitFor();
  }
});

test("a kill with the button of one page disconnects all clients and loses nothing", async () => {
  const before = ada.badges.length;

  await ada.killButton().click();
  await Promise.all([ada.waitForLink("reconnecting"), ben.waitForLink("reconnecting")]);
  await ada.drag({ x: 4, y: 10 }, { x: 10, y: 10 }, config);
  await ben.click(row(12, 4, 3), config);
  await sdk.draw(row(14, 4, 3).map(sdkStroke));

  // The page that did not request the kill shows the result too.
  for (const user of [ada, ben]) {
    await user.waitForText("verdict", /All 3 clients reconnected\. 0 acknowledged pixels were lost\./u);
  }
  await allAcknowledged();
  await ada.waitForText("badge", /^Connectedlast outage \d+(\.\d+)? (ms|s)$/u);
  const since = ada.badges.slice(before);
  assert.ok(
    since.some(({ link, text }) => link === "reconnecting" && NEXT_ATTEMPT.test(text)),
    `the badge shows the next attempt: ${JSON.stringify(since)}`,
  );
});

test("a page whose gateway is on the same device works although the browser reports no network", async () => {
  const before = ada.badges.length;
  await ada.reportOffline();
  await ada.click(row(16, 4, 2), config);
  await allAcknowledged();

  const links = ada.badges.slice(before).map(({ link }) => link);
  assert.ok(!links.includes("offline"), `${links}`);
  // The next test kills the gateway, and this page reconnects without a network.
});

test("pixels whose acknowledgement is lost with the gateway are applied once", async () => {
  ben.isDroppingAcks = true;
  await ben.click(row(18, 4, 3), config);
  await until("the publications whose acknowledgements are dropped", () => drawnBy("Ben", 18) === 3);
  await ben.waitForText("queue-status", /^3 pixels in flight$/u);

  await ben.killButton().focus();
  await ben.page.keyboard.press("Enter");
  await ben.waitForLink("reconnecting");
  ben.isDroppingAcks = false;

  await ben.waitForText("verdict", /All 3 clients reconnected\. 0 acknowledged pixels were lost\./u);
  await allAcknowledged();
  const repeated = [...ben.frames.strokes.values()].filter(({ data }) => data.y === 18);
  assert.equal(repeated.length, 3);
  for (const { sent, acks } of repeated) {
    assert.ok(
      sent > 1 && acks.some(({ duplicate }) => duplicate),
      `sent ${sent} times, ${JSON.stringify(acks)}`,
    );
  }
});

test("queued pixels survive a reload while the gateway is down", async (t) => {
  const releasePort = await demo.holdGatewayDown();
  t.after(releasePort);
  await ada.waitForLink("reconnecting");
  await ada.click(row(20, 4, 6), config);
  const waiting = /^6 pixels waiting for a connection, stored in this browser$/u;
  await ada.waitForText("queue-status", waiting);

  await ada.page.reload();

  await ada.waitForText("queue-status", waiting);
  await ada.waitForLink("reconnecting");
  await until("hollow pixels after the reload", async () => {
    const { cells } = await read(ada.page, config);
    return row(20, 4, 6).every(({ x, y }) => cells[y * config.width + x] === HOLLOW);
  });
  await releasePort();
  await allAcknowledged();
  // The reloaded page was not connected before the kill, and waits for the demo's clients.
  await ada.waitForText(
    "verdict",
    /^The gateway was down for .* All 2 clients reconnected\. 0 acknowledged/u,
  );
});

test("a page that is opened after the kill shows its result", async (t) => {
  const late = await User.open(browser, demo, "Late");
  t.after(() => late.close());

  await late.waitForText(
    "verdict",
    /^The gateway was down for .* All 2 clients reconnected\. 0 acknowledged/u,
  );
});

test("every client reconnected, and no gap was reported", async () => {
  const hasResumed = ({ state, resumed }) => state === "connected" && resumed >= 3;
  const live = await until("every painter up to date after three resumes", async () => {
    const report = await demo.live();
    return report.undelivered === 0 && report.clients.every(hasResumed) && report;
  });
  // Kills that follow each other closely are one outage for it.
  await until(
    "a resume of the SDK client after the last kill",
    () => sdk.isSubscribed && sdk.recovered.length > 1,
  );

  assert.deepEqual([live.lost, live.duplicated], [0, 0]);
  assert.ok(sdk.recovered.every(Boolean), sdk.recovered);
  const history = await sdk.history();
  const first = sdk.delivered[0].offset - 1;
  assert.deepEqual(
    sdk.delivered.slice(0, history.length - first),
    history.slice(first, first + sdk.delivered.length),
    "the SDK client received the publications of the channel in order and without a gap",
  );
});

test("every acknowledged pixel is in the channel once, at the acknowledged offset", async () => {
  const history = await sdk.history();

  assert.deepEqual(
    history.map(({ offset }) => offset),
    history.map((_, index) => index + 1),
  );
  for (const [name, drawn, strokes] of [
    ["Ada", 11 + 7 + 2 + 6, ada.frames.strokes],
    ["Ben", 3 + 3 + 3, ben.frames.strokes],
    ["SDK", 5 + 3, sdk.strokes],
  ]) {
    assert.equal(strokes.size, drawn, `keys that ${name} sent`);
    const own = history.filter(({ data }) => data.by === name);
    assert.equal(own.length, drawn, `pixels of ${name} in the channel`);
    for (const { data, acks } of strokes.values()) {
      assert.ok(acks.length > 0, `never acknowledged: ${JSON.stringify(data)}`);
      for (const { offset } of acks) {
        assert.deepEqual(history[offset - 1].data, data);
      }
    }
  }
});

test("both canvases equal the server's picture, which equals the channel's publications", async () => {
  for (const { name, page } of [ada, ben]) {
    const { board, picture } = await readAtSamePosition(page, demo, config);

    assert.deepEqual(board.cells, colorsOf(picture, config), `the canvas of ${name}`);
    assert.deepEqual(board.cells, paintedBy(await sdk.history(), board.offset, config));
  }
});

/** Consecutive cells of one row. */
function row(y, x, length) {
  return Array.from({ length }, (_, index) => ({ x: x + index, y }));
}

function sdkStroke({ x, y }) {
  return { x, y, color: 13, by: "SDK" };
}

/** The number of a participant's pixels in a row that the SDK client received. */
function drawnBy(name, y) {
  return sdk.delivered.filter(({ data }) => data.by === name && data.y === y).length;
}

/** Waits until every page is connected and its queue is empty. The SDK client's `draw` waits for acknowledgements. */
async function allAcknowledged() {
  for (const user of [ada, ben]) {
    await user.waitForLink("connected");
    await user.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
    assert.deepEqual(await user.page.getByRole("log").locator(".notice").allTextContents(), []);
  }
}
