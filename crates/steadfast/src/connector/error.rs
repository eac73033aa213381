//! Errors of a connection attempt: the stage and the reason.

mod reason;

use std::io;
use std::time::Duration;

use steadfast_core::event::{DialErrorKind, DialStage};
use steadfast_protocol::websocket::handshake::ResponseError;
use thiserror::Error;

#[cfg(feature = "tls")]
pub(super) use self::reason::CertificateProblem;
pub(super) use self::reason::DialErrorReason;

/// Names the stage of an attempt to reach this server.
fn stage_of(stage: DialStage, server: &str) -> String {
    let preposition = match stage {
        DialStage::Resolve => "of",
        DialStage::Connect => "to",
        DialStage::Proxy => "through proxy",
        DialStage::Readiness => "of",
        DialStage::Secure | DialStage::Upgrade | _ => "with",
    };
    format!("{stage} {preposition} {server}")
}

/// A failed connection attempt.
#[derive(Debug, Error)]
#[error("{} failed", stage_of(*.stage, .server))]
pub(crate) struct DialError {
    stage: DialStage,
    /// Host and port of the server, or of the proxy at the stages that reach it.
    server: String,
    #[source]
    reason: DialErrorReason,
}

impl DialError {
    pub(super) const fn new(stage: DialStage, server: String, reason: DialErrorReason) -> Self {
        Self {
            stage,
            server,
            reason,
        }
    }

    /// Returns the stage that failed.
    pub(crate) const fn stage(&self) -> DialStage {
        self.stage
    }

    /// Returns the reason of the failure.
    pub(crate) const fn reason(&self) -> &DialErrorReason {
        &self.reason
    }

    /// Returns the kind of the error.
    pub(crate) fn kind(&self) -> DialErrorKind {
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
            | DialErrorReason::TlsClosed
            | DialErrorReason::ConnectionClosed => DialErrorKind::Io,
            DialErrorReason::TlsName(_)
            | DialErrorReason::TlsSetup(_)
            | DialErrorReason::TlsUnsupported
            | DialErrorReason::TlsRejected(_)
            | DialErrorReason::TlsFailed(_)
            | DialErrorReason::TlsRequired
            | DialErrorReason::ProxyTls
            | DialErrorReason::TlsMissing => DialErrorKind::Tls,
            DialErrorReason::Certificate(_) => DialErrorKind::Certificate,
            DialErrorReason::Request(_) => DialErrorKind::InvalidRequest,
            DialErrorReason::PathNotFound { .. } => DialErrorKind::HttpStatus(404),
            DialErrorReason::ProxyCredentials { .. } => DialErrorKind::HttpStatus(407),
            DialErrorReason::ProxyRejected { status, .. }
            | DialErrorReason::NotReady { status, .. }
            | DialErrorReason::Redirected { status, .. } => DialErrorKind::HttpStatus(*status),
            DialErrorReason::Rejected {
                error: ResponseError::Status(status),
                ..
            } => DialErrorKind::HttpStatus(*status),
            DialErrorReason::Rejected { .. }
            | DialErrorReason::DataInTunnel
            | DialErrorReason::NotHttp
            | DialErrorReason::HeaderTooLong(_)
            | DialErrorReason::TooManyFields(_) => DialErrorKind::InvalidResponse,
        }
    }

    /// Returns `true` when the cause is this machine or its own network, and not the server.
    pub(crate) fn is_local(&self) -> bool {
        if let DialErrorReason::Io(error) = &self.reason {
            return matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::AddrNotAvailable
            );
        }
        matches!(self.reason, DialErrorReason::Randomness)
    }

    /// Returns `true` when no further attempt at this endpoint can succeed, because the cause is the configuration of the client.
    ///
    /// An invalid certificate is not permanent: renewing the certificate or changing the DNS entry fixes it without a
    /// change of the client. Later attempts are delayed by the backoff.
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(
            self.reason,
            DialErrorReason::TlsName(_) | DialErrorReason::TlsMissing | DialErrorReason::Request(_)
        )
    }

    /// Returns whether the server has no such path.
    #[cfg(feature = "truenas")]
    pub(crate) const fn is_path_missing(&self) -> bool {
        matches!(self.reason, DialErrorReason::PathNotFound { .. })
    }

    /// Returns the delay that the server or the proxy requests before the next attempt.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        if let DialErrorReason::ProxyRejected { retry_after, .. }
        | DialErrorReason::NotReady { retry_after, .. }
        | DialErrorReason::Rejected { retry_after, .. } = &self.reason
        {
            return *retry_after;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_an_application_treats_differently_have_different_kinds() {
        let kind = |stage, reason| DialError::new(stage, "a:1".to_owned(), reason).kind();
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
    #[test]
    fn only_errors_of_this_machine_and_its_network_are_local() {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, InvalidData, NetworkDown, NetworkUnreachable, Other, PermissionDenied,
            TimedOut, UnexpectedEof,
        };
        let is_local = |reason| DialError::new(DialStage::Connect, "a:1".to_owned(), reason);
        let is_local = |reason| is_local(reason).is_local();
        for (kind, expected) in [
            (NetworkUnreachable, true),
            (NetworkDown, true),
            (HostUnreachable, true),
            (AddrNotAvailable, true),
            (ConnectionRefused, false),
            (ConnectionReset, false),
            (ConnectionAborted, false),
            (TimedOut, false),
            (UnexpectedEof, false),
            (PermissionDenied, false),
            (AddrInUse, false),
            (InvalidData, false),
            (Other, false),
        ] {
            let error = io::Error::from(kind);
            assert_eq!(is_local(DialErrorReason::Io(error)), expected, "{kind:?}");
        }
        assert!(is_local(DialErrorReason::Randomness));
        for reason in [
            DialErrorReason::NoAddress,
            DialErrorReason::TimedOut(Duration::from_secs(1)),
            DialErrorReason::NotHttp,
            DialErrorReason::ConnectionClosed,
        ] {
            assert!(!is_local(reason));
        }
    }

    /// The numbers of the system, as a socket reports them.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_errors_of_a_socket_without_a_network_are_local() {
        for (number, name, expected) in [
            (100, "ENETDOWN", true),
            (101, "ENETUNREACH", true),
            (113, "EHOSTUNREACH", true),
            (99, "EADDRNOTAVAIL", true),
            (111, "ECONNREFUSED", false),
            (104, "ECONNRESET", false),
            (110, "ETIMEDOUT", false),
            (1, "EPERM", false),
        ] {
            let reason = DialErrorReason::Io(io::Error::from_raw_os_error(number));
            let error = DialError::new(DialStage::Connect, "a:1".to_owned(), reason);

            assert_eq!(error.is_local(), expected, "{name}");
        }
    }
}
