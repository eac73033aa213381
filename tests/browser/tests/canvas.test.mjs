// What happens to the pixels of users: painters never replace them, a clear removes them once, and the example program of
// the page adds one.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BLANK, colorsOf, paintedBy, read, readAtSamePosition } from "../src/board.mjs";
import { Demo } from "../src/demo.mjs";
import { makeRunDirectory, ROOT } from "../src/paths.mjs";
import { SdkClient } from "../src/sdk-client.mjs";
import { until } from "../src/until.mjs";
import { openBrowser, User } from "../src/user.mjs";

const CELL = { x: 30, y: 30 };
const OTHER = { x: 32, y: 30 };

let browser;
let demo;
let config;
let ada;
let ben;
let sdk;

before(async () => {
  browser = await openBrowser();
  demo = await Demo.start({ painters: 2 });
  config = await demo.config();
  ada = await User.open(browser, demo, "Ada");
  ben = await User.open(browser, demo, "Ben");
  sdk = await SdkClient.join(demo.gateway, config.channel, "SDK");
});

after(async () => {
  sdk?.close();
  await browser?.close();
  await demo?.stop();
});

test("a painter's stroke never replaces a user's pixel, and a user may be called like a painter", async () => {
  const background = (color) => ({ ...CELL, color, by: "painter 1", background: true });
  await sdk.draw([background(1)]);
  await sdk.draw([{ ...CELL, color: 9, by: "painter 1" }]);
  await sdk.draw([background(2)]);

  for (const { page } of [ada, ben]) {
    const { board, picture } = await readAtSamePosition(page, demo, config);
    assert.equal(at(board.cells, CELL), config.colors[9]);
    assert.deepEqual(board.cells, colorsOf(picture, config));
  }
});

test("own pixels are found again, also after a reload", async () => {
  await ada.click([OTHER], config);
  await ada.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  await ada.page.reload();
  await ada.waitForLink("connected");

  await ada.page.getByRole("button", { name: "My pixels" }).click();
  await until("only the own pixel in its colour", async () => {
    const { cells } = await read(ada.page, config);
    return (
      cells.flatMap((color, index) => (config.colors.includes(color) ? [index] : [])).join() ===
      `${index(OTHER)}`
    );
  });
  await ada.page.getByRole("button", { name: "My pixels" }).click();
});

test("a clear without a connection survives a reload and is applied once, before what is drawn after it", async (t) => {
  const releasePort = await demo.holdGatewayDown();
  t.after(releasePort);
  await ada.waitForLink("reconnecting");
  await ada.click([CELL], config);
  await ada.page.getByRole("button", { name: "Clear", exact: true }).click();
  await ada.page.getByRole("button", { name: "Clear it" }).click();
  await ada.click([OTHER], config);
  const waiting = /^The canvas is cleared when the connection is back; 1 pixel waiting for a connection/u;
  await ada.waitForText("queue-status", waiting);
  await ada.page.reload();
  await ada.waitForText("queue-status", waiting);

  await releasePort();

  await ada.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  const clears = (await sdk.history()).filter(({ data }) => data.clear);
  assert.deepEqual(
    clears.map(({ data }) => data),
    [{ clear: true, by: "Ada" }],
  );
  for (const { page } of [ada, ben]) {
    const { board, picture } = await readAtSamePosition(page, demo, config);
    assert.deepEqual(board.cells, colorsOf(picture, config));
    assert.deepEqual(board.cells, paintedBy(await sdk.history(), board.offset, config));
    assert.deepEqual([at(board.cells, CELL), at(board.cells, OTHER)], [BLANK, config.colors[5]]);
  }
});

test("the example program of the page joins, and resumes after a kill", async (t) => {
  const directory = await makeRunDirectory("join");
  await symlink(join(ROOT, "tests/browser/node_modules"), join(directory, "node_modules"));
  await writeFile(join(directory, "join.mjs"), await ada.page.locator(".join pre").textContent());
  const program = spawn(process.execPath, ["join.mjs"], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => {
    program.kill();
    await once(program, "exit");
  });
  let output = "";
  program.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });

  await until("the stored pixel", () => /^stored: \{.*offset: \d+/mu.test(output));
  await ada.page.getByTestId("participants").getByText("my client").waitFor();
  await ada.killButton().click();
  await until("the resumed subscription", () =>
    /^connecting: transport closed\n(?:.*\n)*connected\n(?:.*\n)*subscribed; resumed: true$/mu.test(output),
  );
});

function index({ x, y }) {
  return y * config.width + x;
}

function at(cells, cell) {
  return cells[index(cell)];
}
