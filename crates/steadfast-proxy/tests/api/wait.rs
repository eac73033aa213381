//! Waiting for what has no other signal: what the kernel and other tasks do.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take before its test fails.
const LIMIT: Duration = Duration::from_secs(20);
/// The interval at which a condition is checked.
const INTERVAL: Duration = Duration::from_millis(5);

/// Polls until the condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::sleep(INTERVAL);
    }
}
