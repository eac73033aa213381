//! The server's side of the upgrade: is it one, is it valid, and what is the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::{accept_key, has_token};

/// The only version of the protocol there is.
const VERSION: &[u8] = b"13";

/// A valid request for an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept<'a> {
    /// The value of `Sec-WebSocket-Accept` for the answer.
    pub accept_key: String,
    /// The subprotocols the client offers, in its order; empty items are skipped, so an empty field offers none.
    pub subprotocols: Vec<&'a str>,
}

/// Why a request cannot be upgraded. The connection is answered with [`Self::response`] and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub enum UpgradeRefusal {
    /// Any method but GET.
    Method,
    /// A version of HTTP other than 1.1.
    HttpVersion,
    /// `Host` is missing or doubled.
    Host,
    /// No `Upgrade: websocket`.
    UpgradeMissing,
    /// No `Connection: Upgrade`.
    ConnectionMissing,
    /// `Sec-WebSocket-Version` is missing, doubled, or not 13.
    Version,
    /// `Sec-WebSocket-Key` is missing, doubled, or does not hold 16 bytes.
    Key,
}

impl UpgradeRefusal {
    /// The HTTP status: 400, 405 or 426.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion | Self::Host | Self::ConnectionMissing | Self::Key => 400,
            Self::UpgradeMissing | Self::Version => 426,
        }
    }

    /// What is wrong, for the body of the answer.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket is opened with GET",
            Self::HttpVersion => "a WebSocket is opened over HTTP/1.1",
            Self::Host => "there must be one Host field",
            Self::UpgradeMissing => "this address speaks WebSocket: send Upgrade: websocket",
            Self::ConnectionMissing => "the Connection field does not name Upgrade",
            Self::Version => "only version 13 of the WebSocket protocol is spoken here",
            Self::Key => "Sec-WebSocket-Key must hold 16 bytes in base64",
        }
    }

    /// The fields that this status requires.
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::UpgradeMissing | Self::Version => {
                &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            }
            Self::HttpVersion | Self::Host | Self::ConnectionMissing | Self::Key => &[],
        }
    }

    /// The whole HTTP answer; the connection is closed after it.
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
        // A 426 must name the upgrade in its Connection field as well (RFC 9110, section 7.8).
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

/// Checks a request for an upgrade. `http_minor` is 1 for HTTP/1.1; fields may come in any order and case.
///
/// # Errors
///
/// The first rule of RFC 6455, section 4.2.1, that the request breaks.
pub fn accept<'a>(
    method: &str,
    http_minor: u8,
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Accept<'a>, UpgradeRefusal> {
    if method != "GET" {
        return Err(UpgradeRefusal::Method);
    }
    if http_minor != 1 {
        return Err(UpgradeRefusal::HttpVersion);
    }
    let seen = Seen::collect(fields);
    // A second host would let a proxy and this end judge the origin of a page by different names.
    if seen.hosts != 1 {
        return Err(UpgradeRefusal::Host);
    }
    if !seen.upgrade {
        return Err(UpgradeRefusal::UpgradeMissing);
    }
    if !seen.connection {
        return Err(UpgradeRefusal::ConnectionMissing);
    }
    if seen.version != Some(VERSION) || seen.has_second_version {
        return Err(UpgradeRefusal::Version);
    }
    let key = seen.single_key().ok_or(UpgradeRefusal::Key)?;
    Ok(Accept {
        accept_key: accept_key(key),
        subprotocols: seen.subprotocols,
    })
}

/// The answer that opens the WebSocket. A subprotocol may be named only if the client offered it.
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

/// The fields that count, gathered in one pass.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a request"
)]
struct Seen<'a> {
    hosts: usize,
    upgrade: bool,
    connection: bool,
    version: Option<&'a [u8]>,
    has_second_version: bool,
    key: Option<&'a [u8]>,
    has_second_key: bool,
    subprotocols: Vec<&'a str>,
}

impl<'a> Seen<'a> {
    fn collect(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut seen = Self::default();
        for (name, value) in fields {
            if name.eq_ignore_ascii_case("host") {
                seen.hosts += 1;
            } else if name.eq_ignore_ascii_case("upgrade") {
                seen.upgrade |= has_token(value, "websocket");
            } else if name.eq_ignore_ascii_case("connection") {
                seen.connection |= has_token(value, "upgrade");
            } else if name.eq_ignore_ascii_case("sec-websocket-version") {
                seen.has_second_version |= seen.version.replace(value.trim_ascii()).is_some();
            } else if name.eq_ignore_ascii_case("sec-websocket-key") {
                seen.has_second_key |= seen.key.replace(value.trim_ascii()).is_some();
            } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                let offered = str::from_utf8(value).unwrap_or_default();
                seen.subprotocols.extend(
                    offered
                        .split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty()),
                );
            }
        }
        seen
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
