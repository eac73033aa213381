//! What a first request is: a WebSocket for clients, one of the test endpoint, a refusal, or ordinary HTTP.
//!
//! Pure: bytes and rules in, verdict out. The accept path carries it out.

use std::net::IpAddr;

use steadfast_hub::io::Access;
use steadfast_protocol::websocket::handshake;

use crate::access::{AccessRules, Route};

/// Where clients of the stream protocol connect.
pub(crate) const CLIENT_PATH: &str = "/connection/websocket";
/// The echo of the test configuration.
pub(crate) const ECHO_PATH: &str = "/test/echo";
/// The longest request head: cookies and long queries of browsers fit.
pub(crate) const HEAD_BYTES_MAX: usize = 8192;
/// The most fields in a head; browsers send about 20.
const FIELDS_MAX: usize = 64;
/// The encoding that is spoken here, as a subprotocol.
const JSON: &str = "centrifuge-json";
/// The encoding that is not, as a subprotocol.
const PROTOBUF: &str = "centrifuge-protobuf";

/// What the accept path shall do.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Read on.
    Incomplete,
    /// Answer, and speak WebSocket.
    Upgrade(Upgrade),
    /// Answer, and close.
    Refuse(Refusal),
    /// Let the HTTP server answer.
    Http,
}

/// A request that becomes a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// How many bytes the request took; what follows is WebSocket traffic.
    pub(crate) head_len: usize,
    /// The HTTP answer.
    pub(crate) response: Vec<u8>,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

/// What a WebSocket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client of the stream protocol, with its access.
    Client(Access),
    /// An echo.
    Echo,
}

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The HTTP answer.
    pub(crate) response: Vec<u8>,
    /// The HTTP status.
    pub(crate) status: u16,
    /// Why, in plain text.
    pub(crate) why: String,
}

/// What decides about a request.
#[derive(Clone, Debug)]
pub(crate) struct UpgradeRules {
    /// Who may connect.
    pub(crate) access: AccessRules,
    /// Whether the echo exists.
    pub(crate) echo: Echo,
}

/// Whether the echo of the test configuration exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// It answers.
    Served,
    /// There is no such path.
    Absent,
}

/// Judges what has arrived so far from a client at this address.
pub(crate) fn examine(input: &[u8], client: IpAddr, rules: &UpgradeRules) -> Verdict {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head_len = match request.parse(input) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => {
            return Verdict::Incomplete;
        }
        Ok(_) => {
            return refuse(
                431,
                format!("the request head is longer than {HEAD_BYTES_MAX} bytes"),
            );
        }
        Err(httparse::Error::TooManyHeaders) => {
            return refuse(
                431,
                format!("the request has more than {FIELDS_MAX} fields"),
            );
        }
        Err(error) => return refuse(400, format!("this is no HTTP request: {error}")),
    };
    let request = Request {
        method: request.method.unwrap_or_default(),
        target: request.path.unwrap_or_default(),
        minor: request.version.unwrap_or_default(),
        fields: request.headers,
    };
    judge(&request, head_len, client, rules)
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

    /// Whether a proxy says that it passed the request on.
    fn route(&self) -> Route {
        let is_forwarded = PROXY_FIELDS.iter().any(|name| self.field(name).is_some());
        if is_forwarded {
            Route::Forwarded
        } else {
            Route::Direct
        }
    }

    /// The page on whose behalf a browser asks; none when a program asks, which is allowed.
    ///
    /// Something that is no single text must not pass for nothing, so it is an origin without a name.
    fn origin(&self) -> Option<&'a str> {
        let mut origins = self
            .fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case("origin"));
        let first = origins.next()?;
        let text = str::from_utf8(first.value).map_or("", str::trim);
        Some(if origins.next().is_none() { text } else { "" })
    }

    /// The first field of this name, if it is text.
    fn field(&self, name: &str) -> Option<&'a str> {
        let field = self
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(field.value).ok().map(str::trim)
    }
}

/// What proxies add to the requests they pass on.
const PROXY_FIELDS: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

fn judge(request: &Request<'_>, head_len: usize, client: IpAddr, rules: &UpgradeRules) -> Verdict {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((request.target, ""));
    let is_client = path == CLIENT_PATH;
    let is_echo = path == ECHO_PATH && rules.echo == Echo::Served;
    if !(is_client || is_echo) {
        return Verdict::Http;
    }
    let accepted = match handshake::accept(request.method, request.minor, request.pairs()) {
        Ok(accepted) => accepted,
        Err(error) => {
            let (response, status) = (error.response(), error.status());
            return Verdict::Refuse(Refusal {
                response,
                status,
                why: error.text().to_owned(),
            });
        }
    };
    let host = request.field("host").unwrap_or_default();
    let origin = request.origin();
    if !rules.access.allows_origin(origin, host) {
        let origin = printable(origin.unwrap_or_default());
        let why = format!(
            "pages of the origin {origin} may not connect here: \
             add \"{origin}\" to allowed_origins in the section [server] of the configuration"
        );
        return refuse(403, why);
    }
    if is_echo {
        let response = handshake::response(&accepted.accept_key, None);
        return Verdict::Upgrade(Upgrade {
            head_len,
            response,
            purpose: Purpose::Echo,
        });
    }
    let subprotocol = accepted.subprotocols.contains(&JSON).then_some(JSON);
    if asks_for_protobuf(query)
        || (subprotocol.is_none() && accepted.subprotocols.contains(&PROTOBUF))
    {
        return refuse(
            400,
            "only the JSON protocol is spoken here: connect without protobuf".to_owned(),
        );
    }
    let response = handshake::response(&accepted.accept_key, subprotocol);
    let purpose = Purpose::Client(rules.access.access(client, host, request.route()));
    Verdict::Upgrade(Upgrade {
        head_len,
        response,
        purpose,
    })
}

fn asks_for_protobuf(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair == "format=protobuf" || pair == "cf_protocol=protobuf")
}

/// Without what could break a log line or a terminal, and not too long.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}

fn refuse(status: u16, why: String) -> Verdict {
    let phrase = match status {
        403 => "Forbidden",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let response = format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    Verdict::Refuse(Refusal {
        response: response.into_bytes(),
        status,
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Anonymous;

    const FIELDS: &str = "Host: localhost:8000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn a_valid_request_is_upgraded_and_what_follows_the_head_is_left_alone() {
        let mut input = request(CLIENT_PATH, "").into_bytes();
        let head_len = input.len();
        input.extend_from_slice(b"\x81\x80....");

        let Verdict::Upgrade(upgrade) = examine(&input, loopback(), &rules(Echo::Absent)) else {
            panic!("not upgraded");
        };

        assert_eq!(upgrade.head_len, head_len);
        assert_eq!(upgrade.purpose, Purpose::Client(Access::Anonymous));
        let response = String::from_utf8(upgrade.response).unwrap();
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
        assert!(!response.contains("Sec-WebSocket-Protocol"), "{response}");
    }

    #[test]
    fn the_json_subprotocol_is_echoed_when_it_is_offered_and_an_empty_offer_is_fine() {
        for (offer, echoed) in [
            ("centrifuge-json", true),
            ("centrifuge-protobuf, centrifuge-json", true),
            ("", false),
            ("something-else", false),
        ] {
            let input = request(CLIENT_PATH, &format!("Sec-WebSocket-Protocol: {offer}\r\n"));

            let Verdict::Upgrade(upgrade) =
                examine(input.as_bytes(), loopback(), &rules(Echo::Absent))
            else {
                panic!("{offer}: not upgraded");
            };

            let response = String::from_utf8(upgrade.response).unwrap();
            assert_eq!(
                response.contains("Sec-WebSocket-Protocol: centrifuge-json\r\n"),
                echoed,
                "{offer}"
            );
        }
    }

    #[test]
    fn protobuf_is_refused_however_it_is_asked_for_and_unknown_queries_are_not() {
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
            let verdict = examine(
                request(target, fields).as_bytes(),
                loopback(),
                &rules(Echo::Absent),
            );

            assert_eq!(refused(&verdict), status, "{target} {fields}");
        }
    }

    #[test]
    fn a_foreign_origin_is_refused_and_told_what_to_configure() {
        let input = request(CLIENT_PATH, "Origin: https://evil.example\r\n");

        let verdict = examine(input.as_bytes(), loopback(), &rules(Echo::Absent));

        let Verdict::Refuse(refusal) = verdict else {
            panic!("not refused")
        };
        assert_eq!(refusal.status, 403);
        assert!(
            refusal
                .why
                .contains("add \"https://evil.example\" to allowed_origins"),
            "{}",
            refusal.why
        );
        assert!(
            String::from_utf8(refusal.response)
                .unwrap()
                .starts_with("HTTP/1.1 403 Forbidden\r\n")
        );
    }

    #[test]
    fn an_origin_that_is_no_text_or_stands_there_twice_is_foreign() {
        let rules = rules(Echo::Absent);
        let mut no_text = request(CLIENT_PATH, "Origin: http://evil").into_bytes();
        no_text.truncate(no_text.len() - 2);
        no_text.extend_from_slice(b"\xff\r\n\r\n");
        let twice = request(
            CLIENT_PATH,
            "Origin: http://localhost:8000\r\nOrigin: https://evil.example\r\n",
        );

        for input in [no_text.as_slice(), twice.as_bytes()] {
            assert_eq!(
                refused(&examine(input, loopback(), &rules)),
                Some(403),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn a_request_that_a_proxy_passed_on_does_not_count_as_local() {
        for field in PROXY_FIELDS {
            let input = request(CLIENT_PATH, &format!("{field}: 1.1 somewhere\r\n"));

            let Verdict::Upgrade(upgrade) =
                examine(input.as_bytes(), loopback(), &rules(Echo::Absent))
            else {
                panic!("{field}: not upgraded");
            };

            assert_eq!(
                upgrade.purpose,
                Purpose::Client(Access::CredentialNeeded),
                "{field}"
            );
        }
    }

    #[test]
    fn the_echo_exists_only_when_configured() {
        let input = request(ECHO_PATH, "");

        let absent = examine(input.as_bytes(), loopback(), &rules(Echo::Absent));
        let served = examine(input.as_bytes(), loopback(), &rules(Echo::Served));

        assert!(matches!(absent, Verdict::Http), "{absent:?}");
        assert!(
            matches!(
                served,
                Verdict::Upgrade(Upgrade {
                    purpose: Purpose::Echo,
                    ..
                })
            ),
            "{served:?}"
        );
    }

    #[test]
    fn a_cut_head_waits_and_one_that_is_too_long_or_no_http_is_refused() {
        let whole = request(CLIENT_PATH, "");
        let long = request(
            CLIENT_PATH,
            &format!("X-Long: {}\r\n", "a".repeat(HEAD_BYTES_MAX)),
        );
        let many = request(CLIENT_PATH, &"X-Many: a\r\n".repeat(FIELDS_MAX));
        let rules = rules(Echo::Absent);

        for len in 0..whole.len() {
            let verdict = examine(&whole.as_bytes()[..len], loopback(), &rules);
            assert!(matches!(verdict, Verdict::Incomplete), "{len}: {verdict:?}");
        }
        assert_eq!(
            refused(&examine(long.as_bytes(), loopback(), &rules)),
            Some(431)
        );
        assert_eq!(
            refused(&examine(
                &long.as_bytes()[..HEAD_BYTES_MAX],
                loopback(),
                &rules
            )),
            Some(431)
        );
        assert_eq!(
            refused(&examine(many.as_bytes(), loopback(), &rules)),
            Some(431)
        );
        assert_eq!(
            refused(&examine(b"\x16\x03\x01\x02\x00\x01", loopback(), &rules)),
            Some(400)
        );
    }

    #[test]
    fn a_plain_request_for_the_endpoint_is_told_to_upgrade_and_other_paths_are_ordinary_http() {
        let plain = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let other = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let rules = rules(Echo::Absent);

        assert_eq!(
            refused(&examine(plain.as_bytes(), loopback(), &rules)),
            Some(426)
        );
        assert!(matches!(
            examine(other.as_bytes(), loopback(), &rules),
            Verdict::Http
        ));
        assert!(matches!(
            examine(request("/elsewhere", "").as_bytes(), loopback(), &rules),
            Verdict::Http
        ));
    }

    fn request(target: &str, fields: &str) -> String {
        format!("GET {target} HTTP/1.1\r\n{FIELDS}{fields}\r\n")
    }

    fn loopback() -> IpAddr {
        "127.0.0.1".parse().unwrap()
    }

    fn rules(echo: Echo) -> UpgradeRules {
        UpgradeRules {
            access: AccessRules::new(Anonymous::Loopback, &[]),
            echo,
        }
    }

    fn refused(verdict: &Verdict) -> Option<u16> {
        match verdict {
            Verdict::Refuse(refusal) => Some(refusal.status),
            Verdict::Incomplete | Verdict::Upgrade(_) | Verdict::Http => None,
        }
    }
}
