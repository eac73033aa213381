//! The hint that says when to come back: `; retry_in=12s` at the end of a plain text.
//!
//! SDKs ignore it, our client reads it. It stands in the reason of a close and in the message of an error alike.

use std::time::Duration;

use super::REASON_BYTES_MAX;

/// What stands before the number of seconds.
const MARK: &str = "retry_in=";

/// The longest wait that a hint may ask for: what a peer says must not park a client for days.
const HINT_MAX: Duration = Duration::from_hours(1);

/// Appends the hint to a plain text; whole seconds, rounded up, at most an hour. A text that would no longer fit into
/// a close frame is cut first.
pub fn with_retry_in(text: &str, wait: Duration) -> String {
    let wait = wait.min(HINT_MAX);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let hint = format!("; {MARK}{seconds}s");
    let room = REASON_BYTES_MAX.saturating_sub(hint.len());
    let kept = text.floor_char_boundary(room);
    format!("{}{hint}", text.get(..kept).unwrap_or_default())
}

/// Reads the hint from a reason or a message. Absent, malformed or longer than an hour: `None`, respectively an hour.
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
    fn malformed_hints_are_no_hints() {
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
