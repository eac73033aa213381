//! Values of a run in words, for the details of a violation.

use std::fmt;
use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Acknowledgement, SendError, SendResult};
use steadfast_core::event::SessionSnapshot;
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

use crate::ids::{ConnectionId, NodeIndex};

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// Returns a subscription with its position.
pub(crate) fn subscription(channel: &str, at: Option<&Position>) -> String {
    format!("{channel} at {}", position(at))
}

/// Returns a position, of which a client may have none.
pub(crate) fn position<'a>(position: impl Into<Option<&'a Position>>) -> String {
    position.into().map_or_else(
        || "no position".to_owned(),
        |Position { epoch, offset }| format!("offset {offset} of epoch {epoch}"),
    )
}

/// Returns a duration in seconds.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// Returns a virtual time.
pub(crate) fn at(instant: Instant) -> String {
    seconds(instant.saturating_since(Instant::START))
}

/// Returns the outcome of a publication.
pub(crate) fn outcome(outcome: &SendResult) -> String {
    match outcome {
        Ok(Acknowledgement { position, .. }) => {
            format!("acknowledged at {}", self::position(position))
        }
        Err(SendError::Expired) => "expired".to_owned(),
        Err(SendError::Interrupted) => "interrupted, may be stored".to_owned(),
        Err(SendError::OutboxFull) => "dropped: the outbox is full".to_owned(),
        Err(SendError::Unsendable(problem)) => format!("dropped: {problem}"),
        Err(SendError::Closed) => "dropped: closed".to_owned(),
        Err(SendError::Failed(why)) => format!("dropped: {why}"),
        Err(SendError::Rejected(error)) => {
            format!("rejected with code {}: {}", error.code, error.message)
        }
        Err(other) => format!("dropped: {other:?}"),
    }
}

/// Returns the state of a session.
pub(crate) fn session(snapshot: &SessionSnapshot) -> String {
    let SessionSnapshot {
        state,
        phase,
        queued,
        in_flight,
        ..
    } = snapshot;
    let cause = snapshot
        .cause
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), ToString::to_string);
    format!(
        "state {state:?}, phase {phase:?}, publications queued {queued}, in flight {in_flight}, last disconnected by: {cause}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_words_with_units() {
        let position_of = Position {
            epoch: "e.0".to_owned(),
            offset: 7,
        };

        assert_eq!(position(&position_of), "offset 7 of epoch e.0");
        assert_eq!(position(None), "no position");
        assert_eq!(at(Instant::START + Duration::from_millis(7_400)), "7.400 s");
        assert_eq!(ConnectionId(3).to_string(), "connection 3");
        let interrupted = Err(SendError::Interrupted);
        assert_eq!(outcome(&interrupted), "interrupted, may be stored");
    }
}
