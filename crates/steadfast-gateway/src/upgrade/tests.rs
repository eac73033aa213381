//! Which first requests become a WebSocket, and what the others get.

use super::*;
use crate::config::keys::SettingSource;
use crate::config::load::LoadedConfig;
use crate::config::policy::Policies;
use crate::config::{Anonymous, Config};

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
fn a_client_that_requires_protobuf_is_upgraded_and_closed_with_a_code_after_which_sdks_stop() {
    for (target, fields, subprotocol) in [
        ("/connection/websocket?format=protobuf", "", None),
        ("/connection/websocket?a=b&cf_protocol=protobuf", "", None),
        (
            "/connection/websocket",
            "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
            Some("centrifuge-protobuf"),
        ),
    ] {
        let input = request(target, fields);

        let rejection = rejection(&input, &rules(EchoEndpoint::Disabled));

        assert_eq!(rejection.cause, RejectionCause::Protobuf, "{target}");
        let end = rejection
            .response
            .windows(4)
            .position(|it| it == b"\r\n\r\n");
        let (head, frame) = rejection.response.split_at(end.unwrap() + 4);
        let head = str::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let selected = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(selected, subprotocol, "{target}");
        // A close frame of the server, and 3506.
        assert_eq!(frame[0], 0x88, "{target}");
        assert_eq!(frame[2..4], [0x0d, 0xb2], "{target}");
        assert!(frame.ends_with(b"use JSON"), "{target}");
    }
}

#[test]
fn a_query_that_only_contains_the_word_protobuf_is_not_a_request_for_it() {
    let input = request(
        "/connection/websocket?cf_protocol_version=v2&x=protobuf",
        "",
    );

    let decision = examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled));

    assert!(
        matches!(decision, HandshakeDecision::Upgrade(_)),
        "{decision:?}"
    );
}

#[test]
fn a_target_in_absolute_form_is_upgraded_for_its_host() {
    for (target, origin, access) in [
        (
            "http://localhost:8000/connection/websocket",
            "http://localhost:8000",
            Access::Anonymous,
        ),
        (
            "HTTPS://127.0.0.1/connection/websocket?a=b",
            "https://127.0.0.1",
            Access::Anonymous,
        ),
        (
            "ws://app.example/connection/websocket",
            "http://app.example",
            Access::CredentialNeeded,
        ),
    ] {
        let input = request(target, &format!("Origin: {origin}\r\n"));

        let HandshakeDecision::Upgrade(upgrade) =
            examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled))
        else {
            panic!("{target}: not upgraded");
        };

        assert_eq!(upgrade.purpose, client(access), "{target}");
    }
    for target in [
        "http://localhost:8000",
        "http://localhost:8000/readyz",
        "http://localhost?a",
    ] {
        let input = request(target, "");
        let decision = examine(input.as_bytes(), loopback(), &rules(EchoEndpoint::Disabled));
        assert!(
            matches!(decision, HandshakeDecision::Http),
            "{target}: {decision:?}"
        );
    }
}

#[test]
fn a_request_needs_exactly_one_valid_host_on_every_path() {
    let rules = rules(EchoEndpoint::Disabled);
    for path in [CLIENT_PATH, "/readyz", "/", "http://localhost/readyz"] {
        for (version, hosts, is_valid) in [
            ("1.1", "Host: localhost\r\n", true),
            ("1.1", "Host: \r\n", true),
            ("1.1", "", false),
            ("1.1", "Host: localhost\r\nHost: localhost\r\n", false),
            ("1.1", "Host: local host\r\n", false),
            ("1.1", "Host: user@localhost\r\n", false),
            ("1.1", "Host: localhost:99999\r\n", false),
            ("1.0", "Host: localhost\r\nHost: localhost\r\n", false),
        ] {
            let input = format!("GET {path} HTTP/{version}\r\n{hosts}\r\n");

            let decision = examine(input.as_bytes(), loopback(), &rules);

            let is_rejected = rejected_status(&decision) == Some(400);
            assert_eq!(is_rejected, !is_valid, "{input}: {decision:?}");
        }
    }
    let without_host = examine(b"GET /readyz HTTP/1.0\r\n\r\n", loopback(), &rules);
    assert!(matches!(without_host, HandshakeDecision::Http));
}

#[test]
fn the_advice_for_an_origin_is_accepted_by_the_configuration_and_admits_it() {
    for origin in [
        "https://evil.example",
        "https://evil.example:8443",
        "file://",
        "null",
        "app://x",
    ] {
        let input = request(CLIENT_PATH, &format!("Origin: {origin}\r\n"));

        let refused = rejection(&input, &rules(EchoEndpoint::Disabled));
        let advice = refused.reason.split('"').nth(1).unwrap().to_owned();
        let mut config = Config::default();
        config.server.allowed_origins.push(advice.clone());
        assert!(
            Policies::try_from(&LoadedConfig::from(config)).is_ok(),
            "{advice}"
        );
        let mut rules = rules(EchoEndpoint::Disabled);
        rules.access = AccessRules::new(Anonymous::Loopback, &[advice]);

        let decision = examine(input.as_bytes(), loopback(), &rules);
        assert!(
            matches!(decision, HandshakeDecision::Upgrade(_)),
            "{origin}"
        );
    }
}

#[test]
fn a_head_above_a_limit_is_rejected_with_the_key_of_the_limit() {
    let rules = rules(EchoEndpoint::Disabled);
    let limits = rules.head;
    let own_fields = FIELDS.lines().count();
    let fits = request(
        CLIENT_PATH,
        &"X-Many: a\r\n".repeat(limits.fields_max - own_fields),
    );
    let many = request(CLIENT_PATH, &"X-Many: a\r\n".repeat(limits.fields_max));
    let long = request(
        CLIENT_PATH,
        &format!("Cookie: {}\r\n", "a".repeat(limits.bytes_max)),
    );

    let decision = examine(fits.as_bytes(), loopback(), &rules);
    assert!(
        matches!(decision, HandshakeDecision::Upgrade(_)),
        "{decision:?}"
    );
    for (input, key) in [
        (many.as_str(), "request_fields_max"),
        (long.as_str(), "request_head_bytes_max"),
        (
            long.get(..limits.bytes_max).unwrap(),
            "request_head_bytes_max",
        ),
    ] {
        let rejection = rejection(input, &rules);
        assert_eq!(rejection.status, 431, "{key}");
        assert!(
            matches!(rejection.cause, RejectionCause::Limit(SettingSource::Key(limit)) if limit.name == key),
            "{rejection:?}"
        );
        assert!(rejection.reason.contains(key), "{rejection:?}");
    }
}

#[test]
fn every_rejection_closes_the_connection_after_a_body_of_the_given_length_and_none_for_head() {
    let plain = |method| format!("{method} {CLIENT_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for input in [
        plain("GET"),
        plain("POST"),
        plain("HEAD"),
        request(CLIENT_PATH, "Origin: https://evil.example\r\n"),
        request(CLIENT_PATH, "Host: localhost\r\n"),
        "bad request\r\n\r\n".to_owned(),
    ] {
        let rejection = rejection(&input, &rules(EchoEndpoint::Disabled));

        let response = String::from_utf8(rejection.response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let length = head
            .split("Content-Length: ")
            .nth(1)
            .unwrap()
            .lines()
            .next();
        let length: usize = length.unwrap().parse().unwrap();
        let expected = if input.starts_with("HEAD") { 0 } else { length };
        assert_eq!(body.len(), expected, "{response}");
        assert!(length > 0, "{response}");
        assert!(head.contains("\r\nConnection: close"), "{response}");
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
fn a_single_star_allows_any_value_of_the_origin_field() {
    let mut rules = rules(EchoEndpoint::Disabled);
    rules.access = AccessRules::new(Anonymous::Loopback, &["*".to_owned()]);
    for origin in ["https://evil.example", "my application", ""] {
        let input = request(CLIENT_PATH, &format!("Origin: {origin}\r\n"));

        let decision = examine(input.as_bytes(), loopback(), &rules);

        assert!(
            matches!(decision, HandshakeDecision::Upgrade(_)),
            "{origin}: {decision:?}"
        );
    }
}

#[test]
fn a_request_that_a_proxy_forwarded_does_not_count_as_local() {
    for field in ["X-Forwarded-Host", "CF-Connecting-IP", "Via"] {
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
fn an_incomplete_head_is_buffered_and_what_is_not_http_is_rejected() {
    let complete = request(CLIENT_PATH, "");
    let rules = rules(EchoEndpoint::Disabled);

    for len in 0..complete.len() {
        let decision = examine(&complete.as_bytes()[..len], loopback(), &rules);
        assert!(
            matches!(decision, HandshakeDecision::Incomplete),
            "{len}: {decision:?}"
        );
    }
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
        head: HeadLimits {
            bytes_max: 4096,
            fields_max: 20,
        },
    }
}

fn rejection(input: &str, rules: &UpgradeRules) -> HttpRejection {
    let decision = examine(input.as_bytes(), loopback(), rules);
    let HandshakeDecision::Reject(rejection) = decision else {
        panic!("{input}: {decision:?}");
    };
    rejection
}

fn rejected_status(decision: &HandshakeDecision) -> Option<u16> {
    match decision {
        HandshakeDecision::Reject(rejection) => Some(rejection.status),
        HandshakeDecision::Incomplete | HandshakeDecision::Upgrade(_) | HandshakeDecision::Http => {
            None
        }
    }
}
