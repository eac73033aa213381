//! Hosts of requests and origins of web pages (RFC 6454), compared as such and not as texts: letter case, a trailing
//! dot, the form of an IPv6 address and a default port make no difference.
//!
//! Pure. [`super`] decides what an origin is allowed to do.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The maximum length of an origin; a host name has at most 253 characters.
const ORIGIN_LEN_MAX: usize = 300;

/// The host of a request or of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name in lower case, without a trailing dot; empty if the request names no host.
    Name(String),
    /// An address; one of IPv4 in the form of IPv6 is an IPv4 address.
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_valid = name.bytes().all(is_name_byte);
        is_valid.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Whether the host is this machine, whatever DNS says: `localhost` and names below it (RFC 6761), 127.x.y.z, `[::1]`.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }

    /// Whether two hosts are the same one. The three usual names of this machine are.
    fn is_same(&self, other: &Self) -> bool {
        self == other || (self.is_this_machine() && other.is_this_machine())
    }

    fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => {
                *address == Ipv4Addr::LOCALHOST || *address == Ipv6Addr::LOCALHOST
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Letters, digits and what RFC 3986 permits in a name; not `*`, which is the wildcard of patterns.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// A host with an optional port: the value of a `Host` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    /// `None` for the default port of the scheme.
    port: Option<u16>,
}

impl Authority {
    /// Returns `None` if the text is not a host with an optional port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // The colon is part of an IPv6 address.
            Some(_) if text.ends_with(']') => (text, ""),
            Some((host, port)) => (host, port),
            None => (text, ""),
        };
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        let host = Host::parse(host)?;
        Some(Self { host, port })
    }

    const fn port_or(&self, default: u16) -> u16 {
        match self.port {
            Some(port) => port,
            None => default,
        }
    }
}

/// The scheme of a page that a web server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebScheme {
    Http,
    Https,
}

impl WebScheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The origin of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `null`: of a file, or of a frame without an origin.
    Null,
    /// Of a web server.
    Web {
        scheme: WebScheme,
        authority: Authority,
    },
    /// Of another scheme, in lower case: of an extension, an application or a file (`file://`).
    Other(String),
}

impl Origin {
    /// Returns `None` if the text is not an origin, as with a path or two origins.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        if text.len() > ORIGIN_LEN_MAX {
            return None;
        }
        let (scheme, page) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => WebScheme::Http,
            "https" => WebScheme::Https,
            other => {
                let is_valid = is_scheme(other) && page.bytes().all(is_page_byte);
                return is_valid.then(|| Self::Other(text.to_ascii_lowercase()));
            }
        };
        let authority = Authority::parse(page)?;
        let is_named = authority.host != Host::Name(String::new());
        is_named.then_some(Self::Web { scheme, authority })
    }

    /// Whether the page comes from this host: from the same port of it, which may be the default port of its scheme.
    pub(crate) fn is_of(&self, host: &Authority) -> bool {
        match self {
            Self::Web { scheme, authority } => {
                let default = scheme.default_port();
                authority.host.is_same(&host.host)
                    && authority.port_or(default) == host.port_or(default)
            }
            Self::Null | Self::Other(_) => false,
        }
    }

    /// Returns the origin with its port, also if that is the default one, for patterns like `https://example.org:*`.
    fn with_port(&self) -> Option<String> {
        match self {
            Self::Web { scheme, authority } => {
                let (name, port) = (scheme.name(), authority.port_or(scheme.default_port()));
                Some(format!("{name}://{}:{port}", authority.host))
            }
            Self::Null | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    /// Writes the origin as browsers do: without a default port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Other(text) => f.write_str(text),
            Self::Web { scheme, authority } => {
                write!(f, "{}://{}", scheme.name(), authority.host)?;
                match authority.port {
                    Some(port) if port != scheme.default_port() => write!(f, ":{port}"),
                    Some(_) | None => Ok(()),
                }
            }
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

const fn is_page_byte(byte: u8) -> bool {
    is_name_byte(byte) || matches!(byte, b':' | b'[' | b']' | b'@')
}

/// Which origins a key of the configuration permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OriginPattern {
    /// Only this origin.
    Exact(Origin),
    /// Those that match a text in lower case, in which `*` is any number of characters, including none.
    Wildcard(String),
}

impl OriginPattern {
    /// Returns `None` if no origin can match the text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.contains('*') {
            return Origin::parse(text).map(Self::Exact);
        }
        let is_valid = |byte: u8| byte == b'*' || is_page_byte(byte);
        let is_page = |(scheme, page): (&str, &str)| {
            !scheme.is_empty() && scheme.bytes().chain(page.bytes()).all(is_valid)
        };
        let is_pattern = text == "*" || text.split_once("://").is_some_and(is_page);
        is_pattern.then(|| Self::Wildcard(text.to_ascii_lowercase()))
    }

    /// Whether every origin matches.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self, Self::Wildcard(pattern) if pattern == "*")
    }

    pub(crate) fn matches(&self, origin: &Origin) -> bool {
        match self {
            Self::Exact(exact) => *exact == *origin || exact.to_string() == origin.to_string(),
            Self::Wildcard(pattern) => {
                matches(pattern, &origin.to_string())
                    || origin
                        .with_port()
                        .is_some_and(|origin| matches(pattern, &origin))
            }
        }
    }
}

/// Compares with a pattern in which `*` matches any number of characters, including none.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    // Every part between two stars is matched as early as possible; the last one must end the text.
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_of_the_host_that_has_its_address_and_its_port() {
        for (origin, host, expected) in [
            ("https://app.example", "app.example:443", true),
            ("https://app.example:443", "app.example", true),
            ("http://app.example", "app.example:80", true),
            ("http://app.example:80", "app.example", true),
            ("https://app.example", "app.example:80", false),
            ("http://app.example", "app.example:443", false),
            ("https://APP.example.", "App.Example", true),
            ("https://app.example", "app.example.:443", true),
            ("http://[0:0:0:0:0:0:0:1]:8000", "[::1]:8000", true),
            ("http://[::ffff:10.0.0.1]:8000", "10.0.0.1:8000", true),
            ("http://localhost:8000", "127.0.0.1:8000", true),
            ("http://127.0.0.1:8000", "[::1]:8000", true),
            ("http://[::1]:8000", "LOCALHOST.:8000", true),
            ("http://localhost:8000", "localhost:9000", false),
            ("http://localhost:8000", "127.0.0.2:8000", false),
            ("http://a.localhost:8000", "localhost:8000", false),
            ("http://app.example", "app.example.org", false),
            ("http://app.example", "", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "null", false),
        ] {
            let page = Origin::parse(origin).unwrap();

            let host = Authority::parse(host).unwrap();

            assert_eq!(page.is_of(&host), expected, "{origin} {host:?}");
        }
    }

    #[test]
    fn what_is_not_a_host_or_an_origin_is_not_taken_for_one() {
        for host in [
            "a b",
            "a/b",
            "user@host",
            "host:port",
            "host:70000",
            "[::1",
            "[::1]x",
            "::1",
            "a:b:1",
            "*",
            "hôst",
        ] {
            assert_eq!(Authority::parse(host), None, "{host}");
        }
        for origin in [
            "",
            "app.example",
            "http://",
            "https://:443",
            "https://app.example/",
            "https://app.example/page",
            "https://*.example",
            "https://a.example https://b.example",
            "1://a",
            "file:///page",
            "app://\"",
            "app://a\\b",
        ] {
            assert_eq!(Origin::parse(origin), None, "{origin}");
        }
        assert_eq!(Origin::parse(&format!("app://{}", "a".repeat(300))), None);
    }

    #[test]
    fn every_origin_is_a_pattern_that_matches_it_and_no_other_page() {
        let other = Origin::parse("https://other.example").unwrap();
        for text in [
            "null",
            "file://",
            "https://app.example.org",
            "https://app.example.org:443",
            "http://[::1]:8000",
            "chrome-extension://abcdefgh",
            "capacitor://localhost",
            "app://.",
        ] {
            let origin = Origin::parse(text).unwrap();

            let pattern = OriginPattern::parse(&origin.to_string()).unwrap();

            assert!(pattern.matches(&origin), "{text}");
            assert!(!pattern.matches(&other), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_an_origin_with_and_without_its_default_port() {
        for (pattern, origin, expected) in [
            ("https://app.example:443", "https://app.example", true),
            ("https://App.Example.", "https://app.example:443", true),
            ("https://app.example:*", "https://app.example", true),
            ("http://localhost:*", "http://localhost:8000", true),
            ("https://*.example:443", "https://a.example", true),
            ("https://a.*:443", "https://a.example:444", false),
            ("*", "null", true),
            ("*", "file://", true),
            ("https://*", "file://", false),
            ("*://app.example", "https://app.example", true),
        ] {
            let parsed = OriginPattern::parse(pattern).unwrap();

            let origin = Origin::parse(origin).unwrap();

            assert_eq!(parsed.matches(&origin), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn stars_match_any_characters_in_order() {
        for (pattern, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("*ab", "aab", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
