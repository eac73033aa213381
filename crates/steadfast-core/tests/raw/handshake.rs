//! What is said first, and when the server has accepted the client.

use std::time::Duration;

use steadfast_core::dialect::raw::{
    FIRST_MESSAGES_MAX, HANDSHAKE_MESSAGES_MAX, Input, LoginMessage, Raw,
};
use steadfast_core::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use steadfast_core::secret::Secret;

use crate::script::{CONNECT_TIMEOUT, MESSAGE_BYTES_MAX, Script, raw, text, with_login};

#[test]
fn without_a_rule_the_client_is_accepted_as_soon_as_the_transport_is_open() {
    let mut script = Script::connected(raw());

    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
    assert_eq!(script.words(), ["subscribed 0"]);
}

#[test]
fn with_a_rule_nothing_queued_is_sent_before_the_server_has_accepted_the_client() {
    let mut script = Script::new(with_login());
    script.send(text("queued"));
    script.dial();
    assert_eq!(script.sent, [text("login"), text("subscribe")]);
    assert_eq!(script.snapshot().phase, SessionPhase::Handshake);

    script.receive(text("welcome"));
    assert_eq!(script.sent.len(), 2);
    script.receive(text("ok"));

    assert_eq!(script.sent, ["login", "subscribe", "queued"].map(text));
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
}

#[test]
fn the_first_messages_are_said_again_on_each_connection_before_everything_that_is_queued() {
    let mut script = Script::connected(raw().first_messages([text("hello")]));
    script.lose();
    script.send(text("queued"));

    script.redial();

    assert_eq!(script.sent, ["hello", "queued"].map(text));
}

#[test]
fn the_login_has_the_credentials_and_comes_first_and_new_credentials_are_sent_at_once() {
    let login = |credentials: &Secret| text(&format!("login {}", credentials.expose()));
    let settings = raw()
        .login(LoginMessage::new(login))
        .first_messages([text("subscribe")]);
    let mut script = Script::connected(settings);
    assert_eq!(script.sent, ["login key", "subscribe"].map(text));

    let credentials = Secret::new("other".to_owned());
    script.handle(Input::CredentialsReplaced(credentials));

    assert_eq!(script.sent.last(), Some(&text("login other")));
    script.lose();
    script.redial();
    assert_eq!(script.sent, ["login other", "subscribe"].map(text));
}

#[test]
fn the_messages_of_the_handshake_are_delivered_once_the_client_is_accepted() {
    let mut script = Script::connected(with_login());
    script.receive(text("welcome"));
    assert!(script.words().is_empty());

    script.receive(text("ok"));
    script.receive(text("data"));

    assert_eq!(script.words(), ["subscribed 0", "welcome", "ok", "data"]);
}

#[test]
fn a_client_that_is_never_accepted_gives_up_the_attempt_at_its_deadline() {
    let mut script = Script::connected(with_login());
    script.receive(text("welcome"));

    script.advance(CONNECT_TIMEOUT);

    let snapshot = script.snapshot();
    assert_eq!(snapshot.cause, Some(DisconnectCause::ConnectTimeout));
    assert_eq!(snapshot.state, SessionState::Connecting);
    assert!(script.words().is_empty(), "it was never connected");
}

#[test]
fn a_rejected_client_reports_the_reason_and_follows_the_advice() {
    let mut script = Script::connected(with_login());
    let message = script.send(text("queued"));

    script.receive(text("no such key"));

    let cause = DisconnectCause::HandshakeRejected("no such key".to_owned());
    assert_eq!(script.snapshot().state, SessionState::Failed);
    assert_eq!(script.snapshot().cause, Some(cause));
    assert_eq!(
        script.words(),
        ["failed: rejected by the server: no such key"]
    );
    assert!(matches!(script.outcomes.as_slice(), [(id, Err(_))] if *id == message));
}

#[test]
fn a_server_that_talks_without_end_before_it_accepts_the_client_is_given_up() {
    let mut script = Script::connected(with_login());
    for _ in 0..HANDSHAKE_MESSAGES_MAX {
        script.receive(text("welcome"));
    }
    assert_eq!(script.snapshot().phase, SessionPhase::Handshake);

    script.receive(text("welcome"));

    let cause = script.snapshot().cause.clone();
    assert!(
        matches!(cause, Some(DisconnectCause::Protocol(_))),
        "{cause:?}"
    );
}

#[test]
fn invalid_settings_are_rejected() {
    let message = |bytes| text(&"x".repeat(bytes));
    let with = |count, bytes| raw().first_messages(vec![message(bytes); count]);
    let without_size = raw().message_bytes_max(0);

    let problems = [
        Raw::new(without_size),
        Raw::new(with(FIRST_MESSAGES_MAX + 1, 1)),
        Raw::new(with(1, MESSAGE_BYTES_MAX + 1)),
    ];

    for problem in problems {
        assert!(problem.is_err(), "{problem:?}");
    }
    assert!(Raw::new(with(FIRST_MESSAGES_MAX, MESSAGE_BYTES_MAX)).is_ok());
}

#[test]
fn the_debug_output_does_not_contain_the_first_messages() {
    let settings = with_login().login(LoginMessage::new(|_| text("secret")));
    let output = format!("{:?}", Raw::new(settings));

    for part in [
        "first_messages: 2",
        "login: Some(LoginMessage)",
        "handshake: Some(HandshakeRule)",
    ] {
        assert!(output.contains(part), "{output}");
    }
    assert!(!output.contains("subscribe"), "{output}");
}

#[test]
fn credentials_that_replace_others_on_an_open_connection_need_no_reply() {
    let mut script = Script::connected(raw());

    script.handle(Input::CredentialsReplaced(Secret::new("new".to_owned())));
    for _ in 0..60 {
        script.advance(Duration::from_secs(1));
        script.receive(text("a"));
    }

    let failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    assert!(!script.events.iter().any(failed), "{:?}", script.events);
}
