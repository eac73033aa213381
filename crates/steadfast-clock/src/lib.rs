//! The clocks of the shells: a monotonic clock that includes suspended time, with the boot that it counts from, and the
//! wall clock.
//!
//! Converts both to the units of the state machines, so that the gateway, the client and the lab measure time alike.
//! No other crate reads the system's clocks; timers belong to the shells.

#[cfg(unix)]
mod unix;
#[cfg(any(not(unix), test))]
mod without_unix;

use std::time::{Duration, SystemTime};

use steadfast_machine::{Instant, Timestamp, convert};

#[cfg(unix)]
use self::unix::since_boot;
#[cfg(not(unix))]
use self::without_unix::since_boot;

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
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that all other crates use"
    )]
    pub fn wall() -> Timestamp {
        // Through the C library, so that a test can run a process with another wall clock.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.unwrap_or_default().as_millis();
        Timestamp::from_millis(convert::saturating(millis))
    }
}

/// Returns the random identity of this boot of the machine; `None` when the operating system has none.
///
/// Containers on one machine share it, and each start of a virtual machine has another one.
pub fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    parse_uuid(text.trim())
}

/// Returns the milliseconds since this boot of the machine, with those for which it was suspended.
pub fn since_boot_millis() -> u64 {
    convert::saturating(since_boot().as_millis())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|digit| *digit != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then_some(number.to_be_bytes())
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
    fn the_identity_of_a_boot_is_a_uuid_that_does_not_change() {
        let first = boot_id();

        assert_eq!(first, boot_id());
        assert_eq!(first.is_some(), cfg!(target_os = "linux"));
        assert!(since_boot_millis() > 0);
        let parsed = parse_uuid("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        assert_eq!((parsed[0], parsed[1], parsed[15]), (0, 0x11, 0xff));
        for damaged in ["", "00112233", "00112233-4455-6677-8899-aabbccddeefg"] {
            assert_eq!(parse_uuid(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn the_wall_clock_is_in_milliseconds() {
        let year_2026 = Timestamp::from_millis(1_767_225_600_000);
        let year_2100 = Timestamp::from_millis(4_102_444_800_000);

        let now = Clock::wall();

        assert!(now > year_2026 && now < year_2100, "{now:?}");
    }
}
