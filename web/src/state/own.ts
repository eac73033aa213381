// The cells that this browser's user painted, so that they are found again: the colour by cell, `BLANK` for the others.

import { isClear, type Stroke } from "./model";
import { BLANK, type Replica, type Size } from "./replica";

export type OwnPixels = Uint8Array;

export function noOwnPixels({ width, height }: Size): OwnPixels {
  return new Uint8Array(width * height).fill(BLANK);
}

/** After an acknowledged stroke of this user. */
export function withOwn(own: OwnPixels, stroke: Stroke, size: Size): OwnPixels {
  if (isClear(stroke)) {
    return noOwnPixels(size);
  }
  const changed = own.slice();
  changed[stroke.y * size.width + stroke.x] = stroke.color;
  return changed;
}

/** The cells of the own pixels that are still in the picture. */
export function visibleOwn(own: OwnPixels, { picture }: Replica): readonly number[] {
  const cells: number[] = [];
  own.forEach((color, at) => {
    if (color !== BLANK && picture?.pixels[at] === color && picture.foreground[at] === 1) {
      cells.push(at);
    }
  });
  return cells;
}
