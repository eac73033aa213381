//! Tokens of earlier logins.

use steadfast_core::dialect::truenas::TrueNasLogin;
use steadfast_core::event::LoginErrorKind;
use steadfast_core::retry_advice::Action;

use crate::steps::Steps;

const CHOICES: &str = r#"["API_KEY_PLAIN"]"#;

fn success(token: &str) -> String {
    format!(
        r#"{{"response_type":"SUCCESS","authenticator":"LEVEL_1","reconnect_token":"{token}"}}"#
    )
}

/// A login that has a token.
fn with_token() -> Steps {
    let steps = Steps::begin(TrueNasLogin::api_key("root").reconnect_tokens());
    steps.result(CHOICES).result(&success("t1"))
}

#[test]
fn the_next_login_uses_the_token_and_requests_another_one() {
    let steps = with_token().again();
    assert_eq!(
        steps.call(),
        r#"auth.login_ex [{"login_options":{"reconnect_token":true,"user_info":false},"mechanism":"TOKEN_PLAIN","token":"t1"}]"#
    );

    let steps = steps.result(&success("t2"));
    steps.assert_accepted();

    assert!(steps.again().call().contains("t2"));
}

#[test]
fn a_token_is_used_once() {
    let steps = with_token().again().again();

    assert_eq!(steps.call(), "auth.mechanism_choices []");
}

#[test]
fn a_token_that_is_not_accepted_is_followed_by_the_whole_login() {
    for refused in [
        with_token()
            .again()
            .result(r#"{"response_type":"AUTH_ERR"}"#),
        with_token()
            .again()
            .result(r#"{"response_type":"EXPIRED"}"#),
        with_token().again().error(-32_602, r#"{"error":22}"#),
    ] {
        assert_eq!(refused.call(), "auth.mechanism_choices []");
        refused
            .result(CHOICES)
            .result(&success("t2"))
            .assert_accepted();
    }
}

#[test]
fn a_server_that_does_not_know_tokens_is_asked_for_none() {
    let login = TrueNasLogin::api_key("root").reconnect_tokens();
    let steps = Steps::begin(login).result(r#"["API_KEY_PLAIN"]"#);
    assert!(steps.call().contains(r#""reconnect_token":true"#));

    let steps = steps.error(-32_602, "null");

    assert!(
        !steps.call().contains("reconnect_token"),
        "{}",
        steps.call()
    );
    let steps = steps.result(r#"{"response_type":"SUCCESS","authenticator":"LEVEL_1"}"#);
    steps.assert_accepted();
    let next = steps.again().result(r#"["API_KEY_PLAIN"]"#);
    assert!(!next.call().contains("reconnect_token"), "{}", next.call());
}

#[test]
fn a_busy_server_is_not_asked_again_at_once() {
    let steps = with_token().again().error(-32_001, r#"{"error":16}"#);

    steps.assert_rejected(LoginErrorKind::Busy, Action::Retry);
}

#[test]
fn without_the_option_a_token_is_ignored() {
    let steps = Steps::begin(TrueNasLogin::api_key("root"));
    let steps = steps.result(CHOICES).result(&success("t1"));

    assert_eq!(steps.again().call(), "auth.mechanism_choices []");
}
