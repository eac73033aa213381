//! First logins: accepted, rejected for good and for now, redirected.

use serde_json::Value;
use steadfast::error::NotReady;
use steadfast::truenas::{Client, LoginErrorKind};
use steadfast::{DisconnectCause, Secret, SessionEvent, jsonrpc};
use steadfast_truenas_emulator::{AccountState, ApiVersion};

use crate::nas::{Nas, TIME_LIMIT, policy, until, within};

/// Why a client that will not be ready has failed.
async fn failure(client: &Client) -> (LoginErrorKind, String) {
    let error = client.ready(TIME_LIMIT).await.unwrap_err();
    let NotReady::Failed(DisconnectCause::LoginFailed { kind, text }) = error else {
        panic!("{error:?}");
    };
    (kind, text)
}

#[tokio::test]
async fn a_client_logs_in_with_an_api_key_and_calls() {
    for release in [
        ApiVersion::V25_04_0,
        ApiVersion::V26_0_0,
        ApiVersion::V27_0_0,
    ] {
        let mut policy = policy();
        policy.release = release;
        let nas = Nas::start(policy).await;
        let client = nas.client().await;

        let me: Value = within(client.request("auth.me", &())).await.unwrap();

        assert_eq!(me["pw_name"], "admin", "{me}");
    }
}

#[tokio::test]
async fn a_client_logs_in_with_a_password() {
    let nas = Nas::start(policy()).await;
    let builder = nas.builder();
    let client = builder.password("admin", Secret::new("secret".to_owned()));
    let client = client.connect().unwrap();

    client.ready(TIME_LIMIT).await.unwrap();

    assert_eq!(nas.executed("auth.login_ex").await, 1);
}

#[tokio::test]
async fn a_key_that_is_not_accepted_ends_the_session_and_is_not_shown() {
    let nas = Nas::start(policy()).await;
    let builder = nas
        .builder()
        .api_key("admin", Secret::new("1-wrong".to_owned()));
    let client = builder.connect().unwrap();

    let (kind, text) = failure(&client).await;

    assert_eq!(kind, LoginErrorKind::Credentials);
    assert!(!text.contains("1-wrong") && !format!("{client:?}").contains("1-wrong"));
    let error = client.request::<Value>("auth.me", &()).await.unwrap_err();
    assert!(
        matches!(error, jsonrpc::Error::Call(jsonrpc::CallError::Failed(_))),
        "{error}"
    );
}

#[tokio::test]
async fn an_account_that_may_not_log_in_ends_the_session_with_the_reason() {
    for (state, expected) in [
        (AccountState::Expired, LoginErrorKind::Expired),
        (AccountState::NoApiAccess, LoginErrorKind::Denied),
    ] {
        let mut policy = policy();
        policy.accounts[0].state = state;
        let nas = Nas::start(policy).await;

        let client = nas.builder().connect().unwrap();

        assert_eq!(failure(&client).await.0, expected);
    }
}

#[tokio::test]
async fn an_account_with_a_second_factor_needs_an_api_key() {
    let mut policy = policy();
    policy.accounts[0].otp = Some("123456".to_owned());
    let nas = Nas::start(policy).await;
    let builder = nas.builder();
    let client = builder.password("admin", Secret::new("secret".to_owned()));
    let client = client.connect().unwrap();

    let (kind, text) = failure(&client).await;

    assert_eq!(kind, LoginErrorKind::SecondFactor);
    assert!(text.contains("API key"), "{text}");
}

#[tokio::test]
async fn the_limit_on_logins_of_the_server_is_waited_for() {
    let nas = Nas::start(policy()).await;
    let other = jsonrpc::Client::builder(&format!("{}/api/current", nas.url())).unwrap();
    let other = other.connect().unwrap();
    for _ in 0..20 {
        let choices: Vec<String> = other.request("auth.mechanism_choices", &()).await.unwrap();
        assert!(!choices.is_empty());
    }

    let client = nas.builder().connect().unwrap();
    let mut events = client.events();
    let seen = until(&mut events, |event| {
        matches!(event, SessionEvent::Waiting { .. })
    })
    .await;

    let Some(SessionEvent::Waiting { cause, .. }) = seen.last() else {
        panic!("{seen:?}");
    };
    let kind = LoginErrorKind::Busy;
    assert!(
        matches!(cause, DisconnectCause::LoginFailed { kind: found, .. } if *found == kind),
        "{cause}"
    );
    let error = client.ready(std::time::Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(error, NotReady::TimedOut { .. }),
        "it has not failed: {error}"
    );
}

#[tokio::test]
async fn a_standby_redirects_the_client_to_the_other_controller() {
    let active = Nas::start(policy()).await;
    let mut policy = policy();
    policy.redirect = vec!["wss://".to_owned(), active.url()];
    let standby = Nas::start(policy).await;

    let client = standby.client().await;
    let _: Value = within(client.request("auth.me", &())).await.unwrap();

    assert_eq!(active.executed("auth.me").await, 1);
    assert_eq!(standby.executed("auth.me").await, 0);
}
