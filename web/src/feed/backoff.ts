// How long to wait before the next try: full jitter under a cap that doubles. Pure; the dice are handed in.

/** Shorter than a person waits, longer than a loop that only burns the processor. */
export const FLOOR_MS = 50;
export const BASE_MS = 250;
/** A person watches this page, so it tries more often than a program that nobody looks at. */
export const CAP_MS = 5_000;
/** Each so much of life after a connect halves the growth. */
export const STABLE_MS = 10_000;
/** 2^5 times the base is above the cap. */
const LEVEL_MAX = 5;

export function delayMs(level: number, dice: () => number): number {
  return FLOOR_MS + Math.floor(dice() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(level, LEVEL_MAX)));
}

/** The growth that is left after a connection that lasted so long; a flapping server keeps it. */
export function levelAfter(level: number, lastedMs: number): number {
  return Math.max(0, Math.min(level, LEVEL_MAX) - Math.floor(lastedMs / STABLE_MS));
}
