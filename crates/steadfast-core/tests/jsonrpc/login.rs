//! The login: the first call of each connection.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{
    Class, Feed, Input, JsonRpcSettings, LoginCall, LoginRequest, SubscriptionEvent,
};
use steadfast_core::event::{
    DisconnectCause, LoginErrorKind, SessionEvent, SessionPhase, SessionState,
};

use crate::script::{Script, settings};

fn with_login() -> JsonRpcSettings {
    settings().login(LoginCall::new(|key| LoginRequest {
        method: "login".to_owned(),
        params: Bytes::from(format!("[\"{}\"]", key.expose())),
    }))
}

#[test]
fn nothing_is_sent_before_the_login_has_succeeded() {
    let mut script = Script::new(with_login());
    script.call("a", "", Class::Write);
    script.dial();
    assert_eq!(
        script.take_sent(),
        [r#"{"jsonrpc":"2.0","id":1,"method":"login","params":["key"]}"#]
    );

    script.receive(r#"{"jsonrpc":"2.0","id":1,"result":true}"#);

    assert_eq!(
        script.take_sent(),
        [r#"{"jsonrpc":"2.0","id":2,"method":"a"}"#]
    );
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
}

#[test]
fn each_connection_logs_in_and_a_call_waits_for_it() {
    let mut script = Script::new(with_login());
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.lose();
    script.call("a", "", Class::Write);
    script.redial();
    assert!(script.take_sent()[0].contains("login"));

    script.receive(r#"{"id":2,"result":{"user":"root"}}"#);

    assert!(script.take_sent()[0].contains("\"a\""));
}

#[test]
fn rejected_credentials_that_are_not_renewed_end_the_session() {
    for response in [
        r#"{"id":1,"result":false}"#,
        r#"{"id":1,"result":null}"#,
        r#"{"id":1,"error":{"code":1,"message":"no"}}"#,
    ] {
        let mut script = Script::new(with_login());
        script.call("a", "", Class::Write);
        script.dial();
        script.receive(response);

        assert_eq!(script.snapshot().state, SessionState::Failed, "{response}");
        assert!(
            script.take_results()[0].starts_with("1: Failed"),
            "it was not executed"
        );
    }
}

fn logged_in() -> Script {
    let mut script = Script::new(with_login());
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.take_sent();
    script
}

#[test]
fn replaced_credentials_log_in_again_over_the_open_connection() {
    for (response, failures) in [
        (r#"{"id":2,"result":true}"#, 0),
        (r#"{"id":2,"result":false}"#, 1),
        (r#"{"id":2,"error":{"code":-32602,"message":"no"}}"#, 1),
        // The only request without a response.
        (r#"{"id":null,"error":{"code":-32700,"message":"no"}}"#, 1),
    ] {
        let mut script = logged_in();
        script.replace_credentials("other");
        assert_eq!(
            script.take_sent(),
            [r#"{"jsonrpc":"2.0","id":2,"method":"login","params":["other"]}"#]
        );

        script.receive(response);
        // A second response, and the end of the time for one, change nothing.
        script.receive(response);
        script.receive_pong();
        script.advance(Duration::from_secs(10));

        let failed = |event: &&SessionEvent| matches!(event, SessionEvent::RenewalFailed { .. });
        assert_eq!(
            script.events.iter().filter(failed).count(),
            failures,
            "{response}"
        );
        assert_eq!(script.snapshot().phase, SessionPhase::Ready, "{response}");
    }
}

#[test]
fn the_debug_output_of_a_session_shows_neither_credentials_nor_params() {
    let mut script = Script::new(with_login());
    script.call("auth", r#"["hunter2"]"#, Class::Write);
    script.dial();
    let shown = script.debug();
    assert!(shown.contains("\"auth\""), "{shown}");
    for secret in ["hunter2", "\"key\"", "[\"key"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn the_response_to_the_newest_login_decides() {
    let mut script = logged_in();
    script.replace_credentials("second");
    script.replace_credentials("third");
    script.take_sent();

    script.receive(r#"{"id":2,"result":false}"#);
    script.receive(r#"{"id":3,"result":true}"#);

    let failed = |event: &SessionEvent| matches!(event, SessionEvent::RenewalFailed { .. });
    assert!(!script.events.iter().any(failed), "{:?}", script.events);
    script.call("a", "", Class::Read);
    assert_eq!(script.take_sent().len(), 1);
}

#[test]
fn a_login_that_the_server_cannot_read_is_rejected() {
    let mut script = Script::new(with_login());
    script.dial();

    script.receive(r#"{"id":null,"error":{"code":-32700,"message":"Parse error"}}"#);

    assert_eq!(script.snapshot().state, SessionState::Failed);
}

#[test]
fn a_standby_logs_in_and_then_has_its_own_ids_and_subscriptions() {
    let mut script = logged_in();
    let feed = Feed::subscription("subscribe", Bytes::new(), "unsubscribe");
    script.subscribe(feed);
    script.receive(r#"{"id":2,"result":"s"}"#);
    script.call("before", "", Class::Write);
    script.receive(r#"{"id":3,"result":1}"#);

    script.handle(Input::MigrateRequested { endpoint: None });
    script.dial();
    assert!(script.take_sent()[0].contains(r#""id":1,"method":"login""#));
    script.receive(r#"{"id":1,"result":true}"#);
    script.call("after", "", Class::Write);
    script.receive(r#"{"id":3,"result":2}"#);

    let sent = script.take_sent().join("\n");
    assert!(sent.contains("subscribe"), "{sent}");
    script.receive(r#"{"id":2,"result":"t"}"#);
    for id in ["s", "t"] {
        script.receive(&format!(
            r#"{{"method":"m","params":{{"subscription":"{id}","result":"{id}"}}}}"#
        ));
    }
    let is_item = |event: &&SubscriptionEvent| matches!(event, SubscriptionEvent::Item(_));
    let items: Vec<_> = script.items.iter().filter(is_item).collect();
    assert_eq!(items, [&SubscriptionEvent::Item(r#""t""#.into())]);
    let is_gap = |event: &SubscriptionEvent| matches!(event, SubscriptionEvent::Gap { .. });
    assert!(script.items.iter().any(is_gap));
    assert_eq!(script.take_results(), ["2: 1", "3: 2"]);
}

#[test]
fn a_login_above_the_limit_before_it_is_not_sent_and_says_why() {
    let login = LoginCall::new(|key| LoginRequest {
        method: "login".to_owned(),
        params: format!("[\"{}\"]", key.expose()).into(),
    });
    let with_limit = |bytes| {
        let settings = settings().login(login.clone());
        settings.login_message_bytes_max(bytes)
    };
    let mut script = Script::new(with_limit(60));
    script.dial();

    assert_eq!(script.take_sent(), [""; 0]);
    let Some(DisconnectCause::LoginFailed { kind, text }) = &script.snapshot().cause else {
        panic!("{:?}", script.snapshot());
    };
    assert_eq!(*kind, LoginErrorKind::Credentials);
    assert!(text.contains("above the limit of 60 bytes"), "{text}");
    assert_eq!(script.snapshot().state, SessionState::Failed);

    let mut script = Script::new(with_limit(100));
    script.dial();
    script.receive(r#"{"id":1,"result":true}"#);
    script.take_sent();
    let long = "x".repeat(100);
    script.replace_credentials(&long);
    assert_eq!(script.take_sent(), [""; 0]);
    let not_sent = |event: &SessionEvent| matches!(event, SessionEvent::RenewalFailed { .. });
    assert!(script.events.iter().any(not_sent), "{:?}", script.events);
}
