//! The upgrade, both sides: what is accepted, and what each broken rule is answered with.

use steadfast_protocol::websocket::handshake::{
    RequestError, ResponseRefusal, UpgradeRefusal, UpgradeRequest, accept, accept_key, key,
    request, response, verify_response,
};

type Fields = Vec<(&'static str, &'static [u8])>;

/// The example of RFC 6455, section 1.2.
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
fn a_valid_request_is_accepted_with_the_key_of_the_standard() {
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
fn an_empty_subprotocol_field_offers_nothing_and_is_no_error() {
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
    let answer = String::from_utf8(response("k", None)).unwrap();
    assert!(!answer.to_ascii_lowercase().contains("extensions"));
}

#[test]
fn only_get_over_http_1_1_is_upgraded() {
    check_refusal("POST", 1, good(), UpgradeRefusal::Method, 405);
    check_refusal("get", 1, good(), UpgradeRefusal::Method, 405);
    check_refusal("GET", 0, good(), UpgradeRefusal::HttpVersion, 400);
}

#[test]
fn each_broken_rule_of_a_request_has_its_refusal() {
    let check = |fields, refusal, status| check_refusal("GET", 1, fields, refusal, status);

    check(without("Host"), UpgradeRefusal::Host, 400);
    check(
        plus("Host", b"other.example.com"),
        UpgradeRefusal::Host,
        400,
    );
    check(without("Upgrade"), UpgradeRefusal::UpgradeMissing, 426);
    check(
        with("Upgrade", b"websockets"),
        UpgradeRefusal::UpgradeMissing,
        426,
    );
    check(
        without("Connection"),
        UpgradeRefusal::ConnectionMissing,
        400,
    );
    check(
        with("Connection", b"close"),
        UpgradeRefusal::ConnectionMissing,
        400,
    );
    check(
        without("Sec-WebSocket-Version"),
        UpgradeRefusal::Version,
        426,
    );
    check(
        with("Sec-WebSocket-Version", b"8"),
        UpgradeRefusal::Version,
        426,
    );
    check(
        with("Sec-WebSocket-Version", b"013"),
        UpgradeRefusal::Version,
        426,
    );
    let mut old_version_first = with("Sec-WebSocket-Version", b"8");
    old_version_first.push(("Sec-WebSocket-Version", b"13"));
    check(old_version_first, UpgradeRefusal::Version, 426);
    check(
        plus("Sec-WebSocket-Version", b"8"),
        UpgradeRefusal::Version,
        426,
    );
    check(without("Sec-WebSocket-Key"), UpgradeRefusal::Key, 400);
    check(
        with("Sec-WebSocket-Key", b"c2hvcnQ="),
        UpgradeRefusal::Key,
        400,
    );
    check(
        with("Sec-WebSocket-Key", b"\xFF\xFE"),
        UpgradeRefusal::Key,
        400,
    );
    check(
        plus("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        UpgradeRefusal::Key,
        400,
    );
}

fn check_refusal(method: &str, minor: u8, fields: Fields, refusal: UpgradeRefusal, status: u16) {
    assert_eq!(accept(method, minor, fields), Err(refusal));
    assert_eq!(refusal.status(), status);
    let answer = String::from_utf8(refusal.response()).unwrap_or_default();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains("\r\nConnection: close"), "{answer}");
    assert_eq!(
        answer.contains("\r\nSec-WebSocket-Version: 13\r\n"),
        status == 426,
        "{answer}"
    );
    assert_eq!(
        answer.contains("\r\nAllow: GET\r\n"),
        status == 405,
        "{answer}"
    );
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(
        answer.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{answer}"
    );
}

#[test]
fn the_answer_is_what_the_client_of_this_codec_accepts() {
    let answer = response(
        &accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
        Some("centrifuge-json"),
    );

    assert_eq!(
        String::from_utf8(answer).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: centrifuge-json\r\n\r\n"
    );
}

#[test]
fn the_request_is_what_the_server_of_this_codec_accepts() {
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
fn a_request_cannot_be_broken_apart_by_its_parts() {
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
fn each_broken_rule_of_an_answer_has_its_refusal() {
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
    assert_eq!(check(503, good.clone()), Err(ResponseRefusal::Status(503)));
    assert_eq!(check(101, minus(0)), Err(ResponseRefusal::UpgradeMissing));
    assert_eq!(
        check(101, minus(1)),
        Err(ResponseRefusal::ConnectionMissing)
    );
    assert_eq!(check(101, minus(2)), Err(ResponseRefusal::AcceptKey));
    assert_eq!(
        check(101, plus("Sec-WebSocket-Accept", b"wrong")),
        Err(ResponseRefusal::AcceptKey)
    );
    assert_eq!(
        check(101, plus("Sec-WebSocket-Extensions", b"x")),
        Err(ResponseRefusal::Extension)
    );
    assert_eq!(
        check(101, plus("Sec-WebSocket-Protocol", b"c")),
        Err(ResponseRefusal::Subprotocol)
    );
    let twice = [
        plus("Sec-WebSocket-Protocol", b"a"),
        vec![("Sec-WebSocket-Protocol", b"b".as_slice())],
    ]
    .concat();
    assert_eq!(check(101, twice), Err(ResponseRefusal::Subprotocol));
}
