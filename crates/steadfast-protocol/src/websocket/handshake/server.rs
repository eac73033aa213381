//! The server side of the upgrade: the validation of the request, and the response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::{accept_key, has_token};

/// The WebSocket version of RFC 6455.
const VERSION: &[u8] = b"13";

/// A valid upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept<'a> {
    /// Value of `Sec-WebSocket-Accept` for the response.
    pub accept_key: String,
    /// Subprotocols that the client offers, in its order; empty items are skipped, so an empty field offers none.
    pub subprotocols: Vec<&'a str>,
}

/// Why a request cannot be upgraded. The server sends [`Self::response`] and closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub enum UpgradeRejection {
    /// The method is not GET.
    Method,
    /// The HTTP version is not 1.1.
    HttpVersion,
    /// `Host` is missing or repeated.
    Host,
    /// `Upgrade: websocket` is missing.
    UpgradeMissing,
    /// `Connection: Upgrade` is missing.
    ConnectionMissing,
    /// `Sec-WebSocket-Version` is missing, repeated, or not 13.
    Version,
    /// `Sec-WebSocket-Key` is missing, repeated, or does not encode 16 bytes.
    Key,
}

impl UpgradeRejection {
    /// Returns the HTTP status: 400, 405 or 426.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion | Self::Host | Self::ConnectionMissing | Self::Key => 400,
            Self::UpgradeMissing | Self::Version => 426,
        }
    }

    /// Returns the reason, for the body of the response.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket upgrade requires the method GET",
            Self::HttpVersion => "a WebSocket upgrade requires HTTP/1.1",
            Self::Host => "missing or repeated Host header",
            Self::UpgradeMissing => {
                "this endpoint requires a WebSocket upgrade: send Upgrade: websocket"
            }
            Self::ConnectionMissing => "missing or invalid Connection header: must contain Upgrade",
            Self::Version => "unsupported WebSocket version: Sec-WebSocket-Version must be 13",
            Self::Key => "invalid Sec-WebSocket-Key header: must be 16 bytes in base64",
        }
    }

    /// Returns the header fields that this status requires.
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::UpgradeMissing | Self::Version => {
                &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            }
            Self::HttpVersion | Self::Host | Self::ConnectionMissing | Self::Key => &[],
        }
    }

    /// Returns the complete HTTP response; the server closes the connection after it.
    pub fn response(self) -> Vec<u8> {
        let (status, text) = (self.status(), self.text());
        let phrase = match status {
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            _ => "Bad Request",
        };
        let mut out = format!("HTTP/1.1 {status} {phrase}\r\n");
        for (name, value) in self.fields() {
            push_field(&mut out, name, value);
        }
        push_field(&mut out, "Content-Type", "text/plain; charset=utf-8");
        push_field(&mut out, "Content-Length", &(text.len() + 1).to_string());
        // A response with Upgrade must also list `upgrade` in Connection (RFC 9110, section 7.8).
        push_field(
            &mut out,
            "Connection",
            if status == 426 {
                "close, Upgrade"
            } else {
                "close"
            },
        );
        out.push_str("\r\n");
        out.push_str(text);
        out.push('\n');
        out.into_bytes()
    }
}

/// Validates an upgrade request. `http_minor` is 1 for HTTP/1.1; fields may be in any order and case.
///
/// # Errors
///
/// The first rule of RFC 6455, section 4.2.1, that the request violates.
pub fn accept<'a>(
    method: &str,
    http_minor: u8,
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Accept<'a>, UpgradeRejection> {
    if method != "GET" {
        return Err(UpgradeRejection::Method);
    }
    if http_minor != 1 {
        return Err(UpgradeRejection::HttpVersion);
    }
    let found = UpgradeFields::collect(fields);
    // With two Host fields, a proxy and this server could check the origin of a page against different names.
    if found.hosts != 1 {
        return Err(UpgradeRejection::Host);
    }
    if !found.has_upgrade {
        return Err(UpgradeRejection::UpgradeMissing);
    }
    if !found.has_connection {
        return Err(UpgradeRejection::ConnectionMissing);
    }
    if found.version != Some(VERSION) || found.has_second_version {
        return Err(UpgradeRejection::Version);
    }
    let key = found.single_key().ok_or(UpgradeRejection::Key)?;
    Ok(Accept {
        accept_key: accept_key(key),
        subprotocols: found.subprotocols,
    })
}

/// Returns the response that opens the WebSocket. A subprotocol must be one that the client offered.
pub fn response(accept_key: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let mut out = String::with_capacity(192);
    out.push_str(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    push_field(&mut out, "Sec-WebSocket-Accept", accept_key);
    if let Some(subprotocol) = subprotocol {
        push_field(&mut out, "Sec-WebSocket-Protocol", subprotocol);
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// The relevant header fields, collected in one pass.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties of a request"
)]
struct UpgradeFields<'a> {
    hosts: usize,
    has_upgrade: bool,
    has_connection: bool,
    version: Option<&'a [u8]>,
    has_second_version: bool,
    key: Option<&'a [u8]>,
    has_second_key: bool,
    subprotocols: Vec<&'a str>,
}

impl<'a> UpgradeFields<'a> {
    fn collect(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut found = Self::default();
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("host") {
                found.hosts += 1;
            } else if name.eq_ignore_ascii_case("upgrade") {
                found.has_upgrade |= has_token(value, "websocket");
            } else if name.eq_ignore_ascii_case("connection") {
                found.has_connection |= has_token(value, "upgrade");
            } else if name.eq_ignore_ascii_case("sec-websocket-version") {
                found.has_second_version |= found.version.replace(value.trim_ascii()).is_some();
            } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                found.has_second_key |= found.key.replace(value.trim_ascii()).is_some();
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                let offered = str::from_utf8(value).unwrap_or_default();
                found.subprotocols.extend(
                    offered
                        .split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty()),
                );
            }
        }
        found
    }

    fn single_key(&self) -> Option<&'a str> {
        let key = self.key.filter(|_| !self.has_second_key)?;
        let decoded = STANDARD.decode(key).ok()?;
        (decoded.len() == 16)
            .then(|| str::from_utf8(key).ok())
            .flatten()
    }
}

fn push_field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    out.push_str(value);
    out.push_str("\r\n");
}
