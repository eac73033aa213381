//! Classifies a first request: a WebSocket upgrade of a client or of the echo endpoint, a rejection, or ordinary HTTP.
//!
//! A pure function from bytes and rules to a decision, which the accept path executes.

use std::net::IpAddr;

use steadfast_hub::io::Access;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::handshake;

use crate::access::{AccessRules, Route};

/// The endpoint for clients of the Centrifuge client protocol.
pub(crate) const CLIENT_PATH: &str = "/connection/websocket";
/// The echo endpoint of the test configuration.
pub(crate) const ECHO_PATH: &str = "/test/echo";
/// The maximum length of a request head in bytes: cookies and long queries of browsers fit.
pub(crate) const HEAD_BYTES_MAX: usize = 8192;
/// The maximum number of fields in a head; browsers send about 20.
const FIELDS_MAX: usize = 64;
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

/// A request that gets an HTTP error.
#[derive(Debug)]
pub(crate) struct HttpRejection {
    pub(crate) response: Vec<u8>,
    pub(crate) status: u16,
    /// The reason, in plain text.
    pub(crate) reason: String,
}

/// The rules that requests must satisfy.
#[derive(Clone, Debug)]
pub(crate) struct UpgradeRules {
    pub(crate) access: AccessRules,
    pub(crate) echo: EchoEndpoint,
}

/// Whether the echo endpoint of the test configuration exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EchoEndpoint {
    Enabled,
    /// The path is not found.
    Disabled,
}

/// Classifies what has arrived so far from a client at this address.
pub(crate) fn examine(input: &[u8], client: IpAddr, rules: &UpgradeRules) -> HandshakeDecision {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head_len = match request.parse(input) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => {
            return HandshakeDecision::Incomplete;
        }
        Ok(_) => {
            return reject(
                431,
                format!("the request head is longer than {HEAD_BYTES_MAX} bytes"),
            );
        }
        Err(httparse::Error::TooManyHeaders) => {
            return reject(
                431,
                format!("the request has more than {FIELDS_MAX} fields"),
            );
        }
        Err(error) => return reject(400, format!("invalid HTTP request: {error}")),
    };
    let request = Request {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        minor: request.version.unwrap_or_default(),
        fields: request.headers,
    };
    classify(&request, head_len, client, rules)
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

    /// Returns whether a proxy header is present.
    fn route(&self) -> Route {
        let is_forwarded = PROXY_FIELDS.iter().any(|name| self.field(name).is_some());
        if is_forwarded {
            Route::Forwarded
        } else {
            Route::Direct
        }
    }

    /// Returns the origin of the page in a browser; `None` for other clients, which are allowed.
    ///
    /// An origin that is not text or is not unique must not pass as absent, so it becomes an empty origin.
    fn origin(&self) -> Option<&'a str> {
        let mut origins = self
            .fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case("origin"));
        let first = origins.next()?;
        let text = str::from_utf8(first.value).map_or("", str::trim);
        Some(if origins.next().is_none() { text } else { "" })
    }

    /// Returns the first field with this name, if it is text.
    fn field(&self, name: &str) -> Option<&'a str> {
        let field = self
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(field.value).ok().map(str::trim)
    }
}

/// Header fields that proxies add to the requests that they forward.
const PROXY_FIELDS: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

fn classify(
    request: &Request<'_>,
    head_len: usize,
    client: IpAddr,
    rules: &UpgradeRules,
) -> HandshakeDecision {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((request.target, ""));
    let is_client = path == CLIENT_PATH;
    let is_echo = path == ECHO_PATH && rules.echo == EchoEndpoint::Enabled;
    if !(is_client || is_echo) {
        return HandshakeDecision::Http;
    }
    let accepted = match handshake::accept(request.method, request.minor, request.pairs()) {
        Ok(accepted) => accepted,
        Err(error) => {
            let (response, status) = (error.response(), error.status());
            return HandshakeDecision::Reject(HttpRejection {
                response,
                status,
                reason: error.text().to_owned(),
            });
        }
    };
    let host = request.field("host").unwrap_or_default();
    let origin = request.origin();
    if !rules.access.allows_origin(origin, host) {
        let origin = printable(origin.unwrap_or_default());
        let reason = format!(
            "pages of the origin {origin} may not connect here: \
             add \"{origin}\" to allowed_origins in the section [server] of the configuration"
        );
        return reject(403, reason);
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
    if requests_protobuf(query) || (selected.is_none() && accepted.subprotocols.contains(&PROTOBUF))
    {
        return reject(
            400,
            "unsupported encoding: only JSON is supported; connect without protobuf".to_owned(),
        );
    }
    let response = handshake::response(&accepted.accept_key, selected.map(Encoding::subprotocol));
    let purpose = UpgradePurpose::Client {
        access: rules.access.access(client, host, request.route()),
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

/// Removes control characters, which could break a log line or a terminal, and limits the length to 200 characters.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}

fn reject(status: u16, reason: String) -> HandshakeDecision {
    let phrase = match status {
        403 => "Forbidden",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let response = format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    HandshakeDecision::Reject(HttpRejection {
        response: response.into_bytes(),
        status,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Anonymous;

    const FIELDS: &str = "Host: localhost:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn a_valid_request_is_upgraded_and_the_bytes_after_the_head_are_not_consumed() {
        let mut input = request(CLIENT_PATH, "").into_bytes();
        let head_len = input.len();
        input.extend_from_slice(b"\x81\x80....");

        let HandshakeDecision::Upgrade(upgrade) =
            examine(&input, loopback(), &rules(EchoEndpoint::Disabled))
        else {
            panic!("not upgraded");
        };

        assert_eq!(upgrade.head_len, head_len);
        assert_eq!(upgrade.purpose, client(Access::Anonymous));
        let response = String::from_utf8(upgrade.response).unwrap();
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
        assert!(!response.contains("Sec-WebSocket-Protocol"), "{response}");
    }

    #[test]
    fn an_offered_subprotocol_of_an_encoding_is_selected_and_other_offers_get_json_without_one() {
        let offers = Encoding::ALL.map(|encoding| {
            let subprotocol = encoding.subprotocol();
            (subprotocol.to_owned(), encoding, Some(subprotocol))
        });
        let json = "centrifuge-json";
        let mixed = [
            (format!("centrifuge-protobuf, {json}"), Some(json)),
            (format!("something-else, {json}"), Some(json)),
            (String::new(), None),
            ("something-else".to_owned(), None),
        ]
        .map(|(offer, selected)| (offer, Encoding::Json, selected));
        for (offer, encoding, selected) in offers.into_iter().chain(mixed) {
            let input = request(CLIENT_PATH, &format!("Sec-WebSocket-Protocol: {offer}\r\n"));

            let HandshakeDecision::Upgrade(upgrade) =
                examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled))
            else {
                panic!("{offer}: not upgraded");
            };

            let response = String::from_utf8(upgrade.response).unwrap();
            let field = response
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
            assert_eq!(field, selected, "{offer}");
            let purpose = UpgradePurpose::Client {
                access: Access::Anonymous,
                encoding,
            };
            assert_eq!(upgrade.purpose, purpose, "{offer}");
        }
    }

    #[test]
    fn protobuf_is_rejected_however_it_is_requested_and_unknown_queries_are_not() {
        for (target, fields, status) in [
            ("/connection/websocket?format=protobuf", "", Some(400)),
            (
                "/connection/websocket?a=b&cf_protocol=protobuf",
                "",
                Some(400),
            ),
            (
                "/connection/websocket",
                "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
                Some(400),
            ),
            (
                "/connection/websocket?cf_protocol_version=v2&x=protobuf",
                "",
                None,
            ),
        ] {
            let decision = examine(
                request(target, fields).as_bytes(),
                loopback(),
                &rules(EchoEndpoint::Disabled),
            );

            assert_eq!(rejected_status(&decision), status, "{target} {fields}");
        }
    }

    #[test]
    fn a_foreign_origin_is_rejected_with_the_setting_to_change() {
        let input = request(CLIENT_PATH, "Origin: https://evil.example\r\n");

        let decision = examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled));

        let HandshakeDecision::Reject(rejection) = decision else {
            panic!("not rejected")
        };
        assert_eq!(rejection.status, 403);
        assert!(
            rejection
                .reason
                .contains("add \"https://evil.example\" to allowed_origins"),
            "{}",
            rejection.reason
        );
        assert!(
            String::from_utf8(rejection.response)
                .unwrap()
                .starts_with("HTTP/1.1 403 Forbidden\r\n")
        );
    }

    #[test]
    fn an_origin_that_is_not_text_or_not_unique_is_foreign() {
        let rules = rules(EchoEndpoint::Disabled);
        let mut not_text = request(CLIENT_PATH, "Origin: http://evil").into_bytes();
        not_text.truncate(not_text.len() - 2);
        not_text.extend_from_slice(b"\xff\r\n\r\n");
        let twice = request(
            CLIENT_PATH,
            "Origin: http://localhost:8000\r\nOrigin: https://evil.example\r\n",
        );

        for input in [not_text.as_slice(), twice.as_bytes()] {
            assert_eq!(
                rejected_status(&examine(input, loopback(), &rules)),
                Some(403),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn a_request_that_a_proxy_forwarded_does_not_count_as_local() {
        for field in PROXY_FIELDS {
            let input = request(CLIENT_PATH, &format!("{field}: 1.1 somewhere\r\n"));

            let HandshakeDecision::Upgrade(upgrade) =
                examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled))
            else {
                panic!("{field}: not upgraded");
            };

            assert_eq!(upgrade.purpose, client(Access::CredentialNeeded), "{field}");
        }
    }

    #[test]
    fn the_echo_exists_only_when_configured() {
        let input = request(ECHO_PATH, "");

        let absent = examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled));
        let served = examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Enabled));

        assert!(matches!(absent, HandshakeDecision::Http), "{absent:?}");
        assert!(
            matches!(
                served,
                HandshakeDecision::Upgrade(Upgrade {
                    purpose: UpgradePurpose::Echo,
                    ..
                })
            ),
            "{served:?}"
        );
    }

    #[test]
    fn an_incomplete_head_is_buffered_and_one_that_is_too_long_or_not_http_is_rejected() {
        let complete = request(CLIENT_PATH, "");
        let long = request(
            CLIENT_PATH,
            &format!("X-Long: {}\r\n", "a".repeat(HEAD_BYTES_MAX)),
        );
        let many = request(CLIENT_PATH, &"X-Many: a\r\n".repeat(FIELDS_MAX));
        let rules = rules(EchoEndpoint::Disabled);

        for len in 0..complete.len() {
            let decision = examine(&complete.as_bytes()[..len], loopback(), &rules);
            assert!(
                matches!(decision, HandshakeDecision::Incomplete),
                "{len}: {decision:?}"
            );
        }
        assert_eq!(
            rejected_status(&examine(long.as_bytes(), loopback(), &rules)),
            Some(431)
        );
        assert_eq!(
            rejected_status(&examine(
                &long.as_bytes()[..HEAD_BYTES_MAX],
                loopback(),
                &rules
            )),
            Some(431)
        );
        assert_eq!(
            rejected_status(&examine(many.as_bytes(), loopback(), &rules)),
            Some(431)
        );
        assert_eq!(
            rejected_status(&examine(b"\x16\x03\x01\x02\x00\x01", loopback(), &rules)),
            Some(400)
        );
    }

    #[test]
    fn a_plain_request_to_the_endpoint_gets_upgrade_required_and_other_paths_are_ordinary_http() {
        let plain = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let other = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let rules = rules(EchoEndpoint::Disabled);

        assert_eq!(
            rejected_status(&examine(plain.as_bytes(), loopback(), &rules)),
            Some(426)
        );
        assert!(matches!(
            examine(other.as_bytes(), loopback(), &rules),
            HandshakeDecision::Http
        ));
        assert!(matches!(
            examine(request("/elsewhere", "").as_bytes(), loopback(), &rules),
            HandshakeDecision::Http
        ));
    }

    fn request(target: &str, fields: &str) -> String {
        format!("GET {target} HTTP/1.1\r\n{FIELDS}{fields}\r\n")
    }

    fn loopback() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    fn client(access: Access) -> UpgradePurpose {
        UpgradePurpose::Client {
            access,
            encoding: Encoding::Json,
        }
    }

    fn rules(echo: EchoEndpoint) -> UpgradeRules {
        UpgradeRules {
            access: AccessRules::new(Anonymous::Loopback, &[]),
            echo,
        }
    }

    fn rejected_status(decision: &HandshakeDecision) -> Option<u16> {
        match decision {
            HandshakeDecision::Reject(rejection) => Some(rejection.status),
            HandshakeDecision::Incomplete
            | HandshakeDecision::Upgrade(_)
            | HandshakeDecision::Http => None,
        }
    }
}
