//! A login by SCRAM: its messages, and servers that do not prove what they are.

use steadfast_core::dialect::jsonrpc::{Login as _, LoginStep};
use steadfast_core::dialect::truenas::TrueNasLogin;
use steadfast_core::event::LoginErrorKind;
use steadfast_core::io::{Computation, Computed, KeyDerivation};
use steadfast_core::retry_advice::Action;

use crate::steps::Steps;

const FIRST: &str = "n,,n=root:7,r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const SERVER_FIRST: &str =
    "r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=Sx3rv,s=AAECAwQFBgcICQoLDA0ODw==,i=4096";
const LAST: &str = "c=biws,r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=Sx3rv,p=Y20AU6jAWiau5JZjzfeR/Mk35E02S220yhEzPq9ihyDgs6WYXhSIrpUwqtx6DQKaptofHHdAZK3edGWAhR8VTg==";
const SERVER_LAST: &str =
    "v=wqM9rbdiPt4pqE6HapE5buI6dnkZEymjCc3OJyRR/fFmgfRpHxaCCq7RHnjx0Xp3fQ78HEjnpY73yDFcsPthHA==";

fn scram(scram_type: &str, text: &str) -> String {
    format!(
        r#"{{"response_type":"SCRAM_RESPONSE","scram_type":"{scram_type}","rfc_str":"{text}"}}"#
    )
}

fn compute(mut steps: Steps, computed: Computed) -> Steps {
    steps.step = steps.login.on_computed(computed);
    steps
}

/// A login whose first message of SCRAM is sent.
fn first(steps: Steps) -> Steps {
    let steps = steps.result(r#"["SCRAM","API_KEY_PLAIN"]"#);
    assert_eq!(steps.step, LoginStep::Compute(Computation::Nonce));
    compute(steps, Computed::Nonce([1; 32]))
}

fn begin() -> Steps {
    Steps::begin(TrueNasLogin::api_key("root"))
}

fn derivation(steps: &Steps) -> KeyDerivation {
    let LoginStep::Compute(Computation::DeriveKey(derivation)) = &steps.step else {
        panic!("no derivation: {:?}", steps.step);
    };
    derivation.clone()
}

/// A login whose last message is sent.
fn last() -> Steps {
    let steps = first(begin()).result(&scram("SERVER_FIRST_RESPONSE", SERVER_FIRST));
    let key = derivation(&steps).derive();
    compute(steps, Computed::Key(key))
}

#[test]
fn both_messages_are_sent_and_the_secret_is_not() {
    let steps = first(begin());
    assert_eq!(
        steps.call(),
        format!(
            r#"auth.login_ex [{{"mechanism":"SCRAM","rfc_str":"{FIRST}","scram_type":"CLIENT_FIRST_MESSAGE"}}]"#
        )
    );
    let steps = steps.result(&scram("SERVER_FIRST_RESPONSE", SERVER_FIRST));
    let derivation = derivation(&steps);
    assert_eq!((derivation.salt.len(), derivation.iterations), (16, 4_096));

    let steps = compute(steps, Computed::Key(derivation.derive()));

    assert_eq!(
        steps.call(),
        format!(
            r#"auth.login_ex [{{"mechanism":"SCRAM","rfc_str":"{LAST}","scram_type":"CLIENT_FINAL_MESSAGE"}}]"#
        )
    );
    steps
        .result(&scram("SERVER_FINAL_RESPONSE", SERVER_LAST))
        .assert_accepted();
}

#[test]
fn the_key_is_derived_once_for_the_same_salt_and_iterations() {
    let steps = last().result(&scram("SERVER_FINAL_RESPONSE", SERVER_LAST));

    let again = first(steps.again()).result(&scram("SERVER_FIRST_RESPONSE", SERVER_FIRST));
    assert!(again.call().contains(LAST), "{}", again.call());

    let other = SERVER_FIRST.replace("i=4096", "i=4097");
    let again = first(again.again()).result(&scram("SERVER_FIRST_RESPONSE", &other));
    assert_eq!(derivation(&again).iterations, 4_097);
}

#[test]
fn a_server_that_does_not_prove_that_it_knows_the_key_is_refused_and_gets_no_key() {
    let wrong = SERVER_LAST.replacen("v=w", "v=x", 1);
    for steps in [
        last().result(&scram("SERVER_FINAL_RESPONSE", &wrong)),
        last().result(&scram("SERVER_FINAL_RESPONSE", "")),
        last().result(r#"{"response_type":"SUCCESS","authenticator":"LEVEL_1"}"#),
        last().result(&scram("SERVER_FIRST_RESPONSE", SERVER_LAST)),
        first(begin()).result(r#"{"response_type":"SUCCESS","authenticator":"LEVEL_1"}"#),
        first(begin()).result(&scram(
            "SERVER_FIRST_RESPONSE",
            "r=other,s=AAECAwQFBgc=,i=4096",
        )),
        first(begin()).result(&scram(
            "SERVER_FIRST_RESPONSE",
            &SERVER_FIRST.replace("4096", "1"),
        )),
    ] {
        steps.assert_rejected(LoginErrorKind::Server, Action::Retry);
        let next = steps.again().result(r#"["API_KEY_PLAIN"]"#);
        next.assert_rejected(LoginErrorKind::Mechanism, Action::Retry);
    }
}

#[test]
fn a_failed_login_is_not_tried_with_the_key_itself() {
    for steps in [first(begin()), last()] {
        let steps = steps.result(r#"{"response_type":"AUTH_ERR"}"#);
        steps.assert_rejected(LoginErrorKind::Credentials, Action::RenewCredentials);
    }
    let steps = first(begin()).error(-32_602, r#"{"error":22}"#);
    steps.assert_rejected(LoginErrorKind::Other, Action::GiveUp);
}

#[test]
fn a_key_of_another_form_is_not_sent() {
    for key in ["", "secret", "-secret", "x-secret", "7-"] {
        let steps = Steps::begin_with(TrueNasLogin::api_key("root"), key);
        let steps = steps.result(r#"["SCRAM"]"#);
        steps.assert_rejected(LoginErrorKind::Credentials, Action::RenewCredentials);
    }
}

#[test]
fn a_computation_that_fails_is_tried_again_later() {
    let steps = begin().result(r#"["SCRAM"]"#);
    let steps = compute(steps, Computed::Failed("no random bytes".to_owned()));

    steps.assert_rejected(LoginErrorKind::Other, Action::Retry);
    assert_eq!(steps.rejection().2, "no random bytes");
}

#[test]
fn the_debug_output_shows_neither_the_key_nor_what_is_derived_from_it() {
    let steps = last();

    let shown = format!("{:?}", steps.login);

    assert!(
        !shown.contains("Zm9v") && !shown.contains("223, 128"),
        "{shown}"
    );
}
