// The pictures of the documents: which there are, how each is taken, and which parts of it never change.

import { join } from "node:path";
import sharp from "sharp";
import { Person } from "./person.mjs";
import { until } from "./until.mjs";

/** Motion without which the demo cannot be understood; `pictures.mjs` makes it. */
export const FILM = { name: "demo.gif", width: 1000, height: 700, bytesMax: 1_500_000 };

const SIZE = { width: 1280, height: 860 };

export const STILLS = [
  { name: "canvas-during-a-kill.png", colorScheme: "dark" },
  { name: "canvas-after-a-kill.png", colorScheme: "light" },
];

/** What looks the same whenever a picture is taken: no number, no state, no painting. */
const STEADY = ["h1", ".palette", ".kill .dim", ".tiles dt", ".clients h2"];

/** A block of so many pixels is compared by its mean colour: letters may be drawn a little differently elsewhere. */
const BLOCK = 8;
/** Of 255; less is another smoothing of edges. */
const DIFFERENCE_MAX = 32;
/** The part of a region's blocks that may differ. */
const PART_MAX = 0.05;

/** The colour of the person: no painter has it. */
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

/** The cells of the face at this place. */
export function face({ x, y }) {
  return FACE.map((cell) => ({ x: x + cell.x, y: y + cell.y }));
}

/** Waits until there is something to see. */
export function isPainted(demo, strokes) {
  return until(
    `${strokes} strokes of the painters`,
    async () => (await demo.live()).acked >= strokes,
    180_000,
  );
}

/** Takes all stills of one kill; returns for each its parts that never change. */
export async function takeStills(browser, demo, folder) {
  const config = await demo.config();
  const ada = await Person.open(browser, demo, "Ada", { viewport: SIZE });
  const [during, over] = STILLS;
  try {
    await ada.choose(PEN);
    await ada.click(face({ x: 8, y: 8 }), config);
    await ada.sees("waiting", /^All that you drew is acknowledged$/u);
    await ada.killButton().click();
    const giveBack = await demo.holdPort();
    await ada.isLinked("reconnecting");
    await ada.click(face({ x: 26, y: 22 }), config);
    await ada.page.locator(".clients tr.out").nth(4).waitFor();
    const steady = [await take(ada.page, folder, during)];
    await giveBack();
    await ada.sees("verdict", /All 5 clients came back\. 0 acknowledged pixels were lost\./u);
    await ada.isLinked("connected");
    await ada.sees("waiting", /^All that you drew is acknowledged$/u);
    await ada.page.mouse.move(0, 0);
    steady.push(await take(ada.page, folder, over));
    return steady;
  } finally {
    await ada.close();
  }
}

async function take(page, folder, { name, colorScheme }) {
  await page.emulateMedia({ colorScheme });
  await page.screenshot({ path: join(folder, name), animations: "disabled" });
  const regions = [];
  for (const selector of STEADY) {
    for (const part of await page.locator(selector).all()) {
      const box = await part.boundingBox();
      if (box !== null && box.y + box.height <= SIZE.height) {
        regions.push({ selector, left: box.x, top: box.y, width: box.width, height: box.height });
      }
    }
  }
  return { name, regions };
}

/** What differs between two pictures of one name, in words; nothing when they are of one page. */
export async function differences(one, other, regions) {
  const sizes = await Promise.all([one, other].map((file) => sizeOf(file)));
  if (sizes[0] !== sizes[1]) {
    return [`${sizes[0]} and ${sizes[1]} pixels`];
  }
  const found = [];
  for (const region of regions) {
    const [blocks, others] = await Promise.all([one, other].map((file) => blocksOf(file, region)));
    const unlike = blocks.filter((value, at) => Math.abs(value - others[at]) > DIFFERENCE_MAX).length;
    if (unlike > blocks.length * PART_MAX) {
      found.push(`${region.selector}: ${unlike} of ${blocks.length} mean values`);
    }
  }
  return found;
}

async function sizeOf(file) {
  const { width, height } = await sharp(file).metadata();
  return `${width} by ${height}`;
}

/** The mean colours of the region's blocks, one channel after the other. */
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
