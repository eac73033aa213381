//! The monotonic clock of Unix systems.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The clock that advances while the machine is suspended: on Linux it is another one than `Monotonic`, which includes
/// suspended time on Apple's systems. The others have none.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

pub(crate) fn since_boot() -> Duration {
    to_duration(clock_gettime(CLOCK))
}

/// The time since the clock's origin; zero before it.
fn to_duration(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}
