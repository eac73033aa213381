//! Who may open a WebSocket: each program on the Unix socket, which only one user can open; on a port, programs with the token.

use std::fmt;
use std::net::IpAddr;

use steadfast::Secret;

/// A token that programs send to the loopback port as `Authorization: Bearer TOKEN`.
#[derive(Clone)]
pub struct Token(Secret);

impl Token {
    /// A token of at least 16 characters, none of which is a blank or a control character.
    ///
    /// # Errors
    ///
    /// The token is shorter, or has other characters.
    pub fn new(token: &str) -> Result<Self, &'static str> {
        if token.len() < 16 {
            return Err("a token has at least 16 characters");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has only visible ASCII characters");
        }
        Ok(Self(Secret::new(token.to_owned())))
    }

    /// Compares in a time that depends on the lengths only.
    fn is(&self, presented: &[u8]) -> bool {
        let own = self.0.expose().as_bytes();
        let differences = own
            .iter()
            .zip(presented)
            .fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == presented.len() && differences == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Whom a listener accepts.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// The mode of the socket file decides.
    SocketFile,
    /// Programs of this machine with the token; no web page.
    Token(Token),
}

impl Access {
    /// Whether a request with these header fields may open a WebSocket; an error is the complete HTTP response.
    pub(super) fn check(&self, fields: &[httparse::Header<'_>]) -> Result<(), &'static [u8]> {
        let Self::Token(token) = self else {
            return Ok(());
        };
        let field = |name: &str| {
            let mut found = fields
                .iter()
                .filter(|it| it.name.eq_ignore_ascii_case(name));
            found.next().map(|it| it.value)
        };
        // A web page always sends its origin, and a page whose name was bound to this machine sends that name.
        if field("Origin").is_some() || !field("Host").is_some_and(is_loopback) {
            return Err(FORBIDDEN);
        }
        let presented = field("Authorization").and_then(bearer);
        if presented.is_some_and(|it| token.is(it)) {
            Ok(())
        } else {
            Err(UNAUTHORIZED)
        }
    }
}

const FORBIDDEN: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const UNAUTHORIZED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Whether a Host field names this machine; a port is permitted.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_name) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn status(fields: &[(&str, &str)]) -> String {
        let access = Access::Token(Token::new(TOKEN).unwrap());
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| httparse::Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        match access.check(&fields) {
            Ok(()) => "accepted".to_owned(),
            Err(response) => String::from_utf8_lossy(&response[9..12]).into_owned(),
        }
    }

    #[test]
    fn a_port_accepts_programs_of_this_machine_with_the_token_and_no_web_page() {
        let host = ("Host", "127.0.0.1:7000");
        let good = "Bearer 0123456789abcdef";
        for (fields, expected) in [
            (vec![host, ("authorization", good)], "accepted"),
            (
                vec![("host", "[::1]:7000"), ("Authorization", good)],
                "accepted",
            ),
            (
                vec![
                    ("Host", "localhost"),
                    ("Authorization", "bearer 0123456789abcdef "),
                ],
                "accepted",
            ),
            (vec![host], "401"),
            (
                vec![host, ("Authorization", "Bearer 0123456789abcdeX")],
                "401",
            ),
            (
                vec![host, ("Authorization", "Bearer 0123456789abcdef0")],
                "401",
            ),
            (vec![host, ("Authorization", "Bearer ")], "401"),
            (
                vec![host, ("Authorization", "Basic 0123456789abcdef")],
                "401",
            ),
            (
                vec![host, ("Authorization", good), ("Origin", "null")],
                "403",
            ),
            (
                vec![("Host", "evil.example"), ("Authorization", good)],
                "403",
            ),
            (
                vec![("Host", "127.0.0.1.evil.example"), ("Authorization", good)],
                "403",
            ),
            (vec![("Authorization", good)], "403"),
        ] {
            assert_eq!(status(&fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_token_is_long_enough_for_a_header_and_no_debug_output_shows_it() {
        assert!(Token::new("0123456789abcde").is_err());
        assert!(Token::new("0123456789 abcdef").is_err());
        let shown = format!("{:?}", Token::new(TOKEN).unwrap());
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}
