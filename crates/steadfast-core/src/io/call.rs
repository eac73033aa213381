//! A call, and what becomes of it.

use bytes::Bytes;
use steadfast_protocol::message::{ClientInfo, HistoryResult, Position, PresenceStats, ReplyError};

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A method with raw JSON as its argument; not repeated when its answer is lost.
    Rpc {
        /// The method.
        method: String,
        /// Its argument.
        data: Bytes,
    },
    /// Publications of the past.
    History {
        /// The channel.
        channel: String,
        /// At most so many; -1 as many as the server gives, 0 only the position.
        limit: i32,
        /// Behind this position; `None` from the start.
        since: Option<Position>,
        /// Newest first.
        reverse: bool,
    },
    /// Who is in a channel.
    Presence {
        /// The channel.
        channel: String,
    },
    /// How many are in a channel.
    PresenceStats {
        /// The channel.
        channel: String,
    },
}

impl Call {
    /// Whether doing it twice is the same as doing it once.
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
    /// What the method returned, raw JSON.
    Rpc(Bytes),
    /// The publications.
    History(HistoryResult),
    /// Who is there.
    Presence(Vec<ClientInfo>),
    /// How many are there.
    PresenceStats(PresenceStats),
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server refused it.
    #[error("the server refused: {} ({})", .0.message, .0.code)]
    Refused(ReplyError),
    /// The connection ended before the answer came.
    #[error("the connection ended before the answer came")]
    Interrupted {
        /// True: it may have been executed.
        maybe_executed: bool,
    },
    /// Its deadline passed.
    #[error("the deadline passed before the answer came")]
    TimedOut {
        /// True: it may have been executed.
        maybe_executed: bool,
    },
    /// It does not fit into a message, which the server would take as a reason to end the connection for good.
    #[error("the call does not fit into a message")]
    TooLarge,
    /// Too many calls wait already.
    #[error("too many calls wait already")]
    Busy,
    /// The session ended.
    #[error("the session is closed")]
    Closed,
    /// The answer is of another kind than the call.
    #[error("the answer does not fit the call")]
    Misfit,
}
