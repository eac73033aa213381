//! Which clients may connect: web pages by their origin, and clients without a credential.
//!
//! Pure functions of the request. The hub decides how to reply to a client without access.

mod origin;

use std::net::IpAddr;

use steadfast_hub::io::Access;

pub(crate) use self::origin::{Authority, Origin, OriginPattern};
use crate::config::Anonymous;

/// How a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The request has no proxy header.
    Direct,
    /// A proxy header says that the request was forwarded.
    Forwarded,
}

impl Route {
    /// Returns the route of a request with header fields of these names.
    pub(crate) fn of<'a>(mut names: impl Iterator<Item = &'a str>) -> Self {
        if names.any(is_proxy_field) {
            Self::Forwarded
        } else {
            Self::Direct
        }
    }
}

/// Parts of names between hyphens by which proxies name the address of a client, or themselves: `X-Real-IP`,
/// `CF-Connecting-IP`, `X-Azure-ClientIP`, `X-Envoy-External-Address`, `Proxy-Connection`.
const PROXY_PARTS: [&str; 11] = [
    "addr",
    "address",
    "clientip",
    "forwarded",
    "forwarder",
    "ip",
    "ips",
    "proxied",
    "proxy",
    "socketip",
    "via",
];
/// The beginnings of names that only proxies and content delivery networks add.
const PROXY_BEGINNINGS: [&str; 6] = ["cdn-", "cf-", "fastly-", "fly-", "x-envoy-", "x-original-"];

/// Whether a header field of this name shows that a proxy forwarded the request. No client adds one without a proxy, so
/// the rule is wide: a field that it does not know would let remote clients pass as local ones.
fn is_proxy_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PROXY_BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning))
        || name
            .split(['-', '_'])
            .any(|part| PROXY_PARTS.contains(&part))
}

/// Whether a request comes from a client on this machine that addressed it by a loopback name.
///
/// `client` is the address of the connection, `host` the value of the `Host` field, and `field_names` are the names of
/// all header fields. The host name is checked as well because a foreign page can make its own domain name resolve to
/// 127.0.0.1; its requests then arrive from loopback, but with that name. A proxy on this machine makes every client
/// look local, so forwarded requests do not count as local.
pub fn is_local<'a>(
    client: IpAddr,
    host: &str,
    field_names: impl Iterator<Item = &'a str>,
) -> bool {
    let host = Authority::parse(host);
    host.is_some_and(|host| is_local_request(client, &host, Route::of(field_names)))
}

fn is_local_request(client: IpAddr, host: &Authority, route: Route) -> bool {
    route == Route::Direct && client.to_canonical().is_loopback() && host.host.is_loopback()
}

/// Whether `origin`, the value of an `Origin` field, is a page of `host`, the value of the `Host` field.
pub fn is_same_origin(origin: &str, host: &str) -> bool {
    let page = Origin::parse(origin);
    let host = Authority::parse(host);
    page.zip(host).is_some_and(|(page, host)| page.is_of(&host))
}

/// The access rules of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct AccessRules {
    anonymous: Anonymous,
    allowed_origins: Vec<OriginPattern>,
}

impl AccessRules {
    /// Creates the rules. Patterns that no origin can match are left out; the configuration rejects them.
    pub(crate) fn new(anonymous: Anonymous, allowed_origins: &[String]) -> Self {
        let allowed_origins = allowed_origins
            .iter()
            .filter_map(|pattern| OriginPattern::parse(pattern))
            .collect();
        Self {
            anonymous,
            allowed_origins,
        }
    }

    /// Returns the access of a client at this address, whose request is for `host`.
    pub(crate) fn access(&self, client: IpAddr, host: &Authority, route: Route) -> Access {
        match self.anonymous {
            Anonymous::All => Access::Anonymous,
            Anonymous::Loopback if is_local_request(client, host, route) => Access::Anonymous,
            Anonymous::Loopback => Access::CredentialNeeded,
        }
    }

    /// Whether the value of the `Origin` field makes no difference.
    pub(crate) fn allows_all_origins(&self) -> bool {
        self.allowed_origins.iter().any(OriginPattern::is_any)
    }

    /// Whether a page of this origin may connect to this host.
    pub(crate) fn allows_origin(&self, origin: &Origin, host: &Authority) -> bool {
        let is_allowed = |pattern: &OriginPattern| pattern.matches(origin);
        origin.is_of(host) || self.allowed_origins.iter().any(is_allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(anonymous: Anonymous, origins: &[&str]) -> AccessRules {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        AccessRules::new(anonymous, &origins)
    }

    fn host(text: &str) -> Authority {
        Authority::parse(text).unwrap()
    }

    #[test]
    fn anonymous_needs_a_loopback_address_and_a_loopback_name() {
        let rules = rules(Anonymous::Loopback, &[]);
        for (client, name, access) in [
            ("127.0.0.1", "localhost:8000", Access::Anonymous),
            ("127.0.0.1", "LOCALHOST", Access::Anonymous),
            ("127.0.0.1", "localhost.", Access::Anonymous),
            ("127.0.0.1", "app.localhost:8000", Access::Anonymous),
            ("127.9.9.9", "127.0.0.1:8000", Access::Anonymous),
            ("::1", "[::1]:8000", Access::Anonymous),
            ("::1", "[0:0::1]:8000", Access::Anonymous),
            ("::ffff:127.0.0.1", "[::1]", Access::Anonymous),
            ("127.0.0.1", "[::ffff:127.0.0.1]", Access::Anonymous),
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
            ("127.0.0.1", "notlocalhost", Access::CredentialNeeded),
            ("127.0.0.1", "", Access::CredentialNeeded),
            ("10.0.0.1", "localhost:8000", Access::CredentialNeeded),
        ] {
            assert_eq!(
                rules.access(client.parse().unwrap(), &host(name), Route::Direct),
                access,
                "{client} {name}"
            );
        }
    }

    #[test]
    fn a_request_that_a_local_proxy_forwards_is_not_local() {
        let rules = rules(Anonymous::Loopback, &[]);
        let client = "127.0.0.1".parse().unwrap();

        let access = rules.access(client, &host("localhost"), Route::Forwarded);

        assert_eq!(access, Access::CredentialNeeded);
        assert!(is_local(
            client,
            "localhost",
            ["Host", "User-Agent"].into_iter()
        ));
        assert!(!is_local(client, "localhost", ["Host", "Via"].into_iter()));
    }

    #[test]
    fn every_field_with_which_proxies_report_a_client_or_themselves_is_a_sign_of_a_proxy() {
        for name in [
            "Forwarded",
            "Via",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Anything",
            "X-Real-IP",
            "x-real-ip",
            "CF-Connecting-IP",
            "CF-Ray",
            "True-Client-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "Fastly-Client-IP",
            "Fly-Client-IP",
            "X-Azure-ClientIP",
            "X-Azure-SocketIP",
            "X-Envoy-External-Address",
            "X-Original-Host",
            "X-Remote-Addr",
            "X_Forwarded_For",
            "CDN-Loop",
            "Proxy-Connection",
        ] {
            assert_eq!(Route::of([name].into_iter()), Route::Forwarded, "{name}");
        }
    }

    #[test]
    fn no_field_that_a_client_sends_itself_is_a_sign_of_a_proxy() {
        let names = [
            "Host",
            "User-Agent",
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Authorization",
            "Cache-Control",
            "Connection",
            "Content-Length",
            "Cookie",
            "DNT",
            "Origin",
            "Pragma",
            "Priority",
            "Referer",
            "Sec-CH-UA",
            "Sec-CH-UA-Platform",
            "Sec-Fetch-Dest",
            "Sec-GPC",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Version",
            "Upgrade",
            "Upgrade-Insecure-Requests",
            "X-Request-Id",
            "X-Requested-With",
        ];

        assert_eq!(Route::of(names.into_iter()), Route::Direct);
    }

    #[test]
    fn all_clients_may_be_anonymous_when_configured() {
        let rules = rules(Anonymous::All, &[]);
        let client = "10.0.0.1".parse().unwrap();

        let access = rules.access(client, &host("example.org"), Route::Forwarded);

        assert_eq!(access, Access::Anonymous);
    }

    #[test]
    fn an_origin_must_be_of_the_same_host_or_allowed() {
        let allowed = ["https://app.example.org", "https://*.example.net"];
        let rules = rules(Anonymous::Loopback, &allowed);
        for (origin, allows) in [
            ("http://localhost:8000", true),
            ("http://LocalHost:8000", true),
            ("http://127.0.0.1:8000", true),
            ("http://localhost:9000", false),
            ("http://localhost", false),
            ("https://app.example.org", true),
            ("https://APP.example.org:443", true),
            ("http://app.example.org", false),
            ("https://app.example.org.evil.example", false),
            ("https://a.example.net", true),
            ("https://example.net", false),
            ("https://a.example.net.evil.example", false),
            ("null", false),
            ("file://", false),
        ] {
            let page = Origin::parse(origin).unwrap();

            assert_eq!(
                rules.allows_origin(&page, &host("localhost:8000")),
                allows,
                "{origin}"
            );
            let is_same = is_same_origin(origin, "localhost:8000");
            assert!(allows || !is_same, "{origin}");
        }
    }

    #[test]
    fn a_single_star_allows_every_page() {
        let rules = rules(Anonymous::Loopback, &["*"]);
        for origin in ["https://anything.example", "null", "file://"] {
            let page = Origin::parse(origin).unwrap();

            assert!(rules.allows_origin(&page, &host("localhost")), "{origin}");
        }
    }
}
