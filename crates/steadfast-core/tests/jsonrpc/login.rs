//! The login: the first call of each connection.

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{Class, JsonRpcSettings, LoginCall, LoginRequest};
use steadfast_core::event::{SessionPhase, SessionState};

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
fn rejected_credentials_that_are_fixed_end_the_session() {
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
