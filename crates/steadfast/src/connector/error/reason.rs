//! Why a stage of an attempt failed, in words for an operator.

use std::io;
use std::time::Duration;

use steadfast_protocol::websocket::handshake::{RequestError, ResponseError};
use thiserror::Error;

use crate::endpoint::DEFAULT_PATH;

/// Why a stage failed.
#[derive(Debug, Error)]
pub(crate) enum DialErrorReason {
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
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    TlsName(String),
    /// TLS cannot be configured, for example because the system's certificates cannot be read.
    #[error("failed to configure TLS: {0}")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    TlsSetup(String),
    /// The response to the TLS handshake is not TLS.
    #[error("the server does not speak TLS on this port: use ws://")]
    #[cfg_attr(
        not(any(feature = "tls", test)),
        expect(dead_code, reason = "only with TLS")
    )]
    TlsUnsupported,
    /// The server ended the handshake with this alert, for example because it requires a client's certificate.
    #[error("the server rejected the TLS handshake: {0}")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    TlsRejected(String),
    /// The client ended the handshake, for example because it supports none of the server's cipher suites.
    #[error("failed to negotiate TLS: {0}")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    TlsFailed(String),
    /// The server closed the connection during the handshake.
    #[error(
        "the server closed the connection during the TLS handshake: check that it speaks TLS on this port"
    )]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    TlsClosed,
    /// The response to the unencrypted upgrade is a TLS record.
    #[error("the server speaks TLS on this port: use wss://")]
    TlsRequired,
    /// The server's certificate is not valid for the endpoint.
    #[error("the server's certificate {0}")]
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
    Certificate(CertificateProblem),
    /// This build does not include TLS.
    #[error("TLS is not available: built without feature `tls`")]
    #[cfg_attr(feature = "tls", expect(dead_code, reason = "only without TLS"))]
    TlsMissing,
    /// The proxy requires credentials, or rejects those that were sent.
    #[error(
        "the proxy {} (HTTP status 407)",
        if *.were_sent { "rejected user name and password" } else { "requires user name and password" }
    )]
    ProxyCredentials {
        /// Whether the client sent credentials.
        were_sent: bool,
    },
    /// The proxy did not open the tunnel.
    #[error("the proxy did not connect to {target}: HTTP status {status}")]
    ProxyRejected {
        /// Host and port of the server.
        target: String,
        /// The HTTP status of the proxy's response.
        status: u16,
        /// Retry delay from the proxy's `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// The response to the unencrypted request for a tunnel is a TLS record.
    #[error("the proxy speaks TLS on this port, which is not supported: use its HTTP port")]
    ProxyTls,
    /// Bytes followed the header of the proxy's response, although the server has not received anything.
    #[error("invalid HTTP response: unexpected data after the header")]
    DataInTunnel,
    /// The server is not ready.
    #[error("the server is not ready: HTTP status {status} for {path}")]
    NotReady {
        /// The path of the check, without its query.
        path: String,
        /// The HTTP status of the response.
        status: u16,
        /// Retry delay from the server's `Retry-After` header.
        retry_after: Option<Duration>,
    },
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
    /// The server redirects to another URL.
    #[error(
        "the server redirects to {} (HTTP status {status}), which is not followed, because the token would be sent to another server: use that URL",
        .location.as_deref().unwrap_or("another URL")
    )]
    Redirected {
        /// The HTTP status of the response.
        status: u16,
        /// The target without user name, password, query and fragment, if it can be shown.
        location: Option<String>,
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
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only with TLS"))]
pub(crate) enum CertificateProblem {
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
