// The clock of a page, for ages that decide whether something may be repeated.

/** A point in time in milliseconds, comparable with the wall clock as long as that is not set back. */
export type PageClock = () => number;

/**
 * Returns a clock that never goes back and is never slower than the monotonic clock: when the wall clock is set back, ages
 * keep growing. It follows the wall clock forward, because the monotonic clock of some browsers stops while the device
 * sleeps.
 */
export function pageClock(wall: () => number, monotonic: () => number): PageClock {
  let [time, readAt] = [wall(), monotonic()];
  return () => {
    const at = monotonic();
    time = Math.max(wall(), time + (at - readAt));
    readAt = at;
    return time;
  };
}
