// The cells between two cells, so that a fast stroke has no gaps.

import type { Cell } from "./model";

/** All cells on the line from `from`, excluded, to `to`, included; only `to` when both are the same cell. */
export function between(from: Cell, to: Cell): readonly Cell[] {
  const steps = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y));
  if (steps === 0) {
    return [to];
  }
  return Array.from({ length: steps }, (_, index) => {
    const part = (index + 1) / steps;
    return { x: Math.round(from.x + (to.x - from.x) * part), y: Math.round(from.y + (to.y - from.y) * part) };
  });
}
