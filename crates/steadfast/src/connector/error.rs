//! At which stage an attempt failed, and why.

use std::fmt;
use std::io;
use std::time::Duration;

use steadfast_protocol::websocket::handshake::{RequestError, ResponseError};
use thiserror::Error;

/// A step on the way to an open WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking the name up.
    Resolve,
    /// TCP.
    Connect,
    /// TLS.
    Secure,
    /// The HTTP upgrade.
    Upgrade,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking the name up",
            Self::Connect => "connecting",
            Self::Secure => "the TLS handshake",
            Self::Upgrade => "the upgrade",
        })
    }
}

/// An attempt that did not lead to an open WebSocket.
#[derive(Debug, Error)]
#[error("{stage} failed")]
pub struct DialError {
    stage: Stage,
    #[source]
    failure: Failure,
}

/// Why a stage failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The stage did not end in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// What the system said.
    #[error(transparent)]
    Io(io::Error),
    /// The host is no name that a certificate can be checked for.
    #[error("`{0}` is no name that a certificate can be checked for")]
    TlsName(String),
    /// The certificates of the system could not be used.
    #[error("TLS cannot be set up: {0}")]
    TlsSetup(String),
    /// The server's certificate does not prove that it is the one that was asked for.
    #[error("the server's certificate {0}")]
    Certificate(CertificateProblem),
    /// This build has no TLS.
    #[error("this build has no TLS (feature `tls`)")]
    TlsMissing,
    /// The request would break apart.
    #[error(transparent)]
    Request(RequestError),
    /// No randomness for the key.
    #[error("the system gave no randomness")]
    Randomness,
    /// The connection ended in the middle of the answer.
    #[error("the connection ended before the answer was complete")]
    Ended,
    /// The answer is no HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The head of the answer is longer than its limit.
    #[error("the head of the answer is longer than {0} bytes")]
    HeadTooLong(usize),
    /// The server does not open a WebSocket.
    #[error("{refusal}")]
    Refused {
        /// Why not.
        refusal: ResponseError,
        /// What the server wants waited, from its `Retry-After` in seconds.
        retry_after: Option<Duration>,
    },
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its time is over, or this machine's clock is wrong.
    #[error("has expired, or this machine's clock is wrong")]
    Expired,
    /// Its time has not begun, or this machine's clock is wrong.
    #[error("is not valid yet, or this machine's clock is wrong")]
    NotYetValid,
    /// It belongs to another host.
    #[error("is for another host than the one that was dialled")]
    OtherName,
    /// No authority that is trusted here stands behind it.
    #[error("was issued by an authority that this system does not trust")]
    Untrusted,
    /// Something else, in the words of the TLS library.
    #[error("cannot be used: {0}")]
    Other(String),
}

impl DialError {
    pub(crate) const fn new(stage: Stage, failure: Failure) -> Self {
        Self { stage, failure }
    }

    /// How far the attempt came.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Why it did not go on.
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }

    /// True when the cause is this machine's own network, so that no server is to blame.
    pub fn is_local(&self) -> bool {
        match &self.failure {
            Failure::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::AddrNotAvailable
            ),
            Failure::Randomness => true,
            Failure::TimedOut(_)
            | Failure::NoAddress
            | Failure::TlsName(_)
            | Failure::TlsSetup(_)
            | Failure::Certificate(_)
            | Failure::TlsMissing
            | Failure::Request(_)
            | Failure::Ended
            | Failure::NotHttp
            | Failure::HeadTooLong(_)
            | Failure::Refused { .. } => false,
        }
    }

    /// True when no further attempt can go better, because the fault is in what was asked for.
    ///
    /// A certificate that does not prove the server is no such fault: it is renewed, or a name leads elsewhere, without
    /// the client being touched. The next attempts come with the growth of a failure.
    pub const fn is_final(&self) -> bool {
        match &self.failure {
            Failure::TlsName(_) | Failure::TlsMissing | Failure::Request(_) => true,
            Failure::TimedOut(_)
            | Failure::NoAddress
            | Failure::Io(_)
            | Failure::TlsSetup(_)
            | Failure::Certificate(_)
            | Failure::Randomness
            | Failure::Ended
            | Failure::NotHttp
            | Failure::HeadTooLong(_)
            | Failure::Refused { .. } => false,
        }
    }

    /// What the server wants waited before the next attempt.
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Failure::Refused { retry_after, .. } = &self.failure {
            *retry_after
        } else {
            None
        }
    }
}
