//! Why a transport did not open, and how it ended.

use std::time::Duration;

use crate::event::{ConnectionErrorKind, DialErrorKind, DialStage, DisconnectCause};

/// Why a transport did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialFailure {
    /// The stage that failed.
    pub stage: DialStage,
    /// The kind of error.
    pub kind: DialErrorKind,
    /// A human-readable description.
    pub text: String,
    /// Whether this machine has no network, so that the failure is not the server's.
    pub is_local: bool,
    /// Whether every further attempt at this endpoint would fail as well. The session fails if this is so for all of its
    /// endpoints.
    pub is_final: bool,
    /// The delay that the server requested.
    pub retry_after: Option<Duration>,
}

impl From<DialFailure> for DisconnectCause {
    fn from(failure: DialFailure) -> Self {
        if failure.is_local {
            return Self::LocalNetwork(failure.text);
        }
        Self::Dial {
            stage: failure.stage,
            kind: failure.kind,
            text: failure.text,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionLoss {
    /// The server sent a close frame.
    CloseFrame {
        /// The close code, if the frame has one.
        code: Option<u16>,
        /// The reason text, possibly empty.
        reason: String,
    },
    /// The connection ended without a close frame.
    Failed {
        /// How it ended.
        kind: ConnectionErrorKind,
        /// A human-readable description.
        text: String,
    },
    /// The server sent a message above the limit of this client, which ends the connection; the text describes it. The
    /// server sends it again to a client that recovers the same position.
    MessageTooLarge(String),
}

/// The code that a close frame without a code counts as (RFC 6455, section 7.4.1).
pub(crate) const NO_CODE: u16 = 1005;

impl From<ConnectionLoss> for DisconnectCause {
    fn from(loss: ConnectionLoss) -> Self {
        match loss {
            ConnectionLoss::Failed { kind, text } => Self::ConnectionFailed { kind, text },
            ConnectionLoss::MessageTooLarge(text) => Self::ConnectionFailed {
                kind: ConnectionErrorKind::Other,
                text,
            },
            ConnectionLoss::CloseFrame { code, reason } => Self::Closed {
                code: code.unwrap_or(NO_CODE),
                reason,
            },
        }
    }
}
