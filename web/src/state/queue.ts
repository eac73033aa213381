// The rules of the queue: which items may be sent, which must wait, and which are too old to be sent again.
//
// The gateway remembers an idempotency key only for the deduplication window. An item that may have arrived and is
// older is never sent again, because it could be applied twice; the picture shows whether it was applied.

import {
  type Acked,
  type Cell,
  type Clear,
  type Item,
  isClear,
  type Pixel,
  type Position,
  type Stroke,
} from "./model";

/** The maximum number of queued pixels; further ones are dropped, and the user is notified. */
export const QUEUE_MAX = 500;

/** The maximum number of items in flight. */
export const IN_FLIGHT_MAX = 32;

/** How long other tabs do not send a leased item: longer than the timeout of a call. */
export const LEASE_MS = 8_000;

/** An item is not repeated in the last part of the deduplication window, because it must also arrive within it. */
export const WINDOW_MARGIN_MS = 15_000;

/** The maximum number of acknowledged pixels without their publication; above it the oldest are dropped. */
export const ACKED_MAX = 2_000;

export function inOrder(items: Iterable<Item>): readonly Item[] {
  return [...items].sort(
    (a, b) => a.createdMs - b.createdMs || a.sequence - b.sequence || (a.key < b.key ? -1 : 1),
  );
}

function isAt(stroke: Stroke, { x, y }: Cell): boolean {
  return !isClear(stroke) && stroke.x === x && stroke.y === y;
}

/** True when a repeat could be applied twice. An unknown age, after the clock was set back, counts as overdue. */
export function isOverdue(item: Item, nowMs: number, dedupWindowMs: number): boolean {
  if (item.sentMs === null) {
    return false;
  }
  const age = nowMs - item.sentMs;
  return age < 0 || age > dedupWindowMs - WINDOW_MARGIN_MS;
}

/** True while another tab holds the lease. A lease further in the future than a tab may set is ignored. */
export function isLeased(item: Item, tab: string, nowMs: number): boolean {
  const { lease } = item;
  return lease !== null && lease.tab !== tab && nowMs < lease.untilMs && nowMs > lease.untilMs - 2 * LEASE_MS;
}

/**
 * The items to send now, oldest first. A cell's next item waits until its previous one is settled. A clear waits until
 * all earlier items are settled, and all later ones wait for it, because the gateway may store items in another order
 * than they are sent when it rejects one temporarily.
 */
export function sendable(
  items: readonly Item[],
  tab: string,
  nowMs: number,
  dedupWindowMs: number,
): readonly Item[] {
  const maySend = (item: Item): boolean =>
    !isOverdue(item, nowMs, dedupWindowMs) && !isLeased(item, tab, nowMs);
  const [first] = items;
  if (first !== undefined && isClear(first)) {
    return maySend(first) ? [first] : [];
  }
  const clear = items.findIndex((item) => isClear(item));
  const busy = new Set<string>();
  return items.slice(0, clear === -1 ? items.length : clear).filter((item) => {
    const cell = isClear(item) ? "" : `${item.x},${item.y}`;
    const isFirst = !busy.has(cell);
    busy.add(cell);
    return isFirst && maySend(item);
  });
}

/** The items that a new stroke supersedes: those of the same cell, or all for a clear, that were never sent. */
export function supersededBy(items: readonly Item[], stroke: Stroke): readonly Item[] {
  return items.filter(
    (item) => item.sentMs === null && item.lease === null && (isClear(stroke) || isAt(item, stroke)),
  );
}

/** The unconfirmed strokes, as they are drawn over the picture. */
export interface Overlay {
  /** What remains of the picture: nothing after an acknowledged clear; it is dimmed while a clear is queued. */
  readonly picture: "visible" | "dimmed" | "hidden";
  readonly acked: readonly Pixel[];
  readonly queued: readonly Pixel[];
}

/** All acknowledged strokes precede all queued ones. */
export function overlay(items: readonly Item[], acked: readonly Acked[]): Overlay {
  const isQueued = items.some((item) => isClear(item));
  const isAcked = acked.some((item) => isClear(item));
  return {
    picture: isQueued ? "dimmed" : isAcked ? "hidden" : "visible",
    acked: isQueued ? [] : afterClear(acked),
    queued: afterClear(items),
  };
}

function afterClear<T extends Stroke>(strokes: readonly T[]): readonly Exclude<T, Clear>[] {
  const from = strokes.findLastIndex((stroke) => isClear(stroke)) + 1;
  return strokes.slice(from) as Exclude<T, Clear>[];
}

/** What a user sees in a cell before the picture confirms it: a pixel, or null after a clear; undefined if nothing. */
export function unconfirmed(
  items: readonly Item[],
  acked: readonly Acked[],
  cell: Cell,
): Pixel | null | undefined {
  const { picture, queued, acked: confirmed } = overlay(items, acked);
  const isHere = (pixel: Pixel): boolean => isAt(pixel, cell);
  return queued.findLast(isHere) ?? confirmed.findLast(isHere) ?? (picture === "visible" ? undefined : null);
}

/** The acknowledged pixels that a picture at this position does not contain yet. */
export function notInPicture(acked: readonly Acked[], at: Position | null): readonly Acked[] {
  if (at === null || acked.length === 0) {
    return acked;
  }
  const remaining = acked.filter((pixel) => pixel.at.epoch === at.epoch && pixel.at.offset > at.offset);
  return remaining.length === acked.length ? acked : remaining;
}
