// Rules of the queue: what may be sent, what must wait, and what is too old to be sent again.
//
// The gateway recognises a key for a while only. An item that may have arrived and is older than that is never sent
// again, since it could be applied twice; the picture decides what became of it.

import type { Acked, Cell, Item, Pixel, Position } from "./model";

/** More drawn pixels than this are refused: a full picture of them is a morning's work without a connection. */
export const QUEUE_MAX = 500;

/** Unanswered items at one time. */
export const IN_FLIGHT_MAX = 32;

/** How long another tab leaves a claimed item alone: a call's time-out and some more. */
export const CLAIM_MS = 8_000;

/** An item is not repeated in the last part of the window: it also has to arrive within it. */
export const WINDOW_MARGIN_MS = 15_000;

/** Acknowledged pixels that wait for their publication; the picture has them at the latest when it is loaded. */
export const ACKED_MAX = 2_000;

export function inOrder(items: Iterable<Item>): readonly Item[] {
  return [...items].sort((a, b) => a.madeMs - b.madeMs || a.turn - b.turn || (a.key < b.key ? -1 : 1));
}

function sameCell(a: Cell, b: Cell): boolean {
  return a.x === b.x && a.y === b.y;
}

/** True when a repeat could be applied a second time. A clock that was set back makes the age unknown. */
export function isOverdue(item: Item, nowMs: number, windowMs: number): boolean {
  if (item.sentMs === null) {
    return false;
  }
  const age = nowMs - item.sentMs;
  return age < 0 || age > windowMs - WINDOW_MARGIN_MS;
}

/** True when another tab is busy with it. */
export function isClaimed(item: Item, tab: string, nowMs: number): boolean {
  const { claim } = item;
  return claim !== null && claim.tab !== tab && nowMs < claim.untilMs && nowMs > claim.untilMs - 2 * CLAIM_MS;
}

/** Items to send now, oldest first; a cell's next item waits until the one before it is settled. */
export function sendable(
  items: readonly Item[],
  tab: string,
  nowMs: number,
  windowMs: number,
): readonly Item[] {
  const busy = new Set<string>();
  return items.filter((item) => {
    const cell = `${item.x},${item.y}`;
    const isFirst = !busy.has(cell);
    busy.add(cell);
    return isFirst && !isOverdue(item, nowMs, windowMs) && !isClaimed(item, tab, nowMs);
  });
}

/** Items that a new pixel makes pointless: those of the same cell that never left this browser. */
export function replaced(items: readonly Item[], pixel: Cell): readonly Item[] {
  return items.filter((item) => sameCell(item, pixel) && item.sentMs === null && item.claim === null);
}

/** What the person sees in a cell before anything is confirmed: the newest pixel of the queue, else of the acked. */
export function shown(items: readonly Item[], acked: readonly Acked[], cell: Cell): Pixel | undefined {
  return items.findLast((item) => sameCell(item, cell)) ?? acked.findLast((pixel) => sameCell(pixel, cell));
}

/** Acknowledged pixels that a picture at this position does not hold yet. */
export function unseen(acked: readonly Acked[], at: Position | null): readonly Acked[] {
  if (at === null || acked.length === 0) {
    return acked;
  }
  const left = acked.filter((pixel) => pixel.at.epoch === at.epoch && pixel.at.offset > at.offset);
  return left.length === acked.length ? acked : left;
}
