//! Who may use the page's server: pages of this server only, opened at a loopback address and without a proxy.
//!
//! A page of another origin must neither read the picture nor kill the gateway, even if its host name resolves to this
//! address (DNS rebinding). A refusal says why, and how to reach the demo from another machine.

use std::net::IpAddr;

use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use steadfast_gateway::access;

use super::response::{Body, respond_html, respond_json};

const RULE: &str = "This demo serves only loopback addresses, without a proxy, \
                    because any page could otherwise kill the gateway";

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request names no host, or several.
    NoHost,
    /// The host is not a loopback name, or the client is on another machine.
    NotLoopback,
    /// A header field shows that a proxy forwarded the request.
    Proxy,
    /// The request was sent by a page of another server.
    ForeignPage,
}

/// Returns the host that a permitted request names; it is a loopback name, with the port that the client uses.
pub(super) fn permitted_host<B>(request: &Request<B>, client: IpAddr) -> Result<&str, Refusal> {
    let headers = request.headers();
    let host = host(request).ok_or(Refusal::NoHost)?;
    if !access::is_local(client, host, std::iter::empty()) {
        return Err(Refusal::NotLoopback);
    }
    let names = headers.keys().map(HeaderName::as_str);
    if !access::is_local(client, host, names) {
        return Err(Refusal::Proxy);
    }
    let is_own_origin = |origin: &HeaderValue| {
        origin
            .to_str()
            .is_ok_and(|origin| access::is_same_origin(origin, host))
    };
    if !headers.get_all(ORIGIN).iter().all(is_own_origin) {
        return Err(Refusal::ForeignPage);
    }
    Ok(host)
}

fn host<B>(request: &Request<B>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return None;
    };
    // An absolute target takes precedence over the field (RFC 9112, section 3.2.2).
    let target = request.uri().authority().map(Authority::as_str);
    target.or_else(|| host.to_str().ok())
}

impl Refusal {
    /// The response: a page for a browser, JSON for other clients. `port` is that of this server.
    pub(super) fn respond<B>(self, request: &Request<B>, port: u16) -> Response<Body> {
        if accepts_html(request.headers()) {
            let host = host(request).and_then(host_name).unwrap_or("HOST");
            return respond_html(StatusCode::FORBIDDEN, self.page(host, port));
        }
        let error = format!("{}. {RULE}", self.reason());
        let hint =
            format!("forward the port, and open it there: ssh -L {port}:127.0.0.1:{port} HOST");
        respond_json(
            StatusCode::FORBIDDEN,
            &json!({"error": error, "hint": hint}),
        )
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::NoHost => "This request does not name exactly one host",
            Self::NotLoopback => "This request was sent to another name or from another machine",
            Self::Proxy => "A proxy added a header field to this request",
            Self::ForeignPage => "A page of another server sent this request",
        }
    }

    fn page(self, host: &str, port: u16) -> String {
        let reason = self.reason();
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Steadfast demo</title>\
             <meta name=viewport content=\"width=device-width\">\
             <style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}}\
             pre{{padding:.75rem;border:1px solid;border-radius:.25rem;overflow-x:auto}}</style>\
             <h1>Open the demo at a loopback address</h1>\
             <p>{reason}. {RULE}.\
             <p>If the demo runs on this machine, open <a href=\"http://127.0.0.1:{port}\">http://127.0.0.1:{port}</a>.\
             <p>If it runs on another machine, forward its port, and then open the same address:\
             <pre>ssh -L {port}:127.0.0.1:{port} {host}</pre>"
        )
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

/// The name in a `Host` field without its port, if it may be shown in a page and in a command.
fn host_name(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_usable = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(is_plain)
        && !access::is_local(
            std::net::Ipv4Addr::LOCALHOST.into(),
            name,
            std::iter::empty(),
        );
    is_usable.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shown_only_if_it_is_a_plain_name_of_another_machine() {
        assert_eq!(host_name("devbox:8000"), Some("devbox"));
        assert_eq!(host_name("devbox.example.org"), Some("devbox.example.org"));
        for other in [
            "",
            "-oProxyCommand=x",
            "<script>:80",
            "a b",
            "127.0.0.1:8000",
            "[::1]:8000",
        ] {
            assert_eq!(host_name(other), None, "{other}");
        }
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let client = "127.0.0.1".parse().unwrap();
        let refusal = |fields: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            permitted_host(&request.body(()).unwrap(), client).map(str::to_owned)
        };
        let own = ("Host", "localhost:9999");

        assert_eq!(refusal(&[]), Err(Refusal::NoHost));
        assert_eq!(refusal(&[own, own]), Err(Refusal::NoHost));
        assert_eq!(
            refusal(&[("Host", "devbox:8000")]),
            Err(Refusal::NotLoopback)
        );
        assert_eq!(refusal(&[own, ("Via", "1.1 proxy")]), Err(Refusal::Proxy));
        assert_eq!(
            refusal(&[own, ("Origin", "http://localhost:8000")]),
            Err(Refusal::ForeignPage)
        );
        assert_eq!(
            refusal(&[own, ("Origin", "http://localhost:9999")]),
            Ok("localhost:9999".to_owned())
        );
    }
}
