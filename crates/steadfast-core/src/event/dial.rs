//! The stage at which an attempt failed, and the kind of its error, for an application that acts on them.

use std::fmt;

/// A stage of a connection attempt.
///
/// ```
/// use steadfast_core::event::DialStage;
///
/// assert_eq!(DialStage::Secure.to_string(), "TLS handshake");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialStage {
    /// Name resolution by the system.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The request to the HTTP proxy, if there is one, to open a tunnel to the server.
    Proxy,
    /// The TLS handshake.
    Secure,
    /// The check whether the server is ready, if there is one. It precedes the upgrade.
    Readiness,
    /// The HTTP upgrade.
    Upgrade,
}

impl fmt::Display for DialStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "name resolution",
            Self::Connect => "TCP connection",
            Self::Proxy => "tunnel",
            Self::Secure => "TLS handshake",
            Self::Readiness => "readiness check",
            Self::Upgrade => "WebSocket upgrade",
        })
    }
}

/// The kind of error that ended a connection attempt.
///
/// ```
/// use steadfast_core::event::DialErrorKind;
///
/// let kind = DialErrorKind::HttpStatus(404);
/// assert!(matches!(kind, DialErrorKind::HttpStatus(status) if status < 500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialErrorKind {
    /// The stage timed out.
    TimedOut,
    /// The host name has no address, or could not be resolved.
    NameNotFound,
    /// No process listens on the port.
    Refused,
    /// Any other error from the system.
    Io,
    /// TLS could not be negotiated, or one side does not use it.
    Tls,
    /// The server's certificate is not valid for the endpoint.
    Certificate,
    /// The server rejected the upgrade with this HTTP status, for example 401, 403 or 404. At [`DialStage::Proxy`] the
    /// status is the proxy's, for example 407; at [`DialStage::Readiness`] that of the check, for example 503.
    HttpStatus(u16),
    /// The response is not the expected one, for example because it is not HTTP.
    InvalidResponse,
    /// The client's own configuration is invalid, for example the name of a header field.
    InvalidRequest,
}
