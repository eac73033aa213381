// Reads the cells of a page's canvas, and compares them with the server's picture of the same position.

import { until } from "./until.mjs";

/** A cell that was never painted, and a cell that is not of one colour: hollow, because it is not acknowledged yet. */
export const BLANK = "";
export const HOLLOW = "hollow";

/** Reads each cell's colour, and the position that the page reports. Runs in the page. */
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
    // The byte order in memory is red, green, blue, opacity.
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

/** The colours of the cells of the server's picture. */
export function colorsOf(picture, { colors }) {
  return [...Buffer.from(picture.pixels, "base64")].map((index) => colors[index] ?? BLANK);
}

/** Reads page and server until both are at the same position, because the painters draw continuously. */
export function readAtSamePosition(page, demo, config) {
  return until("page and server at the same position", async () => {
    const picture = await demo.picture();
    const board = await until(
      "the page at the picture's position",
      async () => {
        const current = await read(page, config);
        return current.epoch === picture.epoch && current.offset >= picture.offset && current;
      },
      2_000,
    );
    return board.offset === picture.offset && { board, picture };
  });
}

/**
 * The picture after these publications up to an offset, computed independently of page and server. A stroke in the
 * background never replaces one of a user.
 */
export function paintedBy(publications, offset, { width, height, colors }) {
  const cells = Array.from({ length: width * height }, () => BLANK);
  const users = new Set();
  for (const { data } of publications.filter(({ offset: at }) => at <= offset)) {
    const at = data.y * width + data.x;
    if (data.clear) {
      cells.fill(BLANK);
      users.clear();
    } else if (!data.background) {
      users.add(at);
      cells[at] = colors[data.color];
    } else if (!users.has(at)) {
      cells[at] = colors[data.color];
    }
  }
  return cells;
}
