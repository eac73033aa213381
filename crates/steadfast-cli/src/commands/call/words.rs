//! The words for causes and errors: what happened, and what to do about it.

use std::time::Duration;

use steadfast::jsonrpc::{ErrorObject, codes};
use steadfast::{DialErrorKind, DisconnectCause};

use super::inputs::Request;
use super::outcome::Problem;

/// A time as it is written on the command line.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// Whether no later attempt with the same arguments is expected to succeed. What a restart of the server, of a proxy or
/// of the network can change is tried again.
pub(super) const fn is_final(cause: &DisconnectCause) -> bool {
    let DisconnectCause::Dial { kind, .. } = cause else {
        return false;
    };
    match kind {
        DialErrorKind::Certificate
        | DialErrorKind::Tls
        | DialErrorKind::InvalidResponse
        | DialErrorKind::InvalidRequest => true,
        DialErrorKind::HttpStatus(status) => !is_temporary(*status),
        DialErrorKind::TimedOut
        | DialErrorKind::NameNotFound
        | DialErrorKind::Refused
        | DialErrorKind::Io
        | _ => false,
    }
}

/// Whether the same request may succeed later: a timeout, too early, too many requests, or an error of the server.
const fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// What is awaited while no attempt has ended.
pub(super) fn connecting(request: &Request) -> String {
    let server = request.endpoint.socket_address();
    match &request.login {
        None => format!("no connection to {server} yet"),
        Some(login) => format!("no connection to {server} yet, or no reply to the login {login}"),
    }
}

/// Why there is no connection, and what to do.
pub(super) fn cause(request: &Request, cause: &DisconnectCause) -> Problem {
    match cause {
        DisconnectCause::Dial { kind, text, .. } => dial(request, *kind, text),
        DisconnectCause::ConnectTimeout => Problem::new(
            format!("an attempt timed out: {}", connecting(request)),
            "Check host and port in the URL, and whether a firewall discards packets.",
        ),
        DisconnectCause::HandshakeRejected(reason)
        | DisconnectCause::LoginFailed { text: reason, .. } => {
            let login = request.login.as_deref().unwrap_or_default();
            Problem::new(
                format!("login refused by the server: {login}: {reason}"),
                format!(
                    "Check the key, and that {login} is a method that expects it as its only param."
                ),
            )
        }
        DisconnectCause::Protocol(_) => Problem::new(
            cause.to_string(),
            "Check that the URL is that of an API of JSON-RPC 2.0.",
        ),
        DisconnectCause::Credentials(_)
        | DisconnectCause::LocalNetwork(_)
        | DisconnectCause::ConnectRejected { .. }
        | DisconnectCause::Closed { .. }
        | DisconnectCause::ConnectionFailed { .. }
        | DisconnectCause::PongTimeout(_)
        | DisconnectCause::PongMissing(_)
        | DisconnectCause::WriteTimeout(_)
        | DisconnectCause::AttemptsExhausted(_)
        | _ => Problem::new(cause.to_string(), ""),
    }
}

fn dial(request: &Request, kind: DialErrorKind, text: &str) -> Problem {
    let endpoint = &request.endpoint;
    match kind {
        DialErrorKind::Refused => Problem::new(
            format!("connection refused by {}", endpoint.socket_address()),
            "No program listens there. Check host and port in the URL, and that the server runs.\n\
             If it restarts, a longer --timeout waits for it.",
        ),
        DialErrorKind::NameNotFound => Problem::new(
            format!("no address found for the host name {}", endpoint.host()),
            "Check the host name in the URL, and the network of this machine.",
        ),
        DialErrorKind::Certificate => Problem::new(
            text,
            "If it is from a private authority, or the server's own: --ca FILE trusts the certificates in a PEM file.",
        ),
        DialErrorKind::HttpStatus(status) => http(request, status, text),
        DialErrorKind::InvalidResponse => Problem::new(
            text,
            "The program on this port is no WebSocket server. Check the port in the URL.",
        ),
        DialErrorKind::TimedOut
        | DialErrorKind::Io
        | DialErrorKind::Tls
        | DialErrorKind::InvalidRequest
        | _ => Problem::new(text, ""),
    }
}

fn http(request: &Request, status: u16, text: &str) -> Problem {
    let server = request.endpoint.socket_address();
    let (path, _query) = split_query(request.endpoint.path());
    match status {
        301 | 302 | 303 | 307 | 308 => Problem::new(text, ""),
        404 => Problem::new(
            format!("{server} has no {path} (HTTP status 404)"),
            "Check the path of the URL: the API may be at another one, for example /rpc or /ws.",
        ),
        401 | 403 => Problem::new(
            format!("{server} refused the connection (HTTP status {status})"),
            "The server, or a proxy before it, requires credentials in the HTTP request, which this command does not send,\n\
             or it does not permit this machine. --login sends a key only once the connection is open.",
        ),
        _ if is_temporary(status) => Problem::new(
            format!("{server} is not available (HTTP status {status})"),
            "Check the server, and the proxy before it. If it restarts, a longer --timeout waits for it.",
        ),
        _ => Problem::new(
            format!("no WebSocket at {path} of {server} (HTTP status {status})"),
            "Check the path of the URL: the API may be at another one, for example /rpc or /ws.",
        ),
    }
}

fn split_query(path: &str) -> (&str, &str) {
    path.split_once('?').unwrap_or((path, ""))
}

/// Whether a call without a reply may be repeated.
pub(super) fn may_repeat(request: &Request) -> String {
    let method = &request.method;
    if request.is_repeatable() {
        return format!("You can call {method} again: by its --class, that does no harm.");
    }
    format!(
        "The server may have executed {method}. Find out with a call that only reads, before you call it again."
    )
}

/// An error of the server; the hint begins with its data.
pub(super) fn error(method: &str, has_params: bool, error: &ErrorObject) -> Problem {
    let (what, hint) = match error.code {
        codes::METHOD_NOT_FOUND => (
            format!("the server has no method {method}"),
            "Check the name of the method, also upper and lower case, and the URL.",
        ),
        codes::INVALID_PARAMS if has_params => (
            format!("the server rejected the params of {method}"),
            "Check number, order, names and types of the params.",
        ),
        codes::INVALID_PARAMS => (
            format!("the server rejected {method} without params"),
            "Add the params as JSON: an array or an object.",
        ),
        _ => (format!("the server returned an error for {method}"), ""),
    };
    Problem::new(format!("{what}: {error}"), hint)
}
