// The pictures of the documents show the page as it is.
//
// Compared are the set of files, their sizes, and the parts of a picture that never change, by the mean colours of
// blocks of 8 pixels. So a moved, missing or recoloured part is found; another word in the same place is not, and the
// painting, the numbers and the film are not compared at all: they are different each time.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import sharp from "sharp";
import { Demo } from "../src/demo.mjs";
import { openBrowser } from "../src/person.mjs";
import { IMAGES, RESULTS, ROOT } from "../src/places.mjs";
import { differences, FILM, isPainted, STILLS, takeStills } from "../src/stills.mjs";

/** Documents that show pictures. */
const DOCUMENTS = ["README.md", "docs/guide.md", "web/README.md"];

test("the pictures that are made are those that the documents show, with words for who cannot see them", () => {
  const made = [FILM, ...STILLS].map(({ name }) => name).sort();
  const pages = DOCUMENTS.map((path) => readFileSync(join(ROOT, path), "utf8"));
  const shown = pages.flatMap((page) => [
    ...page.matchAll(/!\[(?<words>[^\]]*)\]\(\S*?images\/(?<name>[^)]+)\)/gu),
  ]);

  assert.deepEqual(readdirSync(IMAGES).sort(), made);
  assert.deepEqual([...new Set(shown.map(({ groups }) => groups.name))].sort(), made);
  for (const { groups } of shown) {
    assert.ok(groups.words.length > 40, `${groups.name} is described as "${groups.words}"`);
  }
});

test("the pictures of the documents are of the page as it is now", async (t) => {
  mkdirSync(RESULTS, { recursive: true });
  const browser = await openBrowser();
  t.after(() => browser.close());
  const demo = await Demo.start();
  t.after(() => demo.stop());
  await isPainted(demo, 40);

  const taken = await takeStills(browser, demo, RESULTS);

  for (const { name, regions } of taken) {
    assert.ok(regions.length > 5, `${name} has parts to compare`);
    const found = await differences(join(IMAGES, name), join(RESULTS, name), regions);
    assert.deepEqual(found, [], `${name} is old: \`make pictures\` takes it anew`);
  }
  const [dark, light] = STILLS.map(({ name }) => join(RESULTS, name));
  assert.ok(
    (await differences(dark, light, taken[0].regions)).length > 5,
    "the comparison sees a difference",
  );
});

test("the film is small enough to be waited for, and long enough to be understood", async () => {
  const path = join(IMAGES, FILM.name);
  const { width, pageHeight, pages, delay } = await sharp(path, { animated: true }).metadata();

  assert.deepEqual([width, pageHeight], [FILM.width, FILM.height]);
  assert.ok(statSync(path).size <= FILM.bytesMax, `${statSync(path).size} bytes`);
  const playMs = delay.reduce((sum, one) => sum + one, 0);
  assert.ok(pages >= 20 && playMs >= 6_000 && playMs <= 25_000, `${pages} frames in ${playMs} ms`);
});
