//! The HTTP upgrade that opens a WebSocket (RFC 6455, section 4), for both roles, on parsed header fields.
//!
//! The functions are pure: the shell reads and parses the HTTP header. The shell is also responsible for origin, path,
//! authorisation and the choice of a subprotocol. No extension is offered or accepted; compression would be negotiated
//! here.

mod client;
mod server;

pub use client::{
    RequestError, ResponseError, UpgradeRequest, UpgradeResponse, key, request, verify_response,
};
pub use server::{Accept, UpgradeRejection, accept, response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The suffix that RFC 6455, section 1.3, appends to the key before hashing.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns the value of `Sec-WebSocket-Accept` for this `Sec-WebSocket-Key`; 28 characters.
///
/// ```
/// use steadfast_protocol::websocket::handshake::accept_key;
///
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(sec_websocket_key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(sec_websocket_key)
        .chain_update(KEY_SUFFIX)
        .finalize();
    STANDARD.encode(digest)
}

/// Returns `true` when a comma-separated field contains this token; case-insensitive.
fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
