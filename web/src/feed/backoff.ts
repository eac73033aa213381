// The delay before the next attempt: full jitter under a bound that doubles up to a cap. Pure; the caller passes the
// source of randomness.

/** Too short to be noticed, and long enough to prevent a busy loop. */
export const FLOOR_MS = 50;
export const BASE_MS = 250;
/** A user watches this page, and the gateway is restarted within about a second, also after many kills in a row. */
export const CAP_MS = 1_000;
/** For each such period that a connection lasted, the level decreases by one. */
export const STABLE_MS = 10_000;
/** 2^2 times the base is the cap. */
const LEVEL_MAX = 2;

/** The exponent is limited, so that the power stays finite. */
const EXPONENT_MAX = 10;

export function delayMs(level: number, random: () => number, capMs = CAP_MS): number {
  return FLOOR_MS + Math.floor(random() * Math.min(capMs, BASE_MS * 2 ** Math.min(level, EXPONENT_MAX)));
}

/** The level after a connection of this duration. A server that closes each connection early keeps the level high. */
export function levelAfter(level: number, lastedMs: number): number {
  return Math.max(0, Math.min(level, LEVEL_MAX) - Math.floor(lastedMs / STABLE_MS));
}
