// The picture, and how it follows the channel without a hole. It trusts a picture only at its position.
//
//   no picture --loaded--> whole --hole, or a gap on subscribing--> needs a picture --new enough--> whole
//
// While a picture is needed, publications wait; what a new picture holds already is dropped from them.

import type { Pixel, Position } from "./model";

/** What was never painted. */
export const BLANK = 255;

/** Publications that wait for a picture; with more, the picture must be newer instead. */
export const WAITING_MAX = 5_000;

export interface Picture extends Position {
  readonly pixels: Uint8Array;
}

/** A publication at its offset; its pixel is null when the channel carried something else. */
export interface Placed {
  readonly offset: number;
  readonly pixel: Pixel | null;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Follow {
  readonly size: Size;
  readonly picture: Picture | null;
  /** A picture must be of this epoch and at least this new. Null when the picture goes on by itself. */
  readonly needed: Position | null;
  readonly waiting: readonly Placed[];
  /** Gaps that were closed by loading the picture again. */
  readonly reloads: number;
}

export function nothing(size: Size): Follow {
  return { size, picture: null, needed: null, waiting: [], reloads: 0 };
}

/** True when the picture shows everything up to this position. */
export function reaches(follow: Follow, at: Position): boolean {
  const { picture, needed } = follow;
  return picture !== null && needed === null && picture.epoch === at.epoch && picture.offset >= at.offset;
}

/** A picture was loaded. One that is too old changes nothing: it is loaded again. */
export function loaded(follow: Follow, picture: Picture): Follow {
  const { needed, waiting } = follow;
  if (needed === null) {
    return follow.picture === null ? { ...follow, picture } : follow;
  }
  if (picture.epoch !== needed.epoch || picture.offset < needed.offset) {
    return follow;
  }
  const whole: Follow = { ...follow, picture, needed: null, waiting: [], reloads: follow.reloads + 1 };
  return waiting.reduce(published, whole);
}

/** The channel is subscribed; without recovery it starts at this position, and what came before is unknown. */
export function subscribed(follow: Follow, at: Position, isRecovered: boolean): Follow {
  const { picture, needed } = follow;
  if (needed === null && picture !== null && picture.epoch === at.epoch) {
    // The server continues from the last publication that came in, which is where the picture is.
    if (isRecovered || picture.offset === at.offset) {
      return follow;
    }
  }
  if (needed !== null && isRecovered && needed.epoch === at.epoch) {
    return follow;
  }
  return { ...follow, needed: at, waiting: [] };
}

/** A publication arrived. */
export function published(follow: Follow, placed: Placed): Follow {
  const { picture, needed, waiting } = follow;
  if (needed !== null) {
    return wait(follow, needed, [...waiting, placed]);
  }
  if (picture === null || placed.offset <= picture.offset) {
    return follow;
  }
  if (placed.offset > picture.offset + 1) {
    return { ...follow, needed: { epoch: picture.epoch, offset: placed.offset }, waiting: [] };
  }
  return { ...follow, picture: painted(picture, placed, follow.size) };
}

function wait(follow: Follow, needed: Position, waiting: readonly Placed[]): Follow {
  const [oldest, ...rest] = waiting;
  if (oldest === undefined || waiting.length <= WAITING_MAX) {
    return { ...follow, waiting };
  }
  const offset = Math.max(needed.offset, oldest.offset);
  return { ...follow, needed: { epoch: needed.epoch, offset }, waiting: rest };
}

function painted(picture: Picture, placed: Placed, size: Size): Picture {
  const { pixel, offset } = placed;
  if (pixel === null) {
    return { ...picture, offset };
  }
  const pixels = picture.pixels.slice();
  pixels[pixel.y * size.width + pixel.x] = pixel.color;
  return { epoch: picture.epoch, offset, pixels };
}

/** The colour of a cell, as far as it is known. */
export function colorAt(follow: Follow, x: number, y: number): number {
  return follow.picture?.pixels[y * follow.size.width + x] ?? BLANK;
}
