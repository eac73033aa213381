//! The wall clock of a run, which is set wrong and right again as a fault.
//!
//! All nodes share it, and it has its own randomness, so that a seed means the same other faults with and without it.

use std::time::Duration;

use steadfast_machine::{Generator, Instant, Seed, Timestamp, convert};

/// The right time at the start of every run.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;
/// How far the wall clock is set wrong: more than a deduplication window, than the age of the history, than the age of
/// channels; and as far as a clock is wrong that was lost.
const ERRORS_MS: [i64; 4] = [
    3 * 60_000,
    25 * HOUR_MS,
    31 * 24 * HOUR_MS,
    10 * 365 * 24 * HOUR_MS,
];
/// Of the generator of the wall clock, so that it differs from that of the run.
const SALT: u64 = 0x77a1_1c10;

#[derive(Debug)]
pub(crate) struct WallClock {
    generator: Generator,
    /// How far the wall clock is ahead of the right time, in milliseconds.
    error_ms: i64,
    highest_error_ms: u64,
}

impl WallClock {
    /// The right wall clock of the run with this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            generator: Seed::new(seed ^ SALT).generator(),
            error_ms: 0,
            highest_error_ms: 0,
        }
    }

    pub(crate) const fn error_ms(&self) -> i64 {
        self.error_ms
    }

    /// The furthest that it was ever ahead, so that a time which follows it never goes back.
    pub(crate) const fn highest_error_ms(&self) -> u64 {
        self.highest_error_ms
    }

    /// What a wall clock shows that is ahead by so much.
    pub(crate) fn at(now: Instant, error_ms: i64) -> Timestamp {
        (START + now.saturating_since(Instant::START)).shifted(error_ms)
    }

    /// Draws the times at which the wall clock is set.
    pub(crate) fn draw_times(&mut self, within: Duration) -> Vec<Duration> {
        let count = 1 + self.generator.below(3);
        (0..count)
            .map(|_| self.generator.between(Duration::from_millis(50), within))
            .collect()
    }

    /// Sets the wall clock wrong, or right if it was wrong.
    pub(crate) fn set(&mut self) {
        self.error_ms = if self.error_ms == 0 {
            self.draw_error()
        } else {
            0
        };
        self.highest_error_ms = self
            .highest_error_ms
            .max(self.error_ms.max(0).unsigned_abs());
    }

    /// The machine starts again, sometimes without knowing the time. Returns whether it is wrong.
    ///
    /// It is never ahead then: after such a start, the history is hidden until the clock is right, as it must be.
    pub(crate) fn restart(&mut self) -> bool {
        if self.error_ms > 0 || self.generator.chance(1, 4) {
            self.error_ms = -self.draw_error().abs();
            return true;
        }
        false
    }

    fn draw_error(&mut self) -> i64 {
        let error = ERRORS_MS
            .get(self.generator.below_len(ERRORS_MS.len()))
            .copied()
            .unwrap_or(HOUR_MS);
        if self.generator.chance(1, 2) {
            error
        } else {
            -error
        }
    }
}

/// The milliseconds of a time of the run.
pub(crate) fn millis(now: Instant) -> u64 {
    convert::saturating(now.saturating_since(Instant::START).as_millis())
}
