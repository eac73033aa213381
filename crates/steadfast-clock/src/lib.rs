//! The clocks of the shells: a monotonic clock that includes suspended time, and the wall clock.
//!
//! Converts both to the units of the state machines, so that the gateway, the client and the lab measure time alike.
//! No other crate reads the system's clocks; timers belong to the shells.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use steadfast_machine::{Instant, Timestamp, convert};

/// A monotonic clock that advances while the machine is suspended, so that suspended time counts as idle time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Duration,
}

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Self {
            start: since_boot(),
        }
    }

    /// Returns the time since the start.
    pub fn now(&self) -> Instant {
        Instant::START + since_boot().saturating_sub(self.start)
    }

    /// Returns the wall-clock time; the Unix epoch when the system's clock is before it.
    pub fn wall() -> Timestamp {
        let now = to_duration(clock_gettime(ClockId::Realtime));
        Timestamp::from_millis(convert::saturating(now.as_millis()))
    }
}

fn since_boot() -> Duration {
    to_duration(clock_gettime(ClockId::Boottime))
}

/// The time since the clock's origin; zero before it.
fn to_duration(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_at_zero_and_is_monotonic() {
        let clock = Clock::start();

        let first = clock.now();
        let second = clock.now();

        assert!(first.as_nanos() < 1_000_000_000, "{first:?}");
        assert!(second >= first);
    }

    #[test]
    fn the_wall_clock_is_in_milliseconds() {
        let year_2026 = Timestamp::from_millis(1_767_225_600_000);
        let year_2100 = Timestamp::from_millis(4_102_444_800_000);

        let now = Clock::wall();

        assert!(now > year_2026 && now < year_2100, "{now:?}");
    }
}
