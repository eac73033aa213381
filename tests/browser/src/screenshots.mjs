// The pictures of the documents: their names, how each is taken, and which of its parts never change.

import { join } from "node:path";
import sharp from "sharp";
import { until } from "./until.mjs";
import { User } from "./user.mjs";

/** The animation of a kill; `pictures.mjs` records it. */
export const ANIMATION = { name: "demo.gif", width: 1000, height: 700, bytesMax: 1_500_000 };

const SIZE = { width: 1280, height: 860 };

export const SCREENSHOTS = [
  { name: "canvas-during-a-kill.png", colorScheme: "dark" },
  { name: "canvas-after-a-kill.png", colorScheme: "light" },
];

/** The page with the report of a run of the lab. */
export const REPORT = { name: "lab-report.png", width: 1280, height: 1180 };

/** Parts of that page above its first table, which look the same in every run that passes. */
const CONSTANT_PARTS_OF_REPORT = ["h1", "header h2", ".numbers dt", "nav a", "#checks h2"];

/** Selectors of the parts that look the same in every picture: no number, no state, no pixels. */
const CONSTANT_PARTS = ["h1", ".palette", ".tools", ".tiles dt", ".clients h2"];

/** The edge of a block in pixels. Blocks are compared by mean colour, because text rendering varies between machines. */
const BLOCK = 8;
/** The maximum difference of a mean value, of 255; smaller differences are caused by antialiasing. */
const DIFFERENCE_MAX = 32;
/** The maximum fraction of a region's mean values that may differ. */
const DIFFERENT_FRACTION_MAX = 0.05;

/** The colour of the user, which no painter uses; the painters leave the middle of the canvas free. */
export const PEN = "violet";

/** A face in a circle, in cells from its upper left corner. */
const FACE = [
  "....#####....",
  "..##.....##..",
  ".#.........#.",
  ".#..#...#..#.",
  "#...#...#...#",
  "#...........#",
  "#..#.....#..#",
  ".#..#####..#.",
  ".#.........#.",
  "..##.....##..",
  "....#####....",
].flatMap((line, y) => [...line].flatMap((mark, x) => (mark === "#" ? [{ x, y }] : [])));

/** The cells of the face with its upper left corner at this cell. */
export function face({ x, y }) {
  return FACE.map((cell) => ({ x: x + cell.x, y: y + cell.y }));
}

/** Waits until the painters have drawn this number of strokes. */
export function untilPainted(demo, strokes) {
  return until(
    `${strokes} strokes of the painters`,
    async () => (await demo.live()).acked >= strokes,
    180_000,
  );
}

/** Takes all screenshots of one kill; returns for each the regions that never change. */
export async function takeScreenshots(browser, demo, directory) {
  const config = await demo.config();
  const ada = await User.open(browser, demo, "Ada", { viewport: SIZE });
  const [during, after] = SCREENSHOTS;
  try {
    await ada.choose(PEN);
    await ada.click(face({ x: 25, y: 18 }), config);
    await ada.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
    await ada.killButton().click();
    const releasePort = await demo.holdPort();
    await ada.waitForLink("reconnecting");
    await ada.click(face({ x: 25, y: 33 }), config);
    await ada.page.locator(".clients tr.disconnected").nth(4).waitFor();
    const taken = [await take(ada.page, directory, during)];
    await releasePort();
    await ada.waitForText("verdict", /All 6 clients reconnected\. 0 acknowledged pixels were lost\./u);
    await ada.waitForLink("connected");
    await ada.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
    await ada.page.mouse.move(0, 0);
    await ada.tile("Connections", 7);
    taken.push(await take(ada.page, directory, after));
    return taken;
  } finally {
    await ada.close();
  }
}

/** Takes the picture of a report; returns the regions that never change. */
export async function takeReport(browser, run, directory) {
  const { name, width, height } = REPORT;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: "light" });
  try {
    const page = await context.newPage();
    await page.goto(run.page);
    // The command names the directory of the run, which is another one each time.
    await page
      .locator("pre code")
      .first()
      .evaluate((code) => {
        code.textContent = code.textContent.replace(/ --out \S+/u, "");
      });
    await page.screenshot({ path: join(directory, name), animations: "disabled" });
    return await regionsOf(page, CONSTANT_PARTS_OF_REPORT, height);
  } finally {
    await context.close();
  }
}

async function take(page, directory, { name, colorScheme }) {
  await page.emulateMedia({ colorScheme });
  await page.screenshot({ path: join(directory, name), animations: "disabled" });
  return { name, regions: await regionsOf(page, CONSTANT_PARTS, SIZE.height) };
}

/** The places of the parts that are completely visible. */
async function regionsOf(page, selectors, height) {
  const regions = [];
  for (const selector of selectors) {
    for (const part of await page.locator(selector).all()) {
      const box = await part.boundingBox();
      if (box !== null && box.y + box.height <= height) {
        regions.push({ selector, left: box.x, top: box.y, width: box.width, height: box.height });
      }
    }
  }
  return regions;
}

/** Describes the differences between two pictures; empty when they show the same page. */
export async function differences(one, other, regions) {
  const sizes = await Promise.all([one, other].map((file) => sizeOf(file)));
  if (sizes[0] !== sizes[1]) {
    return [`${sizes[0]} and ${sizes[1]} pixels`];
  }
  const found = [];
  for (const region of regions) {
    const [blocks, others] = await Promise.all([one, other].map((file) => blocksOf(file, region)));
    const different = blocks.filter((value, at) => Math.abs(value - others[at]) > DIFFERENCE_MAX).length;
    if (different > blocks.length * DIFFERENT_FRACTION_MAX) {
      found.push(`${region.selector}: ${different} of ${blocks.length} mean values`);
    }
  }
  return found;
}

async function sizeOf(file) {
  const { width, height } = await sharp(file).metadata();
  return `${width} by ${height}`;
}

/** The mean colours of the region's blocks; one value per channel and block. */
async function blocksOf(file, { left, top, width, height }) {
  const area = {
    left: Math.floor(left),
    top: Math.floor(top),
    width: Math.floor(width),
    height: Math.floor(height),
  };
  const across = Math.max(1, Math.round(area.width / BLOCK));
  const down = Math.max(1, Math.round(area.height / BLOCK));
  const { data } = await sharp(file)
    .removeAlpha()
    .extract(area)
    .resize(across, down, { fit: "fill", kernel: "linear" })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return [...data];
}
