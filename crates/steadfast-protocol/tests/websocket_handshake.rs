//! The upgrade for both roles: what is accepted, and the error for each violated rule.

use steadfast_protocol::websocket::handshake::{
    RequestError, ResponseError, UpgradeRejection, UpgradeRequest, accept, accept_key, key,
    request, response, verify_response,
};

type Fields = Vec<(&'static str, &'static [u8])>;

/// Returns the example of RFC 6455, section 1.2.
fn good() -> Fields {
    vec![
        ("Host", b"server.example.com"),
        ("Upgrade", b"websocket"),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
    ]
}

fn without(name: &str) -> Fields {
    good().into_iter().filter(|field| field.0 != name).collect()
}

fn with(name: &'static str, value: &'static [u8]) -> Fields {
    let mut fields = without(name);
    fields.push((name, value));
    fields
}

fn plus(name: &'static str, value: &'static [u8]) -> Fields {
    [good(), vec![(name, value)]].concat()
}

#[test]
fn a_valid_request_is_accepted_with_the_key_of_the_rfc() {
    let accepted = accept("GET", 1, good()).unwrap();

    assert_eq!(accepted.accept_key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(accepted.subprotocols.is_empty());
}

#[test]
fn case_lists_and_spaces_do_not_matter() {
    let fields: Fields = vec![
        ("HOST", b"x"),
        ("uPgRaDe", b"h2c, WebSocket"),
        ("CONNECTION", b"keep-alive , upgrade"),
        ("sec-websocket-key", b" dGhlIHNhbXBsZSBub25jZQ== "),
        ("SEC-WEBSOCKET-VERSION", b" 13 "),
        ("Sec-WebSocket-Protocol", b" a ,b,, c"),
        ("Sec-WebSocket-Protocol", b"d"),
    ];

    assert_eq!(
        accept("GET", 1, fields).unwrap().subprotocols,
        ["a", "b", "c", "d"]
    );
}

#[test]
fn an_empty_subprotocol_field_offers_nothing_and_is_accepted() {
    let accepted = accept("GET", 1, with("Sec-WebSocket-Protocol", b"")).unwrap();

    assert!(accepted.subprotocols.is_empty());
}

#[test]
fn offered_extensions_are_ignored() {
    assert!(
        accept(
            "GET",
            1,
            with("Sec-WebSocket-Extensions", b"permessage-deflate")
        )
        .is_ok()
    );
    let response_text = String::from_utf8(response("k", None)).unwrap();
    assert!(!response_text.to_ascii_lowercase().contains("extensions"));
}

#[test]
fn only_get_over_http_1_1_is_upgraded() {
    check_rejection("POST", 1, good(), UpgradeRejection::Method, 405);
    check_rejection("get", 1, good(), UpgradeRejection::Method, 405);
    check_rejection("GET", 0, good(), UpgradeRejection::HttpVersion, 400);
}

#[test]
fn each_violated_rule_of_a_request_has_its_rejection() {
    let check = |fields, rejection, status| check_rejection("GET", 1, fields, rejection, status);

    check(without("Host"), UpgradeRejection::Host, 400);
    check(
        plus("Host", b"other.example.com"),
        UpgradeRejection::Host,
        400,
    );
    check(without("Upgrade"), UpgradeRejection::UpgradeMissing, 426);
    check(
        with("Upgrade", b"websockets"),
        UpgradeRejection::UpgradeMissing,
        426,
    );
    check(
        without("Connection"),
        UpgradeRejection::ConnectionMissing,
        400,
    );
    check(
        with("Connection", b"close"),
        UpgradeRejection::ConnectionMissing,
        400,
    );
    check(
        without("Sec-WebSocket-Version"),
        UpgradeRejection::Version,
        426,
    );
    check(
        with("Sec-WebSocket-Version", b"8"),
        UpgradeRejection::Version,
        426,
    );
    check(
        with("Sec-WebSocket-Version", b"013"),
        UpgradeRejection::Version,
        426,
    );
    let mut old_version_first = with("Sec-WebSocket-Version", b"8");
    old_version_first.push(("Sec-WebSocket-Version", b"13"));
    check(old_version_first, UpgradeRejection::Version, 426);
    check(
        plus("Sec-WebSocket-Version", b"8"),
        UpgradeRejection::Version,
        426,
    );
    check(without("Sec-WebSocket-Key"), UpgradeRejection::Key, 400);
    check(
        with("Sec-WebSocket-Key", b"c2hvcnQ="),
        UpgradeRejection::Key,
        400,
    );
    check(
        with("Sec-WebSocket-Key", b"\xFF\xFE"),
        UpgradeRejection::Key,
        400,
    );
    check(
        plus("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        UpgradeRejection::Key,
        400,
    );
}

fn check_rejection(
    method: &str,
    minor: u8,
    fields: Fields,
    rejection: UpgradeRejection,
    status: u16,
) {
    assert_eq!(accept(method, minor, fields), Err(rejection));
    assert_eq!(rejection.status(), status);
    let response_text = String::from_utf8(rejection.response()).unwrap_or_default();
    assert!(
        response_text.starts_with(&format!("HTTP/1.1 {status} ")),
        "{response_text}"
    );
    assert!(
        response_text.contains("\r\nConnection: close"),
        "{response_text}"
    );
    assert_eq!(
        response_text.contains("\r\nSec-WebSocket-Version: 13\r\n"),
        status == 426,
        "{response_text}"
    );
    assert_eq!(
        response_text.contains("\r\nAllow: GET\r\n"),
        status == 405,
        "{response_text}"
    );
    let (_, body) = response_text.split_once("\r\n\r\n").unwrap_or_default();
    assert!(
        response_text.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{response_text}"
    );
}

#[test]
fn the_client_of_this_codec_accepts_the_response() {
    let response_text = response(
        &accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
        Some("centrifuge-json"),
    );

    assert_eq!(
        String::from_utf8(response_text).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: centrifuge-json\r\n\r\n"
    );
}

#[test]
fn the_server_of_this_codec_accepts_the_request() {
    let key = key(*b"sixteen bytes ..");
    let parts = UpgradeRequest {
        host: "localhost:8000",
        path: "/connection/websocket?x=1",
        key: &key,
        origin: Some("http://localhost:8000"),
        subprotocols: &["a", "b"],
        extra_fields: &[("Authorization", "Bearer t")],
    };

    let text = String::from_utf8(request(&parts).unwrap()).unwrap();

    let (head, rest) = text.split_once("\r\n").unwrap();
    assert_eq!(head, "GET /connection/websocket?x=1 HTTP/1.1");
    let fields: Vec<(&str, &str)> = rest
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    assert!(fields.contains(&("Authorization", "Bearer t")));
    assert!(fields.contains(&("Origin", "http://localhost:8000")));
    let accepted = accept(
        "GET",
        1,
        fields.iter().map(|(name, value)| (*name, value.as_bytes())),
    )
    .unwrap();
    assert_eq!(accepted.accept_key, accept_key(&key));
    assert_eq!(accepted.subprotocols, ["a", "b"]);
}

#[test]
fn the_parts_of_a_request_cannot_inject_header_fields() {
    let good = UpgradeRequest {
        host: "h",
        path: "/",
        key: "k",
        ..UpgradeRequest::default()
    };

    assert!(request(&good).is_ok());
    assert_eq!(
        request(&UpgradeRequest { path: "x", ..good }),
        Err(RequestError::Path)
    );
    assert_eq!(
        request(&UpgradeRequest {
            path: "/a b",
            ..good
        }),
        Err(RequestError::Path)
    );
    assert_eq!(
        request(&UpgradeRequest {
            host: "h\r\nX: y",
            ..good
        }),
        Err(RequestError::ControlCharacter("Host"))
    );
    for name in ["", "a b", "a,b", "a\r\nX: y"] {
        assert_eq!(
            request(&UpgradeRequest {
                subprotocols: &["a", name],
                ..good
            }),
            Err(RequestError::Subprotocol),
            "{name}"
        );
    }
    for name in ["A\n", "", "A ", " A", "A: b\tC", "É"] {
        assert_eq!(
            request(&UpgradeRequest {
                extra_fields: &[(name, "b")],
                ..good
            }),
            Err(RequestError::FieldName),
            "{name}"
        );
    }
    assert!(
        request(&UpgradeRequest {
            extra_fields: &[("A", "b\r")],
            ..good
        })
        .is_err()
    );
}

#[test]
fn each_violated_rule_of_a_response_has_its_error() {
    let good: Fields = vec![
        ("upgrade", b"WebSocket"),
        ("connection", b"keep-alive, Upgrade"),
        ("sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let check = |status, fields: Fields| verify_response(status, fields, key, &["a", "b"]);
    let plus = |name, value: &'static [u8]| [good.clone(), vec![(name, value)]].concat();
    let minus = |at: usize| {
        good.iter()
            .copied()
            .enumerate()
            .filter(|(i, _)| *i != at)
            .map(|(_, f)| f)
            .collect()
    };

    assert_eq!(check(101, good.clone()).unwrap().subprotocol, None);
    assert_eq!(
        check(101, plus("Sec-WebSocket-Protocol", b"b"))
            .unwrap()
            .subprotocol,
        Some("b")
    );
    assert_eq!(check(503, good.clone()), Err(ResponseError::Status(503)));
    assert_eq!(check(101, minus(0)), Err(ResponseError::UpgradeMissing));
    assert_eq!(check(101, minus(1)), Err(ResponseError::ConnectionMissing));
    assert_eq!(check(101, minus(2)), Err(ResponseError::AcceptKey));
    assert_eq!(
        check(101, plus("Sec-WebSocket-Accept", b"wrong")),
        Err(ResponseError::AcceptKey)
    );
    assert_eq!(
        check(101, plus("Sec-WebSocket-Extensions", b"x")),
        Err(ResponseError::Extension)
    );
    assert_eq!(
        check(101, plus("Sec-WebSocket-Protocol", b"c")),
        Err(ResponseError::Subprotocol)
    );
    let twice = [
        plus("Sec-WebSocket-Protocol", b"a"),
        vec![("Sec-WebSocket-Protocol", b"b".as_slice())],
    ]
    .concat();
    assert_eq!(check(101, twice), Err(ResponseError::Subprotocol));
}
