// The rules of the queue: which items may be sent, which must wait, and which are too old to be sent again.
//
// The gateway remembers an idempotency key only for the deduplication window. An item that may have arrived and is
// older is never sent again, because it could be applied twice; the picture shows whether it was applied.

import type { Acked, Cell, Item, Pixel, Position } from "./model";

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

function sameCell(a: Cell, b: Cell): boolean {
  return a.x === b.x && a.y === b.y;
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

/** The items to send now, oldest first. A cell's next item waits until its previous one is settled. */
export function sendable(
  items: readonly Item[],
  tab: string,
  nowMs: number,
  dedupWindowMs: number,
): readonly Item[] {
  const busy = new Set<string>();
  return items.filter((item) => {
    const cell = `${item.x},${item.y}`;
    const isFirst = !busy.has(cell);
    busy.add(cell);
    return isFirst && !isOverdue(item, nowMs, dedupWindowMs) && !isLeased(item, tab, nowMs);
  });
}

/** The items that a new pixel supersedes: those of the same cell that were never sent. */
export function supersededBy(items: readonly Item[], pixel: Cell): readonly Item[] {
  return items.filter((item) => sameCell(item, pixel) && item.sentMs === null && item.lease === null);
}

/** The unconfirmed pixel that is visible in a cell: the newest in the queue, else the newest acknowledged one. */
export function visiblePixel(items: readonly Item[], acked: readonly Acked[], cell: Cell): Pixel | undefined {
  return items.findLast((item) => sameCell(item, cell)) ?? acked.findLast((pixel) => sameCell(pixel, cell));
}

/** The acknowledged pixels that a picture at this position does not contain yet. */
export function notInPicture(acked: readonly Acked[], at: Position | null): readonly Acked[] {
  if (at === null || acked.length === 0) {
    return acked;
  }
  const remaining = acked.filter((pixel) => pixel.at.epoch === at.epoch && pixel.at.offset > at.offset);
  return remaining.length === acked.length ? acked : remaining;
}
