//! Which clients may connect: web pages by their origin, and clients without a credential.
//!
//! Pure functions of the request. The hub decides how to reply to a client without access.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use steadfast_hub::io::Access;

use crate::config::Anonymous;

/// How a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The request has no proxy header.
    Direct,
    /// A proxy header says that the request was forwarded.
    Forwarded,
}

/// The access rules of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct AccessRules {
    anonymous: Anonymous,
    /// Patterns in lower case.
    allowed_origins: Vec<String>,
}

impl AccessRules {
    pub(crate) fn new(anonymous: Anonymous, allowed_origins: &[String]) -> Self {
        let allowed_origins = allowed_origins
            .iter()
            .map(|origin| origin.to_ascii_lowercase())
            .collect();
        Self {
            anonymous,
            allowed_origins,
        }
    }

    /// Returns the access of a client at this address, whose `Host` header is `host`.
    ///
    /// The host name is checked as well because a foreign page can make its own domain name resolve to 127.0.0.1; its
    /// requests then arrive from loopback, but with that name.
    /// A proxy on this machine makes every client look local, so forwarded requests do not count as local.
    pub(crate) fn access(&self, client: IpAddr, host: &str, route: Route) -> Access {
        let is_local = route == Route::Direct && is_loopback(client) && is_loopback_name(host);
        match self.anonymous {
            Anonymous::All => Access::Anonymous,
            Anonymous::Loopback if is_local => Access::Anonymous,
            Anonymous::Loopback => Access::CredentialNeeded,
        }
    }

    /// Whether a page of this origin may connect to this host. Clients other than browsers send no origin.
    pub(crate) fn allows_origin(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else {
            return true;
        };
        let origin = origin.to_ascii_lowercase();
        let is_same_host = origin
            .split_once("://")
            .is_some_and(|(_, page)| page.eq_ignore_ascii_case(host));
        is_same_host
            || self
                .allowed_origins
                .iter()
                .any(|pattern| matches(pattern, &origin))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether the host is `localhost`, 127.x.y.z or `[::1]`, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_digits);
        return is_port
            && address
                .parse::<Ipv6Addr>()
                .is_ok_and(|address| address.is_loopback());
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_digits(port) => name,
        Some(_) => return false,
        None => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

    fn rules(anonymous: Anonymous, origins: &[&str]) -> AccessRules {
        AccessRules::new(
            anonymous,
            &origins
                .iter()
                .map(|origin| (*origin).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn anonymous_needs_a_loopback_address_and_a_loopback_name() {
        let rules = rules(Anonymous::Loopback, &[]);
        for (client, host, access) in [
            ("127.0.0.1", "localhost:8000", Access::Anonymous),
            ("127.0.0.1", "LOCALHOST", Access::Anonymous),
            ("127.9.9.9", "127.0.0.1:8000", Access::Anonymous),
            ("::1", "[::1]:8000", Access::Anonymous),
            ("::ffff:127.0.0.1", "[::1]", Access::Anonymous),
            (
                "127.0.0.1",
                "evil.example.org:8000",
                Access::CredentialNeeded,
            ),
            (
                "127.0.0.1",
                "localhost.example.org",
                Access::CredentialNeeded,
            ),
            (
                "127.0.0.1",
                "127.0.0.1.example.org",
                Access::CredentialNeeded,
            ),
            ("127.0.0.1", "[::1].example.org", Access::CredentialNeeded),
            ("127.0.0.1", "localhost:x", Access::CredentialNeeded),
            ("127.0.0.1", "", Access::CredentialNeeded),
            ("10.0.0.1", "localhost:8000", Access::CredentialNeeded),
        ] {
            assert_eq!(
                rules.access(client.parse().unwrap(), host, Route::Direct),
                access,
                "{client} {host}"
            );
        }
    }

    #[test]
    fn a_request_that_a_local_proxy_forwards_is_not_local() {
        let rules = rules(Anonymous::Loopback, &[]);

        let access = rules.access("127.0.0.1".parse().unwrap(), "localhost", Route::Forwarded);

        assert_eq!(access, Access::CredentialNeeded);
    }

    #[test]
    fn all_clients_may_be_anonymous_when_configured() {
        let rules = rules(Anonymous::All, &[]);

        assert_eq!(
            rules.access("10.0.0.1".parse().unwrap(), "example.org", Route::Forwarded),
            Access::Anonymous
        );
    }

    #[test]
    fn an_origin_must_be_absent_or_of_the_same_host_or_allowed() {
        let allowed = ["https://app.example.org", "https://*.example.net"];
        let rules = rules(Anonymous::Loopback, &allowed);
        for (origin, host, allows) in [
            (None, "localhost:8000", true),
            (Some("http://localhost:8000"), "localhost:8000", true),
            (Some("http://LocalHost:8000"), "localhost:8000", true),
            (Some("http://localhost:9000"), "localhost:8000", false),
            (Some("http://localhost"), "localhost:8000", false),
            (Some("https://app.example.org"), "localhost:8000", true),
            (Some("https://APP.example.org"), "localhost:8000", true),
            (Some("http://app.example.org"), "localhost:8000", false),
            (
                Some("https://app.example.org.evil.example"),
                "localhost:8000",
                false,
            ),
            (Some("https://a.example.net"), "localhost:8000", true),
            (Some("https://example.net"), "localhost:8000", false),
            (
                Some("https://a.example.net.evil.example"),
                "localhost:8000",
                false,
            ),
            (Some("null"), "localhost:8000", false),
            (Some(""), "localhost:8000", false),
        ] {
            assert_eq!(
                rules.allows_origin(origin, host),
                allows,
                "{origin:?} {host}"
            );
        }
    }

    #[test]
    fn a_single_star_allows_every_page() {
        let rules = rules(Anonymous::Loopback, &["*"]);

        assert!(rules.allows_origin(Some("https://anything.example"), "localhost"));
        assert!(rules.allows_origin(Some("null"), "localhost"));
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
