// Takes the pictures of the documents from the running demo and from a run of the lab: `make pictures`.
//
// The animation shows one kill as a user sees it: the painters and the user draw, the gateway is killed, new pixels are
// hollow, all clients reconnect.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { Demo } from "./src/demo.mjs";
import { LabRun } from "./src/lab-run.mjs";
import { IMAGES } from "./src/paths.mjs";
import { ANIMATION, face, PEN, takeReport, takeScreenshots, untilPainted } from "./src/screenshots.mjs";
import { openBrowser, User } from "./src/user.mjs";

/** Strokes of the painters before the first frame: the longest motif of five is complete, and the frame nearly. */
const STROKES = 1_150;
/** The usual pause between two frames. */
const FRAME_MS = 150;
/** How long the last frame is shown before the animation repeats. */
const LAST_MS = 5_000;
const COLORS = 96;

mkdirSync(IMAGES, { recursive: true });
const browser = await openBrowser();
try {
  await withDemo(async (demo) => {
    const animation = await record(demo);
    await animation.toFile(join(IMAGES, ANIMATION.name));
  });
  await withDemo((demo) => takeScreenshots(browser, demo, IMAGES));
  await takeReport(browser, await LabRun.start(), IMAGES);
} finally {
  await browser.close();
}

/** Runs `make` with a new demo, so that the animation and the screenshots do not influence each other. */
async function withDemo(make) {
  const demo = await Demo.start();
  try {
    await untilPainted(demo, STROKES);
    await make(demo);
  } finally {
    await demo.stop();
  }
}

async function record(demo) {
  const config = await demo.config();
  const { width, height } = ANIMATION;
  const ada = await User.open(browser, demo, "Ada", { viewport: { width, height } });
  const frames = [];
  const shoot = async () => {
    frames.push({ image: await ada.page.screenshot(), atMs: performance.now() });
  };
  await showPointer(ada.page);
  await ada.choose(PEN);
  const cells = [face({ x: 25, y: 18 }), face({ x: 25, y: 33 })];
  await drawIn(ada, cells[0], config, 12, async () => {
    await shoot();
    await pause(FRAME_MS);
  });
  await moveToButton(ada, shoot);
  await ada.page.mouse.down();
  await shoot();
  await ada.page.mouse.up();
  await ada.waitForLink("reconnecting");
  await shoot();
  // The face is drawn without pauses, so that all of it is hollow before the gateway is up again.
  await drawIn(ada, cells[1], config, 6, shoot);
  const verdict = ada.waitForText(
    "verdict",
    /All 6 clients reconnected\. 0 acknowledged pixels were lost\./u,
  );
  let isFinished = false;
  const finished = Promise.all([verdict, ada.waitForLink("connected")]).then(() => {
    isFinished = true;
  });
  while (!isFinished) {
    await shoot();
    await Promise.race([finished, pause(FRAME_MS)]);
  }
  await ada.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  await shoot();
  await ada.close();
  return encode(frames);
}

/** Clicks the cells in parts, and takes a frame after each part. */
async function drawIn(user, cells, config, parts, shoot) {
  const size = Math.ceil(cells.length / parts);
  for (let at = 0; at < cells.length; at += size) {
    await user.click(cells.slice(at, at + size), config);
    await shoot();
  }
}

async function moveToButton(user, shoot) {
  const box = await user.killButton().boundingBox();
  const to = { x: box.x + box.width / 2, y: box.y + box.height * 0.6 };
  await user.page.mouse.move(to.x - 160, to.y + 120);
  await shoot();
  await pause(FRAME_MS);
  await user.page.mouse.move(to.x, to.y, { steps: 3 });
  await shoot();
  await pause(3 * FRAME_MS);
}

/** Adds a pointer, which a headless browser does not draw; the pointer shrinks while the mouse button is pressed. */
function showPointer(page) {
  return page.evaluate(() => {
    const pointer = document.createElement("div");
    pointer.innerHTML =
      '<svg width="26" height="30" viewBox="0 0 13 15"><path d="M1 1v11l3-3 2 5 2-1-2-5h4z" fill="#111" stroke="#fff"/></svg>';
    pointer.setAttribute("aria-hidden", "true");
    pointer.style.cssText = "position:fixed;left:0;top:0;z-index:9;pointer-events:none";
    document.body.append(pointer);
    addEventListener("pointermove", ({ clientX, clientY }) => {
      pointer.style.translate = `${clientX - 2}px ${clientY - 2}px`;
    });
    addEventListener("pointerdown", () => {
      pointer.style.scale = "0.8";
    });
    addEventListener("pointerup", () => {
      pointer.style.scale = "1";
    });
  });
}

function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Encodes the frames with their original durations. */
function encode(frames) {
  const delay = frames.map(({ atMs }, at) => {
    const next = frames[at + 1];
    return next === undefined ? LAST_MS : Math.max(60, Math.round(next.atMs - atMs));
  });
  return sharp(
    frames.map(({ image }) => image),
    { join: { animated: true } },
  ).gif({ delay, loop: 0, colours: COLORS, dither: 0, effort: 10 });
}
