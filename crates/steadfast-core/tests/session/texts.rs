//! What is printed and logged: each cause and each outcome in words.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::SendError;
use steadfast_core::event::{
    ConnectionErrorKind, DialErrorKind, DialStage, DisconnectCause, MigrationReason,
};
use steadfast_core::io::Frame;

#[test]
fn each_timeout_says_what_did_not_happen_and_for_how_long() {
    let time = Duration::from_millis(2_500);
    for (cause, text) in [
        (
            DisconnectCause::PongTimeout(time),
            "no data received for 2.5 s",
        ),
        (
            DisconnectCause::PongMissing(time),
            "no pong for 2.5 s, although data was received",
        ),
        (
            DisconnectCause::WriteTimeout(time),
            "no write progress for 2.5 s",
        ),
    ] {
        assert_eq!(cause.to_string(), text);
    }
}

#[test]
fn each_cause_says_what_happened() {
    let text = |text: &str| text.to_owned();
    let closed = |reason: &str| DisconnectCause::Closed {
        code: 1_001,
        reason: text(reason),
    };
    let dial = DisconnectCause::Dial {
        stage: DialStage::Connect,
        kind: DialErrorKind::Refused,
        text: text("connection refused"),
    };
    let rejected = DisconnectCause::ConnectRejected {
        code: 109,
        message: text("token expired"),
    };
    let expected = [
        (dial, "connection refused"),
        (
            DisconnectCause::Credentials(text("down")),
            "failed to fetch the credentials: down",
        ),
        (
            DisconnectCause::LocalNetwork(text("unreachable")),
            "no local network: unreachable",
        ),
        (
            DisconnectCause::ConnectTimeout,
            "connection attempt timed out",
        ),
        (
            rejected,
            "connect command rejected with code 109: token expired",
        ),
        (
            DisconnectCause::HandshakeRejected(text("banned")),
            "rejected by the server: banned",
        ),
        (closed(""), "closed by the server with code 1001"),
        (
            closed("restart"),
            "closed by the server with code 1001: restart",
        ),
        (
            DisconnectCause::ConnectionFailed {
                kind: ConnectionErrorKind::Reset,
                text: text("reset"),
            },
            "reset",
        ),
        (
            DisconnectCause::Protocol(text("no JSON")),
            "protocol error: no JSON",
        ),
        (
            DisconnectCause::AttemptsExhausted(3),
            "all 3 attempts failed",
        ),
    ];
    for (cause, words) in expected {
        assert_eq!(cause.to_string(), words);
    }
}

#[test]
fn each_stage_of_an_attempt_has_a_name() {
    let stages = [
        (DialStage::Resolve, "name resolution"),
        (DialStage::Connect, "TCP connection"),
        (DialStage::Proxy, "tunnel"),
        (DialStage::Secure, "TLS handshake"),
        (DialStage::Readiness, "readiness check"),
        (DialStage::Upgrade, "WebSocket upgrade"),
    ];
    for (stage, name) in stages {
        assert_eq!(stage.to_string(), name);
    }
}

#[test]
fn only_an_interrupted_message_may_have_been_applied() {
    assert!(SendError::Interrupted.maybe_applied());
    for error in [SendError::Expired, SendError::OutboxFull, SendError::Closed] {
        assert!(!error.maybe_applied(), "{error}");
    }
}

#[test]
fn only_a_text_message_in_utf_8_has_a_text() {
    let bytes = |bytes: &'static [u8]| bytes::Bytes::from_static(bytes);

    assert_eq!(Frame::from("ä").as_text(), Some("ä"));
    assert_eq!(Frame::Text(bytes(&[0xff])).as_text(), None);
    assert_eq!(Frame::Binary(bytes(b"a")).as_text(), None);
}

#[test]
fn each_reason_to_replace_a_connection_has_a_name() {
    assert_eq!(MigrationReason::Failback.to_string(), "failback");
    assert_eq!(MigrationReason::Requested.to_string(), "requested");
}
