//! A call, and its outcome.

use bytes::Bytes;
use steadfast_protocol::message::{ClientInfo, HistoryResult, Position, PresenceStats, ReplyError};

use crate::event::DisconnectCause;

/// A command to the server that has a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Call {
    /// A method call; not repeated if its reply is lost.
    Rpc {
        method: String,
        /// The argument, raw JSON.
        data: Bytes,
    },
    /// Reads the history of a channel.
    History {
        channel: String,
        /// The maximum number of publications; -1 requests the server's maximum, 0 the position only.
        limit: i32,
        /// Publications after this position; `None` for all.
        since: Option<Position>,
        /// Newest publications first.
        reverse: bool,
    },
    /// Lists the clients that are subscribed to a channel.
    Presence { channel: String },
    /// Counts the clients that are subscribed to a channel.
    PresenceStats { channel: String },
}

impl Call {
    /// Whether executing the call twice has the same effect as executing it once.
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Rpc { .. } => false,
            Self::History { .. } => true,
            Self::Presence { .. } => true,
            Self::PresenceStats { .. } => true,
        }
    }
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// The result of the method, raw JSON.
    Rpc(Bytes),
    /// Publications, and the position of the channel.
    History(HistoryResult),
    /// The subscribed clients.
    Presence(Vec<ClientInfo>),
    /// The number of subscribed clients.
    PresenceStats(PresenceStats),
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server replied with an error.
    #[error("the server rejected the call: {} ({})", .0.message, .0.code)]
    Rejected(ReplyError),
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
    /// The call exceeds the message size limit, for which the server would close with code 1009.
    #[error("the call exceeds the message size limit")]
    TooLarge,
    /// Too many calls are pending.
    #[error("too many pending calls")]
    Busy,
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
