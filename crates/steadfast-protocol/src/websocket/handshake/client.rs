//! The client side of the upgrade: the request, and the validation of the response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::{accept_key, has_token};

/// The parts of an upgrade request.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeRequest<'a> {
    /// Name or address of the server, with its port unless the port is the scheme's default.
    pub host: &'a str,
    /// Path and query; starts with a slash.
    pub path: &'a str,
    /// Value of `Sec-WebSocket-Key`, from [`key`].
    pub key: &'a str,
    /// Origin of the page for which a browser connects; other programs usually have none.
    pub origin: Option<&'a str>,
    /// Offered subprotocols, preferred first; may be empty.
    pub subprotocols: &'a [&'a str],
    /// Additional header fields, for example an authorisation.
    pub extra_fields: &'a [(&'a str, &'a str)],
}

/// Why a request is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A part contains a line break or another control character, which could inject a header field.
    #[error("invalid {0} of the request: contains a control character")]
    ControlCharacter(&'static str),
    /// The name of an additional field is empty, or is not an HTTP token.
    #[error("invalid name of an extra field: not an HTTP token")]
    FieldName,
    /// The name of a subprotocol is empty, or is not an HTTP token.
    #[error("invalid name of a subprotocol: not an HTTP token")]
    Subprotocol,
    /// The path does not start with a slash, or contains a space.
    #[error("invalid path: must start with a slash and must not contain spaces")]
    Path,
}

/// The result of a successful upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeResponse<'a> {
    /// Selected subprotocol, one of the offered subprotocols; `None` if the server selected none.
    pub subprotocol: Option<&'a str>,
}

/// Why a response does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The status is not 101.
    #[error("unexpected HTTP status {0}: expected 101")]
    Status(u16),
    /// `Upgrade: websocket` is missing.
    #[error("missing or invalid Upgrade header")]
    UpgradeMissing,
    /// `Connection: Upgrade` is missing.
    #[error("missing or invalid Connection header")]
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing or does not match the key.
    #[error("missing or invalid Sec-WebSocket-Accept header")]
    AcceptKey,
    /// The server selected an extension although none was offered.
    #[error("the server selected an extension that was not offered")]
    Extension,
    /// The server selected a subprotocol that was not offered, or more than one.
    #[error("the server selected a subprotocol that was not offered")]
    Subprotocol,
}

/// Returns the value of `Sec-WebSocket-Key` for these bytes, which must be random and new for each attempt.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// Returns the HTTP request for an upgrade to WebSocket.
///
/// # Errors
///
/// A part is invalid and would corrupt the request.
pub fn request(parts: &UpgradeRequest<'_>) -> Result<Vec<u8>, RequestError> {
    if !parts.path.starts_with('/') || parts.path.contains(' ') {
        return Err(RequestError::Path);
    }
    let mut out = String::with_capacity(256);
    out.push_str("GET ");
    push_checked(&mut out, "path", parts.path)?;
    out.push_str(" HTTP/1.1\r\n");
    push_field(&mut out, "Host", parts.host)?;
    out.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    push_field(&mut out, "Sec-WebSocket-Key", parts.key)?;
    if let Some(origin) = parts.origin {
        push_field(&mut out, "Origin", origin)?;
    }
    if !parts.subprotocols.iter().all(|name| is_token(name)) {
        return Err(RequestError::Subprotocol);
    }
    if !parts.subprotocols.is_empty() {
        push_field(
            &mut out,
            "Sec-WebSocket-Protocol",
            &parts.subprotocols.join(", "),
        )?;
    }
    for (name, value) in parts.extra_fields {
        if !is_token(name) {
            return Err(RequestError::FieldName);
        }
        out.push_str(name);
        out.push_str(": ");
        push_checked(&mut out, "value of an extra field", value)?;
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    Ok(out.into_bytes())
}

/// Validates the server's response to a request with this key and these subprotocols.
///
/// # Errors
///
/// The first rule of RFC 6455, section 4.1, that the response violates.
pub fn verify_response<'a>(
    status: u16,
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    key: &str,
    offered: &[&str],
) -> Result<UpgradeResponse<'a>, ResponseError> {
    if status != 101 {
        return Err(ResponseError::Status(status));
    }
    let (mut has_upgrade, mut has_connection, mut has_extension) = (false, false, false);
    let (mut accept, mut subprotocol, mut subprotocols) = (None, None, 0);
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("upgrade") {
            has_upgrade |= value.trim_ascii().eq_ignore_ascii_case(b"websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            has_connection |= has_token(value, "upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            accept = Some(value.trim_ascii());
        } else if name.eq_ignore_ascii_case("sec-websocket-extensions") {
            has_extension |= !value.trim_ascii().is_empty();
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            subprotocols += 1;
            subprotocol = str::from_utf8(value).ok().map(str::trim);
        }
    }
    if !has_upgrade {
        return Err(ResponseError::UpgradeMissing);
    }
    if !has_connection {
        return Err(ResponseError::ConnectionMissing);
    }
    if accept != Some(accept_key(key).as_bytes()) {
        return Err(ResponseError::AcceptKey);
    }
    if has_extension {
        return Err(ResponseError::Extension);
    }
    let is_known = subprotocol.is_some_and(|selected| offered.contains(&selected));
    if subprotocols > 1 || (subprotocols == 1 && !is_known) {
        return Err(ResponseError::Subprotocol);
    }
    Ok(UpgradeResponse { subprotocol })
}

/// Returns `true` for a token (RFC 9110, section 5.6.2), which names of fields and subprotocols are.
fn is_token(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

fn push_field(out: &mut String, name: &'static str, value: &str) -> Result<(), RequestError> {
    out.push_str(name);
    out.push_str(": ");
    push_checked(out, name, value)?;
    out.push_str("\r\n");
    Ok(())
}

fn push_checked(out: &mut String, part: &'static str, text: &str) -> Result<(), RequestError> {
    if text
        .chars()
        .any(|character| character.is_control() && character != '\t')
    {
        return Err(RequestError::ControlCharacter(part));
    }
    out.push_str(text);
    Ok(())
}
