//! A message of the application, and why it was not accepted.

use std::time::Duration;

use super::MessageId;
use crate::dialect::Unsendable;
use crate::event::DisconnectCause;

/// A message to send. Messages of one lane are sent in the order in which they are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<M> {
    /// Unique within the session.
    pub id: MessageId,
    /// The message itself.
    pub message: M,
    /// Time to live: the message is not sent later than this. `None` for no limit.
    pub ttl: Option<Duration>,
    /// If the outbox is full, drop the oldest messages that were not sent yet, and not this one.
    pub drops_oldest: bool,
}

/// Why a message has no acknowledgement; `R` is what the peer says when it rejects one.
///
/// ```
/// use steadfast_core::io::SendError;
///
/// let error = SendError::<String>::Expired;
/// assert!(!error.maybe_applied()); // the same data can be published again
/// let error = SendError::<String>::Interrupted;
/// assert!(error.maybe_applied()); // only with the same idempotency key, and soon
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<R> {
    /// The time to live passed, and the message was not applied.
    #[error("the time to live passed before the message was sent")]
    Expired,
    /// The outbox reached its limit of messages or bytes.
    #[error("the outbox is full")]
    OutboxFull,
    /// The message cannot be sent over any connection.
    #[error("the message cannot be sent: {0}")]
    Unsendable(Unsendable),
    /// The session ended.
    #[error("the session is closed")]
    Closed,
    /// The session has failed for this cause; a restarted session accepts messages again.
    #[error("the session has failed: {0}")]
    Failed(DisconnectCause),
    /// The peer permanently rejected the message.
    #[error("the server rejected the message: {0}")]
    Rejected(R),
    /// The message was sent and its outcome is unknown; sending it again is unsafe, or no longer requested.
    #[error("the message was sent, but not acknowledged: the server may have applied it")]
    Interrupted,
}

impl<R> SendError<R> {
    /// Whether the peer may have applied the message.
    pub const fn maybe_applied(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}
