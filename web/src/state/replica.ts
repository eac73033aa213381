// The page's replica of the picture: a loaded picture at its position, and the publications applied to it since. The
// replica never skips a publication.
//
//   no picture --loaded--> current --missing publication or gap--> reload required --new enough--> current
//
// While a reload is required, publications are buffered; those that the new picture already contains are dropped.

import { type Clear, isClear, type Position, type ReceivedPixel } from "./model";

/** The colour of a cell that was never painted. */
export const BLANK = 255;

/** The maximum number of buffered publications; above it, the oldest is dropped and a newer picture is required. */
export const BUFFERED_MAX = 5_000;

export interface Picture extends Position {
  readonly pixels: Uint8Array;
  /** For each pixel, 1 if it was drawn by a user, and 0 if it is blank or in the background. */
  readonly foreground: Uint8Array;
}

/** A publication at its offset; `stroke` is null when the publication does not change this canvas. */
export interface Publication {
  readonly offset: number;
  readonly stroke: ReceivedPixel | Clear | null;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Replica {
  readonly size: Size;
  readonly picture: Picture | null;
  /** The epoch and the minimum offset of the picture to load. Null when no reload is required. */
  readonly requiredPosition: Position | null;
  readonly buffered: readonly Publication[];
  /** How often a reloaded picture closed a gap. */
  readonly reloads: number;
}

export function emptyReplica(size: Size): Replica {
  return { size, picture: null, requiredPosition: null, buffered: [], reloads: 0 };
}

/** True when the picture contains all publications up to this position. */
export function hasReached(replica: Replica, at: Position): boolean {
  const { picture, requiredPosition } = replica;
  return (
    picture !== null && requiredPosition === null && picture.epoch === at.epoch && picture.offset >= at.offset
  );
}

/** A picture was loaded. A picture that is too old is ignored, and a newer one is still required. */
export function loaded(replica: Replica, picture: Picture): Replica {
  const { requiredPosition, buffered } = replica;
  if (requiredPosition === null) {
    return replica.picture === null ? { ...replica, picture } : replica;
  }
  if (picture.epoch !== requiredPosition.epoch || picture.offset < requiredPosition.offset) {
    return replica;
  }
  const current: Replica = {
    ...replica,
    picture,
    requiredPosition: null,
    buffered: [],
    reloads: replica.reloads + 1,
  };
  return buffered.reduce(published, current);
}

/** The channel is subscribed. Without recovery, publications up to this position may be missing. */
export function subscribed(replica: Replica, at: Position, isRecovered: boolean): Replica {
  const { picture, requiredPosition } = replica;
  if (requiredPosition === null && picture !== null && picture.epoch === at.epoch) {
    // The gateway continues after the last received publication, whose offset is the picture's.
    if (isRecovered || picture.offset === at.offset) {
      return replica;
    }
  }
  if (requiredPosition !== null && isRecovered && requiredPosition.epoch === at.epoch) {
    return replica;
  }
  return { ...replica, requiredPosition: at, buffered: [] };
}

/** A publication was received. */
export function published(replica: Replica, publication: Publication): Replica {
  const { picture, requiredPosition, buffered } = replica;
  if (requiredPosition !== null) {
    return buffer(replica, requiredPosition, [...buffered, publication]);
  }
  if (picture === null || publication.offset <= picture.offset) {
    return replica;
  }
  if (publication.offset > picture.offset + 1) {
    return {
      ...replica,
      requiredPosition: { epoch: picture.epoch, offset: publication.offset },
      buffered: [],
    };
  }
  return { ...replica, picture: apply(picture, publication, replica.size) };
}

function buffer(replica: Replica, requiredPosition: Position, buffered: readonly Publication[]): Replica {
  const [oldest, ...rest] = buffered;
  if (oldest === undefined || buffered.length <= BUFFERED_MAX) {
    return { ...replica, buffered };
  }
  const offset = Math.max(requiredPosition.offset, oldest.offset);
  return { ...replica, requiredPosition: { epoch: requiredPosition.epoch, offset }, buffered: rest };
}

function apply(picture: Picture, { stroke, offset }: Publication, size: Size): Picture {
  if (stroke === null) {
    return { ...picture, offset };
  }
  if (isClear(stroke)) {
    const { length } = picture.pixels;
    const { epoch } = picture;
    return { epoch, offset, pixels: new Uint8Array(length).fill(BLANK), foreground: new Uint8Array(length) };
  }
  const at = stroke.y * size.width + stroke.x;
  if (stroke.isBackground && picture.foreground[at] === 1) {
    return { ...picture, offset };
  }
  return {
    epoch: picture.epoch,
    offset,
    pixels: replaced(picture.pixels, at, stroke.color),
    foreground: replaced(picture.foreground, at, stroke.isBackground ? 0 : 1),
  };
}

/** Returns the same array when the value does not change. */
function replaced(values: Uint8Array, at: number, value: number): Uint8Array {
  if (values[at] === value) {
    return values;
  }
  const changed = values.slice();
  changed[at] = value;
  return changed;
}

/** The colour of a cell; `BLANK` before the first picture. */
export function colorAt(replica: Replica, x: number, y: number): number {
  return replica.picture?.pixels[y * replica.size.width + x] ?? BLANK;
}

/** True when the cell was drawn by a user. */
export function isForeground(replica: Replica, x: number, y: number): boolean {
  return replica.picture?.foreground[y * replica.size.width + x] === 1;
}
