//! The monotonic clock of other systems, of the standard library. Its origin is the first use; on Windows, it includes
//! suspended time.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static ORIGIN: LazyLock<Instant> = LazyLock::new(now);

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that all other crates use"
)]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn since_boot() -> Duration {
    let origin = *ORIGIN;
    now().saturating_duration_since(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_at_zero_and_is_monotonic() {
        let first = since_boot();
        let second = since_boot();

        assert!(first < Duration::from_secs(1), "{first:?}");
        assert!(second >= first);
    }
}
