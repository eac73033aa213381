//! The client's side of the upgrade: the request, and whether the answer may be trusted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::{accept_key, has_token};

/// What goes into a request for an upgrade.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeRequest<'a> {
    /// Name or address of the server, with its port unless that is the scheme's usual one.
    pub host: &'a str,
    /// Path and query; begins with a slash.
    pub path: &'a str,
    /// From [`key`].
    pub key: &'a str,
    /// The page on whose behalf a browser connects; programs usually have none.
    pub origin: Option<&'a str>,
    /// The subprotocols offered, best first; may be empty.
    pub subprotocols: &'a [&'a str],
    /// More fields, for example an authorisation.
    pub extra_fields: &'a [(&'a str, &'a str)],
}

/// A request that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A part holds a line break or another control character, and would smuggle in a field of its own.
    #[error("the {0} of the request holds a control character")]
    ControlCharacter(&'static str),
    /// The name of an extra field is empty, or holds what would end it or begin another.
    #[error("the name of an extra field is no token of HTTP")]
    FieldName,
    /// The path is not a path, or holds a space.
    #[error("the path must begin with a slash and must not hold spaces")]
    Path,
}

/// What the server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeResponse<'a> {
    /// One of those offered, or none.
    pub subprotocol: Option<&'a str>,
}

/// Why an answer does not open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseRefusal {
    /// Any status but 101.
    #[error("the server answered with status {0} instead of 101")]
    Status(u16),
    /// No `Upgrade: websocket`.
    #[error("the answer has no Upgrade field for WebSocket")]
    UpgradeMissing,
    /// No `Connection: Upgrade`.
    #[error("the answer has no Connection field for the upgrade")]
    ConnectionMissing,
    /// `Sec-WebSocket-Accept` is missing or does not fit the key.
    #[error("the answer does not fit the key that was sent")]
    AcceptKey,
    /// The server chose an extension although none was offered.
    #[error("the server chose an extension that was not offered")]
    Extension,
    /// The server chose a subprotocol that was not offered, or more than one.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
}

/// The value of `Sec-WebSocket-Key` for these bytes, which must come from a good random source for each attempt.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// The HTTP request that asks for a WebSocket.
///
/// # Errors
///
/// When a part would break the request apart.
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

/// Checks the server's answer to a request with this key and these subprotocols.
///
/// # Errors
///
/// The first rule of RFC 6455, section 4.1, that the answer breaks.
pub fn verify_response<'a>(
    status: u16,
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    key: &str,
    offered: &[&str],
) -> Result<UpgradeResponse<'a>, ResponseRefusal> {
    if status != 101 {
        return Err(ResponseRefusal::Status(status));
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
        return Err(ResponseRefusal::UpgradeMissing);
    }
    if !has_connection {
        return Err(ResponseRefusal::ConnectionMissing);
    }
    if accept != Some(accept_key(key).as_bytes()) {
        return Err(ResponseRefusal::AcceptKey);
    }
    if has_extension {
        return Err(ResponseRefusal::Extension);
    }
    let is_known = subprotocol.is_some_and(|chosen| offered.contains(&chosen));
    if subprotocols > 1 || (subprotocols == 1 && !is_known) {
        return Err(ResponseRefusal::Subprotocol);
    }
    Ok(UpgradeResponse { subprotocol })
}

/// True for what may name a field (RFC 9110, section 5.6.2).
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
