//! Errors of a connection attempt: the stage and the reason.

use std::io;
use std::time::Duration;

use steadfast_core::event::{DialErrorKind, DialStage};
use steadfast_protocol::websocket::handshake::{RequestError, ResponseError};
use thiserror::Error;

use crate::endpoint::{DEFAULT_PATH, Endpoint};

/// Names the stage of an attempt to reach this server.
fn stage_of(stage: DialStage, server: &str) -> String {
    let preposition = match stage {
        DialStage::Resolve => "of",
        DialStage::Connect => "to",
        DialStage::Secure | DialStage::Upgrade | _ => "with",
    };
    format!("{stage} {preposition} {server}")
}

/// A failed connection attempt.
#[derive(Debug, Error)]
#[error("{} failed", stage_of(*.stage, .server))]
pub struct DialError {
    stage: DialStage,
    /// Host and port.
    server: String,
    #[source]
    reason: DialErrorReason,
}

/// Why a stage failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialErrorReason {
    /// The stage timed out.
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The name resolves to no address.
    #[error("no address found for the name")]
    NoAddress,
    /// An error from the system.
    #[error(transparent)]
    Io(io::Error),
    /// The host is not a valid TLS server name.
    #[error("`{0}` is not a valid TLS server name")]
    TlsName(String),
    /// TLS cannot be configured, for example because the system's certificates cannot be read.
    #[error("failed to configure TLS: {0}")]
    TlsSetup(String),
    /// The response to the TLS handshake is not TLS.
    #[error("the server does not speak TLS on this port: use ws://")]
    TlsUnsupported,
    /// The response to the unencrypted upgrade is a TLS record.
    #[error("the server speaks TLS on this port: use wss://")]
    TlsRequired,
    /// The server's certificate is not valid for the endpoint.
    #[error("the server's certificate {0}")]
    Certificate(CertificateProblem),
    /// This build does not include TLS.
    #[error("TLS is not available: built without feature `tls`")]
    TlsMissing,
    /// A part of the upgrade request is invalid.
    #[error(transparent)]
    Request(RequestError),
    /// The system provides no random bytes.
    #[error("failed to read random bytes from the system")]
    Randomness,
    /// The connection was closed before the response was complete.
    #[error("the connection was closed before the response was complete")]
    ConnectionClosed,
    /// The response is not HTTP.
    #[error("invalid HTTP response")]
    NotHttp,
    /// The header of the response is too long.
    #[error("invalid HTTP response: header longer than {0} bytes")]
    HeaderTooLong(usize),
    /// The response has too many header fields.
    #[error("invalid HTTP response: more than {0} header fields")]
    TooManyFields(usize),
    /// The server has no resource at the path.
    #[error(
        "the server has no {path} (HTTP status 404): check host, port and path; the path of a gateway is {DEFAULT_PATH}"
    )]
    PathNotFound {
        /// The path of the endpoint, without its query.
        path: String,
    },
    /// The server rejected the upgrade.
    #[error("{error}")]
    Rejected {
        /// Why the response does not open a WebSocket.
        error: ResponseError,
        /// Retry delay from the server's `Retry-After` header.
        retry_after: Option<Duration>,
    },
}

/// Why a certificate is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// The certificate has expired, or this machine's clock is wrong.
    #[error("has expired, or this machine's clock is wrong")]
    Expired,
    /// The certificate is not valid yet, or this machine's clock is wrong.
    #[error("is not valid yet, or this machine's clock is wrong")]
    NotYetValid,
    /// The certificate is for another host.
    #[error("is not valid for this host name")]
    NameMismatch,
    /// The certificate was not issued by a trusted authority.
    #[error("was issued by an authority that this system does not trust")]
    Untrusted,
    /// The server uses the certificate of an authority as its own, as `openssl req -x509` creates it.
    #[error(
        "is that of an authority, and this client does not trust it as a server's own: add exactly this certificate to the client, or issue the server another one"
    )]
    AuthorityAsServer,
    /// Any other error, with the message of the TLS library.
    #[error("is invalid: {0}")]
    Other(String),
}

impl DialError {
    pub(crate) fn new(stage: DialStage, endpoint: &Endpoint, reason: DialErrorReason) -> Self {
        Self {
            stage,
            server: endpoint.socket_address(),
            reason,
        }
    }

    /// Returns the stage that failed.
    pub const fn stage(&self) -> DialStage {
        self.stage
    }

    /// Returns the reason of the failure.
    pub const fn reason(&self) -> &DialErrorReason {
        &self.reason
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> DialErrorKind {
        match &self.reason {
            DialErrorReason::TimedOut(_) => DialErrorKind::TimedOut,
            DialErrorReason::NoAddress => DialErrorKind::NameNotFound,
            DialErrorReason::Io(_) if self.stage == DialStage::Resolve => {
                DialErrorKind::NameNotFound
            }
            DialErrorReason::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                DialErrorKind::Refused
            }
            DialErrorReason::Io(_)
            | DialErrorReason::Randomness
            | DialErrorReason::ConnectionClosed => DialErrorKind::Io,
            DialErrorReason::TlsName(_)
            | DialErrorReason::TlsSetup(_)
            | DialErrorReason::TlsUnsupported
            | DialErrorReason::TlsRequired
            | DialErrorReason::TlsMissing => DialErrorKind::Tls,
            DialErrorReason::Certificate(_) => DialErrorKind::Certificate,
            DialErrorReason::Request(_) => DialErrorKind::InvalidRequest,
            DialErrorReason::PathNotFound { .. } => DialErrorKind::HttpStatus(404),
            DialErrorReason::Rejected {
                error: ResponseError::Status(status),
                ..
            } => DialErrorKind::HttpStatus(*status),
            DialErrorReason::Rejected { .. }
            | DialErrorReason::NotHttp
            | DialErrorReason::HeaderTooLong(_)
            | DialErrorReason::TooManyFields(_) => DialErrorKind::InvalidResponse,
        }
    }

    /// Returns `true` when the cause is this machine or its own network, and not the server.
    pub fn is_local(&self) -> bool {
        match &self.reason {
            DialErrorReason::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::AddrNotAvailable
            ),
            DialErrorReason::Randomness => true,
            DialErrorReason::TimedOut(_)
            | DialErrorReason::NoAddress
            | DialErrorReason::TlsName(_)
            | DialErrorReason::TlsSetup(_)
            | DialErrorReason::TlsUnsupported
            | DialErrorReason::TlsRequired
            | DialErrorReason::Certificate(_)
            | DialErrorReason::TlsMissing
            | DialErrorReason::Request(_)
            | DialErrorReason::ConnectionClosed
            | DialErrorReason::NotHttp
            | DialErrorReason::HeaderTooLong(_)
            | DialErrorReason::TooManyFields(_)
            | DialErrorReason::PathNotFound { .. }
            | DialErrorReason::Rejected { .. } => false,
        }
    }

    /// Returns `true` when no further attempt can succeed, because the cause is the configuration of the client.
    ///
    /// An invalid certificate is not permanent: renewing the certificate or changing the DNS entry fixes it without a
    /// change of the client. Later attempts are delayed by the backoff.
    pub const fn is_permanent(&self) -> bool {
        match &self.reason {
            DialErrorReason::TlsName(_)
            | DialErrorReason::TlsMissing
            | DialErrorReason::Request(_) => true,
            DialErrorReason::TimedOut(_)
            | DialErrorReason::NoAddress
            | DialErrorReason::Io(_)
            | DialErrorReason::TlsSetup(_)
            | DialErrorReason::TlsUnsupported
            | DialErrorReason::TlsRequired
            | DialErrorReason::Certificate(_)
            | DialErrorReason::Randomness
            | DialErrorReason::ConnectionClosed
            | DialErrorReason::NotHttp
            | DialErrorReason::HeaderTooLong(_)
            | DialErrorReason::TooManyFields(_)
            | DialErrorReason::PathNotFound { .. }
            | DialErrorReason::Rejected { .. } => false,
        }
    }

    /// Returns the delay that the server requests before the next attempt.
    pub const fn retry_after(&self) -> Option<Duration> {
        if let DialErrorReason::Rejected { retry_after, .. } = &self.reason {
            *retry_after
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_an_application_treats_differently_have_different_kinds() {
        let endpoint: Endpoint = "ws://localhost:1".parse().unwrap();
        let kind = |stage, reason| DialError::new(stage, &endpoint, reason).kind();
        let status = |status| DialErrorReason::Rejected {
            error: ResponseError::Status(status),
            retry_after: None,
        };
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let path = "/".to_owned();

        for code in [401, 403, 503] {
            let rejected = kind(DialStage::Upgrade, status(code));
            assert_eq!(rejected, DialErrorKind::HttpStatus(code));
        }
        for (stage, reason, expected) in [
            (
                DialStage::Upgrade,
                DialErrorReason::PathNotFound { path },
                DialErrorKind::HttpStatus(404),
            ),
            (
                DialStage::Connect,
                DialErrorReason::Io(refused()),
                DialErrorKind::Refused,
            ),
            (
                DialStage::Resolve,
                DialErrorReason::Io(refused()),
                DialErrorKind::NameNotFound,
            ),
            (
                DialStage::Secure,
                DialErrorReason::TlsUnsupported,
                DialErrorKind::Tls,
            ),
            (
                DialStage::Upgrade,
                DialErrorReason::NotHttp,
                DialErrorKind::InvalidResponse,
            ),
        ] {
            assert_eq!(kind(stage, reason), expected);
        }
    }
}
