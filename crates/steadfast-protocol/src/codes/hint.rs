//! The retry hint: `; retry_in=12s` at the end of a text.
//!
//! Other SDKs ignore it; the Steadfast client reads it. It is part of the reason of a close or of the message of an
//! error.

use std::time::Duration;

use super::REASON_BYTES_MAX;

/// The text before the number of seconds.
const MARK: &str = "retry_in=";

/// The longest delay of a hint: a peer must not be able to delay a client for days.
const HINT_MAX: Duration = Duration::from_hours(1);

/// Appends the hint to a plain text; in seconds, rounded up, at most an hour. A text that would no longer fit into a
/// close frame is truncated first.
pub fn with_retry_in(text: &str, wait: Duration) -> String {
    let wait = wait.min(HINT_MAX);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let hint = format!("; {MARK}{seconds}s");
    let space = REASON_BYTES_MAX.saturating_sub(hint.len());
    let kept = text.floor_char_boundary(space);
    format!("{}{hint}", text.get(..kept).unwrap_or_default())
}

/// Reads the hint from a reason or a message. Returns `None` if it is absent or malformed, and an hour if it is longer.
pub fn retry_in(text: &str) -> Option<Duration> {
    let (_, hint) = text.rsplit_once(MARK)?;
    let seconds: u64 = hint.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(HINT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        let reason = with_retry_in("at capacity", Duration::from_millis(11_200));

        assert_eq!(reason, "at capacity; retry_in=12s");
        assert_eq!(retry_in(&reason), Some(Duration::from_secs(12)));
    }

    #[test]
    fn a_reason_with_a_hint_fits_into_a_close_frame() {
        let reason = with_retry_in(&"ü".repeat(200), Duration::MAX);

        assert!(reason.len() <= REASON_BYTES_MAX, "{}", reason.len());
        assert_eq!(retry_in(&reason), Some(HINT_MAX));
    }

    #[test]
    fn malformed_hints_are_ignored() {
        for text in [
            "",
            "shutdown",
            "retry_in=",
            "retry_in=s",
            "retry_in=-1s",
            "retry_in=1.5s",
            "retry_in=1s later",
        ] {
            assert_eq!(retry_in(text), None, "{text}");
        }
    }
}
