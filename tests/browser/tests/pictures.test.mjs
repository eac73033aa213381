// The pictures of the documents show the current page.
//
// The tests compare the set of files, their sizes, and the mean colours of blocks of 8 pixels in the parts of a picture
// that never change. They detect a moved, missing or recoloured part, but not another word of the same size. The canvas,
// the numbers and the animation are not compared, because they are different each time.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import sharp from "sharp";
import { Demo } from "../src/demo.mjs";
import { IMAGES, RESULTS, ROOT } from "../src/paths.mjs";
import {
  ANIMATION,
  differences,
  REPORT,
  SCREENSHOTS,
  takeScreenshots,
  untilPainted,
} from "../src/screenshots.mjs";
import { openBrowser } from "../src/user.mjs";

/** The documents that contain pictures. */
const DOCUMENTS = ["README.md", "docs/guide.md", "docs/reference/lab-report.md", "web/README.md"];

/** Whether a browser takes this picture; figures in SVG are drawn by programs of the documents that show them. */
function isRaster(name) {
  return !name.endsWith(".svg");
}

test("the documents show exactly the pictures that are taken, with alternative texts", () => {
  const taken = [ANIMATION, REPORT, ...SCREENSHOTS].map(({ name }) => name).sort();
  const pages = DOCUMENTS.map((path) => readFileSync(join(ROOT, path), "utf8"));
  const shown = pages.flatMap((page) => [
    ...page.matchAll(/!\[(?<alt>[^\]]*)\]\(\S*?images\/(?<name>[^)]+)\)/gu),
  ]);

  assert.deepEqual(readdirSync(IMAGES).filter(isRaster).sort(), taken);
  assert.deepEqual([...new Set(shown.map(({ groups }) => groups.name))].sort(), taken);
  for (const { groups } of shown) {
    assert.ok(groups.alt.length > 40, `${groups.name} is described as "${groups.alt}"`);
  }
});

test("the screenshots of the documents show the current page", async (t) => {
  mkdirSync(RESULTS, { recursive: true });
  const browser = await openBrowser();
  t.after(() => browser.close());
  const demo = await Demo.start();
  t.after(() => demo.stop());
  await untilPainted(demo, 40);

  const taken = await takeScreenshots(browser, demo, RESULTS);

  for (const { name, regions } of taken) {
    assert.ok(regions.length > 5, `${name} has regions to compare`);
    const found = await differences(join(IMAGES, name), join(RESULTS, name), regions);
    assert.deepEqual(found, [], `${name} is outdated: run \`make pictures\``);
  }
  const [dark, light] = SCREENSHOTS.map(({ name }) => join(RESULTS, name));
  assert.ok(
    (await differences(dark, light, taken[0].regions)).length > 5,
    "the comparison detects a difference",
  );
});

test("the animation has a bounded size and duration", async () => {
  const path = join(IMAGES, ANIMATION.name);
  const { width, pageHeight, pages, delay } = await sharp(path, { animated: true }).metadata();

  assert.deepEqual([width, pageHeight], [ANIMATION.width, ANIMATION.height]);
  assert.ok(statSync(path).size <= ANIMATION.bytesMax, `${statSync(path).size} bytes`);
  const playMs = delay.reduce((sum, one) => sum + one, 0);
  assert.ok(pages >= 20 && playMs >= 6_000 && playMs <= 25_000, `${pages} frames in ${playMs} ms`);
});
