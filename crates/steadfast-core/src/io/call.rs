//! Why a call has no result.

use crate::dialect::Unsendable;
use crate::event::DisconnectCause;

/// Why a call has no result; `R` is what the peer says when it rejects one.
///
/// ```
/// use steadfast_core::io::CallError;
///
/// /// Whether a call without an idempotent effect can be made again.
/// fn is_safe_to_repeat<R>(error: &CallError<R>) -> bool {
///     match error {
///         CallError::TimedOut { maybe_executed } | CallError::Interrupted { maybe_executed } => !maybe_executed,
///         CallError::Busy | CallError::ServerBusy | CallError::Failed(_) | CallError::Closed => true,
///         _ => false,
///     }
/// }
/// # assert!(is_safe_to_repeat::<()>(&CallError::Busy));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<R> {
    /// The server replied with an error.
    #[error("the server rejected the call: {0}")]
    Rejected(R),
    /// The connection was lost before the reply was received.
    #[error("connection lost before the reply was received")]
    Interrupted {
        /// Whether the server may have executed it.
        maybe_executed: bool,
    },
    /// The deadline passed before the reply was received.
    #[error("timed out waiting for the reply")]
    TimedOut {
        /// Whether the server may have executed it.
        maybe_executed: bool,
    },
    /// The call cannot be sent over any connection.
    #[error("the call cannot be sent: {0}")]
    Unsendable(Unsendable),
    /// Too many calls are pending.
    #[error("too many pending calls")]
    Busy,
    /// The deadline passed, and until then the server had too many calls to execute this one: it was not executed.
    #[error("the server had too many calls until the deadline")]
    ServerBusy,
    /// The call was executed, and its result is above the limit of the client, which has discarded it. The same call would
    /// have the same result: request less, or raise the limit.
    #[error("the result has {bytes} bytes, above the limit of the client")]
    ResultTooLarge {
        /// The length of the message with the result, in bytes.
        bytes: u64,
    },
    /// The session ended.
    #[error("the session is closed")]
    Closed,
    /// The session has failed for this cause, and the call was not executed; a restarted session accepts calls again.
    #[error("the session has failed: {0}")]
    Failed(DisconnectCause),
    /// The type of the reply is not that of the call.
    #[error("unexpected reply type")]
    UnexpectedReply,
}
