//! The time of an engine: it advances with the monotonic clock alone, and knows how the wall clock differs from it.
//!
//! The wall clock may be set at any time, so no age is computed from it. It decides only which time of day a publication
//! is displayed with. The monotonic clock includes suspended time and is adjusted in frequency together with the wall
//! clock, so the difference of the two changes only when the wall clock is set: it jumps.

use std::time::Duration;

use steadfast_machine::{Instant, Timestamp, convert};

/// A wall clock that differs by more than this from what was expected has jumped: 5 s.
///
/// Above a leap second, above the steps with which time services correct a clock that they already follow (0.128 s in
/// RFC 5905), and above the time that a driver may be interrupted between its readings of the two clocks. Below every
/// time limit that an operator may notice.
pub const JUMP_MIN: Duration = Duration::from_secs(5);

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallJump {
    /// How far it was set forward, in milliseconds; negative if it was set back.
    pub millis: i64,
}

/// A clock that advances with the monotonic clock and follows the jumps of the wall clock in what it displays only.
///
/// ```
/// use std::time::Duration;
/// use steadfast_engine::time::SteadyClock;
/// use steadfast_machine::{Instant, Timestamp};
///
/// let wall = Timestamp::from_millis(1_700_000_000_000);
/// let mut clock = SteadyClock::new(Instant::START, wall);
/// let later = Instant::START + Duration::from_secs(1);
///
/// let jump = clock.observe(later, wall + Duration::from_hours(1)).unwrap();
///
/// assert_eq!(jump.millis, 3_599_000);
/// assert_eq!(clock.at(later), wall + Duration::from_secs(1));
/// assert_eq!(clock.display(clock.at(later)), wall + Duration::from_hours(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    start: Instant,
    at_start: Timestamp,
    /// Milliseconds by which the wall clock is ahead of this clock.
    offset: i64,
}

impl SteadyClock {
    /// A clock that shows `wall` now.
    pub const fn new(now: Instant, wall: Timestamp) -> Self {
        Self::with_offset(now, wall, 0)
    }

    /// A clock that shows `at` now, and that the wall clock is ahead of by so many milliseconds.
    pub const fn with_offset(now: Instant, at: Timestamp, offset: i64) -> Self {
        Self {
            start: now,
            at_start: at,
            offset,
        }
    }

    /// The time of this clock.
    pub fn at(&self, now: Instant) -> Timestamp {
        self.at_start + now.saturating_since(self.start)
    }

    /// The wall-clock time of a time of this clock, as far as the wall clock is right now.
    pub const fn display(&self, at: Timestamp) -> Timestamp {
        at.shifted(self.offset)
    }

    /// Milliseconds by which the wall clock is ahead of this clock.
    pub const fn offset(&self) -> i64 {
        self.offset
    }

    /// Compares the wall clock with this clock, both read at the same moment. Returns the jump, if there was one.
    pub fn observe(&mut self, now: Instant, wall: Timestamp) -> Option<WallJump> {
        let millis = wall.millis_since(self.display(self.at(now)));
        if millis.unsigned_abs() <= convert::saturating::<u64>(JUMP_MIN.as_millis()) {
            return None;
        }
        self.offset = self.offset.saturating_add(millis);
        Some(WallJump { millis })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_wall_clock_that_is_set_changes_what_is_displayed_and_no_age() {
        for millis in [5_001, -5_001, 86_400_000, -1_700_000_000_000] {
            let mut clock = SteadyClock::new(Instant::START, WALL);
            let now = Instant::START + Duration::from_mins(1);
            let wall = (WALL + Duration::from_mins(1)).shifted(millis);

            assert_eq!(clock.observe(now, wall), Some(WallJump { millis }));
            assert_eq!(clock.observe(now, wall), None, "reported once");
            assert_eq!(clock.at(now), WALL + Duration::from_mins(1));
            assert_eq!(clock.display(clock.at(now)), wall);
        }
    }

    #[test]
    fn small_differences_are_no_jump_until_they_add_up() {
        let mut clock = SteadyClock::new(Instant::START, WALL);

        for step in [2_000, 4_000, 5_000] {
            assert_eq!(clock.observe(Instant::START, WALL.shifted(step)), None);
        }
        let sum = clock.observe(Instant::START, WALL.shifted(6_000));

        assert_eq!(sum, Some(WallJump { millis: 6_000 }));
    }
}
