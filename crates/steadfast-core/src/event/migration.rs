//! Why a connection is to be replaced by another one, and why it is not.

use std::fmt;

use steadfast_machine::Instant;

use super::DisconnectCause;

/// Why a connection is to be replaced while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationReason {
    /// An endpoint of better priority may be available again.
    Failback,
    /// The application requested it.
    Requested,
    /// The login of the present connection expires, and cannot be renewed over it.
    Renewal,
}

impl fmt::Display for MigrationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failback => "failback",
            Self::Requested => "requested",
            Self::Renewal => "renewal",
        })
    }
}

/// Why a connection is not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The session has no connection that is ready, or is closing.
    #[error("the session is not ready")]
    NotReady,
    /// The list has no endpoint with this index.
    #[error("there is no such endpoint")]
    UnknownEndpoint,
    /// The server of the endpoint requested a delay before the next attempt.
    #[error("the server requested a delay")]
    Postponed {
        /// The end of the delay.
        until: Instant,
    },
    /// The attempt failed.
    #[error("{0}")]
    Failed(DisconnectCause),
    /// The present connection was lost, or the session was closed, before the server accepted the client.
    #[error("the session lost its connection or was closed")]
    Abandoned,
    /// A request that must not be repeated was in flight over the present connection, and the renewal can wait. It is tried
    /// again later.
    #[error("a request that must not be repeated was in flight")]
    RequestInFlight,
}
