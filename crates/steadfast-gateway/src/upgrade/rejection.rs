//! What a request gets that does not become a client: an HTTP error, or a WebSocket that is closed at once.

use steadfast_machine::convert;
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::websocket::handshake::UpgradeRejection;
use steadfast_protocol::websocket::{Role, WebSocketEndpoint};

use super::PROTOBUF;
use crate::config::keys::SettingSource;
use crate::config::reference::ConfigKey;

/// A request that gets an HTTP error, or a WebSocket that is closed at once.
#[derive(Debug)]
pub(crate) struct HttpRejection {
    pub(crate) response: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) cause: RejectionCause,
    /// The reason, in plain text.
    pub(crate) reason: String,
}

/// Why a request is rejected, as operators distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RejectionCause {
    /// A web page whose origin is not allowed.
    Origin,
    /// A limit that this determines is reached.
    Limit(SettingSource),
    /// The client requires an encoding that is not supported.
    Protobuf,
    /// The request is not valid.
    Request,
}

/// Opens the WebSocket of a client that requires Protobuf and closes it: SDKs try again without end after an HTTP error,
/// and stop after this code.
pub(super) fn close_at_once(upgrade: &[u8]) -> HttpRejection {
    let code = convert::saturating(DisconnectCode::InappropriateProtocol.code());
    let reason = "Protobuf is not supported: use JSON";
    let mut response = upgrade.to_vec();
    if let Some(close) = WebSocketEndpoint::new(Role::Server).close(code, reason) {
        close.as_frame().append_server(&mut response);
    }
    HttpRejection {
        response,
        status: 101,
        cause: RejectionCause::Protobuf,
        reason: format!("{reason} (without format=protobuf and the subprotocol {PROTOBUF})"),
    }
}

/// Returns the rejection of a request that is not valid.
pub(super) fn invalid(reason: String) -> HttpRejection {
    reject(400, RejectionCause::Request, reason)
}

/// Returns the rejection of a head that exceeds the limit of this key.
pub(super) fn too_large(key: &'static ConfigKey, problem: &str) -> HttpRejection {
    let (name, section) = (key.name, key.section);
    let reason =
        format!("{problem}: increase {name} in the section [{section}] of the configuration");
    reject(431, RejectionCause::Limit(SettingSource::Key(key)), reason)
}

/// Returns the rejection of a client for which there is no socket, because of this limit. SDKs try again later.
pub(crate) fn without_socket(limit: SettingSource) -> HttpRejection {
    let reason = format!("too many connections: {limit} is reached");
    HttpRejection {
        response: rejection_response(503, &reason),
        status: 503,
        cause: RejectionCause::Limit(limit),
        reason,
    }
}

/// Returns the rejection of an upgrade that violates RFC 6455.
pub(super) fn not_an_upgrade(method: &str, error: UpgradeRejection) -> HttpRejection {
    let mut response = error.response();
    if method == "HEAD" {
        // A response to HEAD has no body.
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        response.truncate(end.map_or(response.len(), |end| end + 4));
    }
    HttpRejection {
        response,
        status: error.status(),
        cause: RejectionCause::Request,
        reason: error.text().to_owned(),
    }
}

/// Returns a rejection with this status and reason.
pub(super) fn reject(status: u16, cause: RejectionCause, reason: String) -> HttpRejection {
    let response = rejection_response(status, &reason);
    HttpRejection {
        response,
        status,
        cause,
        reason,
    }
}

/// Returns a response after which the connection is closed, with the reason as its body.
fn rejection_response(status: u16, reason: &str) -> Vec<u8> {
    let phrase = match status {
        403 => "Forbidden",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let retry = if status == 503 {
        "Retry-After: 5\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n{retry}\r\n{reason}\n",
        reason.len() + 1
    )
    .into_bytes()
}
