// What is really on a page's canvas, cell by cell, beside the application's picture of the same position.

import { until } from "./until.mjs";

/** A cell that was never painted, and one that is not of one colour: hollow, since nobody acknowledged it yet. */
export const BLANK = "";
export const HOLLOW = "hollow";

/** Each cell's colour on the canvas, with the position that the page says it shows. Runs in the page. */
function readBoard({ width, height }) {
  const board = document.querySelector('[data-testid="board"]');
  const canvas = board.querySelector("canvas");
  const cell = canvas.width / width;
  const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const bits = new Uint32Array(image.data.buffer);
  const colorOf = (x, y) => {
    const first = bits[y * cell * canvas.width + x * cell];
    for (let row = y * cell; row < (y + 1) * cell; row += 1) {
      for (let column = x * cell; column < (x + 1) * cell; column += 1) {
        if (bits[row * canvas.width + column] !== first) {
          return "hollow";
        }
      }
    }
    // Bytes in memory are red, green, blue, opacity.
    const [red, green, blue, opacity] = new Uint8Array(new Uint32Array([first]).buffer);
    const hex = [red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("");
    return opacity === 0 ? "" : `#${hex}`;
  };
  const cells = Array.from({ length: width * height }, (_, at) =>
    colorOf(at % width, Math.floor(at / width)),
  );
  return { epoch: board.dataset.epoch, offset: Number(board.dataset.offset ?? Number.NaN), cells };
}

export function read(page, config) {
  return page.evaluate(readBoard, config);
}

/** The colours of the application's picture, cell by cell. */
export function colorsOf(picture, { colors }) {
  return [...Buffer.from(picture.pixels, "base64")].map((index) => colors[index] ?? BLANK);
}

/** The page and the application at one position: painters never rest, so both are read until they meet. */
export function meet(page, demo, config) {
  return until("the page and the application at one position", async () => {
    const picture = await demo.picture();
    const board = await until(
      "the page at the picture's position",
      async () => {
        const seen = await read(page, config);
        return seen.epoch === picture.epoch && seen.offset >= picture.offset && seen;
      },
      2_000,
    );
    return board.offset === picture.offset && { board, picture };
  });
}

/** The picture that these publications make, up to a position: computed apart from page and application. */
export function paintedBy(publications, offset, { width, height, colors }) {
  const cells = Array.from({ length: width * height }, () => BLANK);
  for (const { offset: at, data } of publications) {
    if (at <= offset) {
      cells[data.y * width + data.x] = colors[data.color];
    }
  }
  return cells;
}
