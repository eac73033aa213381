//! Which mechanism is used, and what the results mean.

use std::time::Duration;

use steadfast_core::dialect::Renewal;
use steadfast_core::dialect::jsonrpc::{ErrorObject, Login as _, LoginStep};
use steadfast_core::dialect::truenas::{TrueNasLogin, is_unauthenticated};
use steadfast_core::event::LoginErrorKind;
use steadfast_core::io::Computation;
use steadfast_core::retry_advice::Action;

use crate::steps::{KEY, NO_METHOD, Steps};

fn begin() -> Steps {
    Steps::begin(TrueNasLogin::api_key("root"))
}

/// A login whose secret is about to be sent.
fn plain() -> Steps {
    begin().result(r#"["API_KEY_PLAIN","PASSWORD_PLAIN"]"#)
}

#[test]
fn a_login_first_asks_which_mechanisms_the_server_offers() {
    assert_eq!(begin().call(), "auth.mechanism_choices []");
}

#[test]
fn without_scram_the_key_is_sent_with_the_user_name() {
    assert_eq!(
        plain().call(),
        format!(
            r#"auth.login_ex [{{"api_key":"{KEY}","login_options":{{"user_info":false}},"mechanism":"API_KEY_PLAIN","username":"root"}}]"#
        )
    );
}

#[test]
fn scram_is_used_if_the_server_offers_it() {
    let steps = begin().result(r#"["API_KEY_PLAIN","SCRAM"]"#);

    assert_eq!(steps.step, LoginStep::Compute(Computation::Nonce));
}

#[test]
fn a_password_is_sent_only_if_the_application_has_chosen_it() {
    let login = || Steps::begin_with(TrueNasLogin::password("root"), "hunter2");

    let steps = login().result(r#"["SCRAM","PASSWORD_PLAIN"]"#);
    assert!(
        steps
            .call()
            .contains(r#""mechanism":"PASSWORD_PLAIN","password":"hunter2""#)
    );

    let steps = login().result(r#"["API_KEY_PLAIN"]"#);
    steps.assert_rejected(LoginErrorKind::Mechanism, Action::GiveUp);
    let steps = login().error(NO_METHOD, "").error(NO_METHOD, "");
    steps.assert_rejected(LoginErrorKind::Mechanism, Action::GiveUp);
}

#[test]
fn the_old_method_is_used_only_if_the_server_has_neither_of_the_others() {
    let steps = begin().error(NO_METHOD, "");
    assert!(steps.call().contains("API_KEY_PLAIN"), "{}", steps.call());
    let steps = steps.error(NO_METHOD, "");
    assert_eq!(
        steps.call(),
        format!(r#"auth.login_with_api_key ["{KEY}"]"#)
    );
    steps.result("true").assert_accepted();

    let steps = plain().error(NO_METHOD, "");
    steps.assert_rejected(LoginErrorKind::Mechanism, Action::GiveUp);
    let rejected = begin().error(NO_METHOD, "").error(NO_METHOD, "");
    let rejected = rejected.result("false");
    rejected.assert_rejected(LoginErrorKind::Credentials, Action::RenewCredentials);
}

#[test]
fn a_server_that_offered_scram_gets_no_key_when_it_offers_less() {
    let seen = || begin().result(r#"["SCRAM"]"#).again();
    for weaker in [
        seen().result(r#"["API_KEY_PLAIN"]"#),
        seen().error(NO_METHOD, ""),
    ] {
        weaker.assert_rejected(LoginErrorKind::Mechanism, Action::Retry);
    }

    let login = TrueNasLogin::api_key("root").permit_weaker_mechanism();
    let permitted = Steps::begin(login).result(r#"["SCRAM"]"#).again();
    let permitted = permitted.result(r#"["API_KEY_PLAIN"]"#);
    assert!(permitted.call().contains("API_KEY_PLAIN"));
}

#[test]
fn results_and_errors_have_a_kind_and_say_what_has_to_change() {
    for (response_type, kind, action) in [
        (
            "AUTH_ERR",
            LoginErrorKind::Credentials,
            Action::RenewCredentials,
        ),
        ("EXPIRED", LoginErrorKind::Expired, Action::RenewCredentials),
        ("DENIED", LoginErrorKind::Denied, Action::GiveUp),
        ("OTP_REQUIRED", LoginErrorKind::SecondFactor, Action::GiveUp),
        ("SOMETHING", LoginErrorKind::Other, Action::Retry),
        ("SCRAM_RESPONSE", LoginErrorKind::Server, Action::Retry),
    ] {
        let steps = plain().result(&format!(r#"{{"response_type":"{response_type}"}}"#));
        steps.assert_rejected(kind, action);
    }
    for (code, data, kind, action) in [
        (
            -32_001,
            r#"{"error":16,"reason":"[EBUSY] x"}"#,
            LoginErrorKind::Busy,
            Action::Retry,
        ),
        (
            -32_001,
            r#"{"error":5,"reason":"[EIO] x"}"#,
            LoginErrorKind::Other,
            Action::Retry,
        ),
        (-32_001, "", LoginErrorKind::Other, Action::Retry),
        (-32_000, "", LoginErrorKind::Busy, Action::Retry),
        (-32_603, "", LoginErrorKind::Other, Action::Retry),
        (
            -32_602,
            r#"{"error":22}"#,
            LoginErrorKind::Other,
            Action::GiveUp,
        ),
        (-32_600, "", LoginErrorKind::Other, Action::GiveUp),
    ] {
        plain().error(code, data).assert_rejected(kind, action);
        if code != NO_METHOD {
            begin().error(code, data).assert_rejected(kind, action);
        }
    }
}

#[test]
fn the_rate_limit_is_waited_for() {
    let steps = plain().error(
        -32_001,
        r#"{"error":16,"reason":"[EBUSY] Rate Limit Exceeded"}"#,
    );

    let (_, advice, reason) = steps.rejection();
    assert_eq!(advice.retry_after, Some(Duration::from_mins(1)));
    assert_eq!(reason, "[EBUSY] Rate Limit Exceeded");
}

#[test]
fn a_long_reason_is_cut_and_params_in_the_data_are_not_quoted() {
    let long = "ü".repeat(1_000);
    let steps = plain().error(-32_001, &format!(r#"{{"error":5,"reason":"{long}"}}"#));
    assert!(steps.rejection().2.len() <= 256);

    let steps = plain().error(-32_602, r#"{"error":22,"reason":"api_key 7-secret"}"#);
    assert!(!steps.rejection().2.contains("secret"));
}

#[test]
fn a_few_redirects_in_a_row_are_followed() {
    let redirect = r#"{"response_type":"REDIRECT","urls":["https://b"]}"#;
    let choose = |steps: Steps| steps.result(r#"["API_KEY_PLAIN"]"#);
    let mut steps = plain();
    for _ in 0..5 {
        steps = steps.result(redirect);
        assert_eq!(
            steps.step,
            LoginStep::Redirected {
                urls: vec!["https://b".to_owned()]
            }
        );
        steps = choose(steps.again());
    }
    let steps = steps.result(redirect);
    steps.assert_rejected(LoginErrorKind::Redirected, Action::Retry);

    let none = plain().result(r#"{"response_type":"REDIRECT","urls":[]}"#);
    none.assert_rejected(LoginErrorKind::Redirected, Action::Retry);
}

#[test]
fn a_login_is_renewed_after_four_fifths_of_the_greatest_age_over_another_connection() {
    for (authenticator, expected) in [
        (r#""LEVEL_1""#, Duration::from_hours(24 * 24)),
        ("null", Duration::from_hours(24 * 24)),
        (r#""LEVEL_2""#, Duration::from_mins(576)),
        (r#""LEVEL_3""#, Duration::from_secs(624)),
    ] {
        let steps = plain().result(&format!(
            r#"{{"response_type":"SUCCESS","authenticator":{authenticator}}}"#
        ));
        let expires_after = Some(expected);
        assert_eq!(steps.step, LoginStep::Accepted { expires_after });
        assert_eq!(steps.login.renewal(), Renewal::OtherConnection);
    }
}

#[test]
fn only_one_error_says_that_the_session_has_ended() {
    let error = |code, data: &str| {
        let error = ErrorObject::new(code, "Method call error");
        is_unauthenticated(&error.data(data.to_owned().into()))
    };
    assert!(error(
        -32_001,
        r#"{"error":207,"errname":"ENOTAUTHENTICATED"}"#
    ));
    assert!(!error(-32_001, r#"{"error":13}"#));
    assert!(!error(-32_602, r#"{"error":207}"#));
    assert!(!error(-32_001, "null"));
    assert!(!is_unauthenticated(&ErrorObject::new(-32_001, "207")));
    // A trace above what is parsed of other errors.
    let trace = "x".repeat(17 << 20);
    assert!(!error(-32_001, "[207]"));
    assert!(error(
        -32_001,
        &format!(r#"{{"error":207,"trace":"{trace}"}}"#)
    ));
}

#[test]
fn the_debug_output_of_a_login_shows_no_secret() {
    let steps = plain();

    let shown = format!("{:?} {:?}", steps.login, steps.step);

    assert!(shown.contains("root"), "{shown}");
    assert!(!shown.contains("Zm9v"), "{shown}");
}
