//! Classifies a first request: a WebSocket upgrade of a client or of the echo endpoint, a rejection, or ordinary HTTP.
//!
//! A pure function from bytes and rules to a decision, which the accept path executes. [`rejection`] has the responses.

mod rejection;

use std::mem::MaybeUninit;
use std::net::IpAddr;

use steadfast_hub::io::Access;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::handshake;

pub(crate) use self::rejection::{HttpRejection, RejectionCause, without_socket};

use crate::access::{AccessRules, Authority, Origin, Route};
use crate::config::reference::{self, ConfigKey};

/// The endpoint for clients of the Centrifuge client protocol.
pub(crate) const CLIENT_PATH: &str = "/connection/websocket";
/// The echo endpoint of the test configuration.
pub(crate) const ECHO_PATH: &str = "/test/echo";
/// The subprotocol of an encoding of the Centrifuge client protocol that is not supported.
const PROTOBUF: &str = "centrifuge-protobuf";

/// What the accept path must do.
#[derive(Debug)]
pub(crate) enum HandshakeDecision {
    /// Continue to read the head.
    Incomplete,
    /// Respond, and switch to WebSocket.
    Upgrade(Upgrade),
    /// Respond, and close.
    Reject(HttpRejection),
    /// Pass the request to the HTTP server.
    Http,
}

/// A request that becomes a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The length of the request in bytes; WebSocket traffic follows it.
    pub(crate) head_len: usize,
    pub(crate) response: Vec<u8>,
    pub(crate) purpose: UpgradePurpose,
}

/// The purpose of a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradePurpose {
    /// A client of the Centrifuge client protocol.
    Client {
        access: Access,
        /// The encoding that the subprotocol selects.
        encoding: Encoding,
    },
    /// A client of the echo endpoint.
    Echo,
}

/// The rules that requests must satisfy.
#[derive(Clone, Debug)]
pub(crate) struct UpgradeRules {
    pub(crate) access: AccessRules,
    pub(crate) echo: EchoEndpoint,
    pub(crate) head: HeadLimits,
}

/// The limits of a request head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes_max: usize,
    pub(crate) fields_max: usize,
}

/// The highest value of [`HeadLimits::fields_max`]: 16 KB on the stack while a head is parsed.
pub(crate) const FIELDS_MAX: usize = 500;

/// Whether the echo endpoint of the test configuration exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EchoEndpoint {
    Enabled,
    /// The path is not found.
    Disabled,
}

/// Classifies what has arrived so far from a client at this address.
pub(crate) fn examine(input: &[u8], client: IpAddr, rules: &UpgradeRules) -> HandshakeDecision {
    let limits = rules.head;
    let mut memory = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let fields = memory.get_mut(..limits.fields_max).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let head_len = match request.parse_with_uninit_headers(input, fields) {
        Ok(httparse::Status::Complete(len)) if len <= limits.bytes_max => len,
        Ok(httparse::Status::Partial) if input.len() < limits.bytes_max => {
            return HandshakeDecision::Incomplete;
        }
        Ok(_) => {
            let key = const { reference::server("request_head_bytes_max") };
            let max = limits.bytes_max;
            return too_large(key, &format!("the request head is longer than {max} bytes"));
        }
        Err(httparse::Error::TooManyHeaders) => {
            let key = const { reference::server("request_fields_max") };
            let max = limits.fields_max;
            return too_large(
                key,
                &format!("the request has more than {max} header fields"),
            );
        }
        Err(error) => return invalid(format!("invalid HTTP request: {error}")),
    };
    let request = Request {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        minor: request.version.unwrap_or_default(),
        fields: request.headers,
    };
    classify(&request, head_len, client, rules)
}

fn invalid(reason: String) -> HandshakeDecision {
    HandshakeDecision::Reject(rejection::invalid(reason))
}

fn too_large(key: &'static ConfigKey, problem: &str) -> HandshakeDecision {
    HandshakeDecision::Reject(rejection::too_large(key, problem))
}

/// A parsed head.
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    minor: u8,
    fields: &'a [httparse::Header<'a>],
}

impl<'a> Request<'a> {
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    fn route(&self) -> Route {
        Route::of(self.fields.iter().map(|field| field.name))
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// Returns the host that the request is for: that of an absolute target, otherwise that of the `Host` field
    /// (RFC 9112, section 3.2). `None` if the field is missing, repeated or invalid.
    fn host(&self, target: &Target<'_>) -> Option<Authority> {
        let mut hosts = self.named("host").map(str::from_utf8);
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Authority::parse(host.ok()?.trim())?,
            // Only HTTP/1.0 permits a request without the field.
            (None, None) if self.minor == 0 => Authority::parse("")?,
            (None | Some(_), _) => return None,
        };
        target.authority.map_or(Some(host), Authority::parse)
    }

    /// Returns the origin of the page in a browser as text; `None` for other clients, which are allowed.
    ///
    /// An origin that is not text or is not unique must not pass as absent, so it becomes an empty origin.
    fn origin(&self) -> Option<&'a str> {
        let mut origins = self.named("origin");
        let text = str::from_utf8(origins.next()?).map_or("", str::trim);
        Some(if origins.next().is_none() { text } else { "" })
    }
}

/// The parts of a request target.
#[derive(Debug)]
struct Target<'a> {
    /// Of a target in absolute form.
    authority: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    /// Parses a target in any form; servers must accept the absolute form also from clients that use no proxy.
    fn parse(target: &'a str) -> Self {
        let (authority, rest) = match target.split_once("://") {
            Some((scheme, rest)) if is_web_scheme(scheme) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                (Some(authority), rest)
            }
            Some(_) | None => (None, target),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if path.is_empty() { "/" } else { path };
        Self {
            authority,
            path,
            query,
        }
    }
}

fn is_web_scheme(scheme: &str) -> bool {
    ["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

fn classify(
    request: &Request<'_>,
    head_len: usize,
    client: IpAddr,
    rules: &UpgradeRules,
) -> HandshakeDecision {
    let target = Target::parse(request.target);
    let Some(host) = request.host(&target) else {
        return invalid("missing, repeated or invalid Host header".to_owned());
    };
    let is_client = target.path == CLIENT_PATH;
    let is_echo = target.path == ECHO_PATH && rules.echo == EchoEndpoint::Enabled;
    if !(is_client || is_echo) {
        return HandshakeDecision::Http;
    }
    let accepted = match handshake::accept(request.method, request.minor, request.pairs()) {
        Ok(accepted) => accepted,
        Err(error) => {
            return HandshakeDecision::Reject(rejection::not_an_upgrade(request.method, error));
        }
    };
    if let Some(text) = request.origin()
        && let Err(reason) = check_origin(text, &host, &rules.access)
    {
        return HandshakeDecision::Reject(rejection::reject(403, RejectionCause::Origin, reason));
    }
    if is_echo {
        let response = handshake::response(&accepted.accept_key, None);
        return HandshakeDecision::Upgrade(Upgrade {
            head_len,
            response,
            purpose: UpgradePurpose::Echo,
        });
    }
    let selected = select_encoding(&accepted.subprotocols);
    let offers_protobuf = accepted.subprotocols.contains(&PROTOBUF);
    if requests_protobuf(target.query) || (selected.is_none() && offers_protobuf) {
        let subprotocol = offers_protobuf.then_some(PROTOBUF);
        let response = handshake::response(&accepted.accept_key, subprotocol);
        return HandshakeDecision::Reject(rejection::close_at_once(&response));
    }
    let response = handshake::response(&accepted.accept_key, selected.map(Encoding::subprotocol));
    let purpose = UpgradePurpose::Client {
        access: rules.access.access(client, &host, request.route()),
        encoding: selected.unwrap_or(ENCODING_WITHOUT_SUBPROTOCOL),
    };
    HandshakeDecision::Upgrade(Upgrade {
        head_len,
        response,
        purpose,
    })
}

/// Returns the encoding of the first offer that names one; clients offer in the order of their preference.
fn select_encoding(offers: &[&str]) -> Option<Encoding> {
    offers.iter().find_map(|offer| {
        Encoding::ALL
            .into_iter()
            .find(|encoding| encoding.subprotocol() == *offer)
    })
}

/// The encoding of clients that offer no subprotocol of the Centrifuge client protocol.
const ENCODING_WITHOUT_SUBPROTOCOL: Encoding = Encoding::Json;

fn requests_protobuf(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair == "format=protobuf" || pair == "cf_protocol=protobuf")
}

/// Returns why a page may not connect, with advice that the configuration accepts.
fn check_origin(text: &str, host: &Authority, access: &AccessRules) -> Result<(), String> {
    if access.allows_all_origins() {
        return Ok(());
    }
    let Some(origin) = Origin::parse(text) else {
        return Err(
            "the Origin header is not an origin: it must be one scheme with a host".to_owned(),
        );
    };
    if access.allows_origin(&origin, host) {
        return Ok(());
    }
    Err(format!(
        "pages of the origin {origin} may not connect here: \
         add \"{origin}\" to allowed_origins in the section [server] of the configuration"
    ))
}

#[cfg(test)]
mod tests;
