// Makes the pictures of the documents anew, from the real thing: `make pictures`.
//
// The film is one kill as a person sees it: everyone draws, the gateway dies, drawing goes on hollow, all come back.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { Demo } from "./src/demo.mjs";
import { openBrowser, Person } from "./src/person.mjs";
import { IMAGES } from "./src/places.mjs";
import { FILM, face, isPainted, PEN, takeStills } from "./src/stills.mjs";

/** Enough for a picture, too few for a crowd. */
const STROKES = 420;
/** Between two frames, unless what is waited for comes before. */
const FRAME_MS = 150;
/** How long the verdict stands before the film begins again. */
const LAST_MS = 5_000;
const COLORS = 96;

mkdirSync(IMAGES, { recursive: true });
const browser = await openBrowser();
try {
  await withDemo(async (demo) => {
    const film = await record(demo);
    await film.toFile(join(IMAGES, FILM.name));
  });
  await withDemo((demo) => takeStills(browser, demo, IMAGES));
} finally {
  await browser.close();
}

/** A fresh demo for each, so that nothing of the one is seen in the other. */
async function withDemo(make) {
  const demo = await Demo.start();
  try {
    await isPainted(demo, STROKES);
    await make(demo);
  } finally {
    await demo.stop();
  }
}

async function record(demo) {
  const config = await demo.config();
  const { width, height } = FILM;
  const ada = await Person.open(browser, demo, "Ada", { viewport: { width, height } });
  const frames = [];
  const shoot = async () => {
    frames.push({ image: await ada.page.screenshot(), atMs: performance.now() });
  };
  await showPointer(ada.page);
  await ada.choose(PEN);
  const cells = [face({ x: 8, y: 10 }), face({ x: 40, y: 26 })];
  await drawIn(ada, cells[0], config, 12, async () => {
    await shoot();
    await pause(FRAME_MS);
  });
  await moveToButton(ada, shoot);
  await ada.page.mouse.down();
  await shoot();
  await ada.page.mouse.up();
  await ada.isLinked("reconnecting");
  await shoot();
  // Without pauses, so that the whole face is hollow before the gateway is back.
  await drawIn(ada, cells[1], config, 6, shoot);
  const back = ada.sees("verdict", /All 5 clients came back\. 0 acknowledged pixels were lost\./u);
  let isOver = false;
  const over = Promise.all([back, ada.isLinked("connected")]).then(() => {
    isOver = true;
  });
  while (!isOver) {
    await shoot();
    await Promise.race([over, pause(FRAME_MS)]);
  }
  await ada.sees("waiting", /^All that you drew is acknowledged$/u);
  await shoot();
  await ada.close();
  return encode(frames);
}

/** Clicks cells, with a frame after each part of them. */
async function drawIn(person, cells, config, parts, shoot) {
  const size = Math.ceil(cells.length / parts);
  for (let at = 0; at < cells.length; at += size) {
    await person.click(cells.slice(at, at + size), config);
    await shoot();
  }
}

async function moveToButton(person, shoot) {
  const box = await person.killButton().boundingBox();
  const to = { x: box.x + box.width / 2, y: box.y + box.height * 0.6 };
  await person.page.mouse.move(to.x - 160, to.y + 120);
  await shoot();
  await pause(FRAME_MS);
  await person.page.mouse.move(to.x, to.y, { steps: 3 });
  await shoot();
  await pause(3 * FRAME_MS);
}

/** A headless browser draws no pointer; this one follows the mouse and shrinks while it is pressed. */
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

/** Each frame stands as long as it did. */
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
