//! Waiting until a gateway has done something.
//!
//! The test files include this file by its path.

use std::time::Duration;

/// Twenty a second: a machine under load gets two minutes.
const ATTEMPTS_MAX: usize = 2400;

/// Waits until the condition is true; the test fails if it is not in time.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..ATTEMPTS_MAX {
        if is_true() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("not in time: {what}");
}
