// The promise of the demo, kept in front of a real browser: three kills under two pages and a program of somebody else,
// and afterwards every acknowledged pixel is there once, and all pictures are one.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { colorsOf, HOLLOW, meet, paintedBy, read } from "../src/board.mjs";
import { Demo } from "../src/demo.mjs";
import { Guest } from "../src/guest.mjs";
import { openBrowser, Person } from "../src/person.mjs";
import { until } from "../src/until.mjs";

/** Their colours are not those of the pages: a cell that has its colour already is not painted again. */
const PAINTERS = 2;
/** Three kills in a row leave a painter with a pause of half a minute at the most. */
const PAINTERS_MS = 60_000;
const NEXT_TRY = /try \d+ in \d+\.\d s/u;

let browser;
let demo;
let config;
let ada;
let ben;
let guest;

before(async () => {
  browser = await openBrowser();
  demo = await Demo.start({ painters: PAINTERS });
  config = await demo.config();
  ada = await Person.open(browser, demo, "Ada");
  ben = await Person.openWithLossyWire(browser, demo, "Ben");
  guest = await Guest.join(demo.gateway, config.channel, "Guest");
});

after(async () => {
  guest?.leave();
  await browser?.close();
  await demo?.stop();
});

test("everyone draws, and sees who is here", async () => {
  await ada.drag({ x: 4, y: 4 }, { x: 14, y: 4 }, config);
  await ben.click(row(6, 4, 3), config);
  await guest.draw(row(8, 4, 5).map(guestStroke));

  await allAcknowledged();
  for (const name of ["Ada", "Ben", "Guest", "painter 1"]) {
    await ada.part("people").getByText(name).waitFor();
  }
});

test("a kill by the button of one page cuts everyone and loses nothing", async () => {
  const cut = ada.badges.length;

  await ada.killButton().click();
  await Promise.all([ada.isLinked("reconnecting"), ben.isLinked("reconnecting")]);
  await ada.drag({ x: 4, y: 10 }, { x: 10, y: 10 }, config);
  await ben.click(row(12, 4, 3), config);
  await guest.draw(row(14, 4, 3).map(guestStroke));

  await ada.sees("verdict", /All 2 clients came back\. 0 acknowledged pixels were lost\./u);
  await allAcknowledged();
  await ada.sees("badge", /^Connectedwas out \d+(\.\d+)? (ms|s)$/u);
  const since = ada.badges.slice(cut);
  assert.ok(
    since.some(({ link, text }) => link === "reconnecting" && NEXT_TRY.test(text)),
    `the badge tells the next try: ${JSON.stringify(since)}`,
  );
});

test("a page without a network says so, keeps what is drawn, and sends it later", async () => {
  await ada.goOffline();
  await ada.sees("badge", /^Offlineno network; drawing is kept$/u);
  await ada.click(row(16, 4, 2), config);
  await ada.sees(
    "waiting",
    /^2 pixels waiting for the connection, kept in this browser, also over a reload$/u,
  );

  await ada.goOnline();

  await allAcknowledged();
  // The try between the two may be over before the page is drawn.
  const links = ada.links().filter((link) => link !== "reconnecting");
  assert.deepEqual(links.slice(-2), ["offline", "connected"]);
});

test("pixels whose acknowledgement is lost with the gateway are applied once", async () => {
  ben.isDeaf = true;
  await ben.click(row(18, 4, 3), config);
  await until("the publications whose acknowledgement is lost", () => drawnBy("Ben", 18) === 3);
  await ben.sees("waiting", /^3 pixels on the way$/u);

  await ben.killButton().focus();
  await ben.page.keyboard.press("Enter");
  await ben.isLinked("reconnecting");
  ben.isDeaf = false;

  await ben.sees("verdict", /All 2 clients came back\. 0 acknowledged pixels were lost\./u);
  await allAcknowledged();
  const repeated = [...ben.wire.strokes.values()].filter(({ data }) => data.y === 18);
  assert.equal(repeated.length, 3);
  for (const { sent, acks } of repeated) {
    assert.ok(
      sent > 1 && acks.some(({ duplicate }) => duplicate),
      `sent ${sent} times, ${JSON.stringify(acks)}`,
    );
  }
});

test("pixels that wait for a gateway that stays away outlive a reload", async (t) => {
  const giveBack = await demo.keepAway();
  t.after(giveBack);
  await ada.isLinked("reconnecting");
  await ada.click(row(20, 4, 6), config);
  const waiting = /^6 pixels waiting for the connection, kept in this browser, also over a reload$/u;
  await ada.sees("waiting", waiting);

  await ada.page.reload();

  await ada.sees("waiting", waiting);
  await ada.isLinked("reconnecting");
  await until("hollow pixels after the reload", async () => {
    const { cells } = await read(ada.page, config);
    return row(20, 4, 6).every(({ x, y }) => cells[y * config.width + x] === HOLLOW);
  });
  await giveBack();
  await allAcknowledged();
});

test("every client came back, and none was told of a gap", async () => {
  const hasReturned = ({ state, resumed }) => state === "connected" && resumed >= 3;
  const live = await until(
    "every painter at the end of the channel, thrice resumed",
    async () => {
      const seen = await demo.live();
      return seen.owed === 0 && seen.clients.every(hasReturned) && seen;
    },
    PAINTERS_MS,
  );
  await until("the program, thrice resumed", () => guest.recovered.length > 3);

  assert.deepEqual([live.lost, live.duplicated], [0, 0]);
  assert.deepEqual(guest.recovered, [true, true, true, true]);
  const history = await guest.history();
  const first = guest.handed[0].offset - 1;
  assert.deepEqual(
    guest.handed.slice(0, history.length - first),
    history.slice(first, first + guest.handed.length),
    "what the program was handed is the channel, in order and without a hole",
  );
});

test("every acknowledged pixel is in the channel, once, where the acknowledgement said", async () => {
  const history = await guest.history();

  assert.deepEqual(
    history.map(({ offset }) => offset),
    history.map((_, index) => index + 1),
  );
  for (const [name, drawn, strokes] of [
    ["Ada", 11 + 7 + 2 + 6, ada.wire.strokes],
    ["Ben", 3 + 3 + 3, ben.wire.strokes],
    ["Guest", 5 + 3, guest.strokes],
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

test("both canvases are the application's picture, and the picture is the channel's", async () => {
  for (const { name, page } of [ada, ben]) {
    const { board, picture } = await meet(page, demo, config);

    assert.deepEqual(board.cells, colorsOf(picture, config), `the canvas of ${name}`);
    assert.deepEqual(board.cells, paintedBy(await guest.history(), board.offset, config));
  }
});

/** So many cells of one row. */
function row(y, x, length) {
  return Array.from({ length }, (_, index) => ({ x: x + index, y }));
}

function guestStroke({ x, y }) {
  return { x, y, color: 13, by: "Guest" };
}

/** What the program has seen of somebody's in a row. */
function drawnBy(name, y) {
  return guest.handed.filter(({ data }) => data.by === name && data.y === y).length;
}

/** Every page is connected, and nothing of it waits. The guest waits by itself. */
async function allAcknowledged() {
  for (const person of [ada, ben]) {
    await person.isLinked("connected");
    await person.sees("waiting", /^All that you drew is acknowledged$/u);
    assert.deepEqual(await person.page.getByRole("log").locator(".notice").allTextContents(), []);
  }
}
