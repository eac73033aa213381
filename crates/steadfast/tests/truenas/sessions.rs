//! Sessions that end while the client is connected: expired, and lost with the middleware.

use serde_json::Value;
use steadfast::SessionEvent;
use steadfast::truenas::{Client, LoginBudgetSettings, LoginLimit};

use crate::nas::{Nas, TIME_LIMIT, policy, policy_with_tokens, until, within};

async fn me(client: &Client) -> Value {
    within(client.request("auth.me", &())).await.unwrap()
}

#[tokio::test]
async fn ten_calls_over_an_expired_session_cause_one_login_and_all_succeed() {
    let nas = Nas::start(policy()).await;
    let client = nas.client().await;
    let mut events = client.events();
    let calls_of_a_login = nas.executed("auth.login_ex").await;
    nas.control("expire-sessions").await;

    let calls: Vec<_> = (0..10)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let method = if n % 2 == 0 { "auth.me" } else { "pool.query" };
                client.request::<Value>(method, &()).await
            })
        })
        .collect();
    for call in calls {
        within(call).await.unwrap().unwrap();
    }

    assert_eq!(nas.executed("auth.login_ex").await, 2 * calls_of_a_login);
    let seen = until(&mut events, |event| {
        matches!(event, SessionEvent::LoggedIn { .. })
    })
    .await;
    let expired = |event: &&SessionEvent| matches!(event, SessionEvent::LoginExpired { .. });
    assert_eq!(seen.iter().filter(expired).count(), 1);
    assert_eq!(client.state().borrow().epoch.0, 1, "the connection stays");
}

#[tokio::test]
async fn a_restart_of_the_middleware_loses_the_token_and_the_client_logs_in_with_the_key() {
    let nas = Nas::start(policy_with_tokens()).await;
    let client = nas.builder().reconnect_tokens().connect().unwrap();
    client.ready(TIME_LIMIT).await.unwrap();
    let mut events = client.events();
    nas.control("restart").await;

    until(&mut events, |event| {
        matches!(event, SessionEvent::Ready { .. })
    })
    .await;

    me(&client).await;
    assert_eq!(
        nas.executed("auth.login_ex").await,
        3,
        "the token, and the key"
    );
}

#[tokio::test]
async fn a_token_spares_the_whole_login_after_a_lost_connection() {
    let nas = Nas::start(policy_with_tokens()).await;
    let client = nas.builder().reconnect_tokens().connect().unwrap();
    client.ready(TIME_LIMIT).await.unwrap();
    let mut events = client.events();
    nas.control("cut-connections").await;

    until(&mut events, |event| {
        matches!(event, SessionEvent::Ready { .. })
    })
    .await;

    me(&client).await;
    assert_eq!(nas.executed("auth.mechanism_choices").await, 1);
    assert_eq!(nas.executed("auth.login_ex").await, 2);
}

#[tokio::test]
async fn a_release_that_has_no_tokens_accepts_the_login_without() {
    let nas = Nas::start(policy()).await;
    let client = nas.builder().reconnect_tokens().connect().unwrap();

    client.ready(TIME_LIMIT).await.unwrap();

    me(&client).await;
}

#[tokio::test]
async fn a_session_that_an_administrator_ends_is_followed_by_a_new_login() {
    let nas = Nas::start(policy()).await;
    let client = nas.client().await;
    let mut events = client.events();
    nas.control("terminate-sessions").await;

    until(&mut events, |event| {
        matches!(event, SessionEvent::Ready { .. })
    })
    .await;

    me(&client).await;
}

#[tokio::test]
async fn clients_that_share_a_limit_wait_for_their_logins() {
    let nas = Nas::start(policy()).await;
    let limit = LoginLimit::new(LoginBudgetSettings::new(
        4,
        std::time::Duration::from_hours(1),
    ));
    let connect = || {
        let builder = nas.builder().login_limit(limit.clone());
        builder.connect().unwrap()
    };
    let clients = [connect(), connect()];
    for client in &clients {
        client.ready(TIME_LIMIT).await.unwrap();
    }

    let third = connect();
    let mut events = third.events();
    let dialling = |event: &SessionEvent| matches!(event, SessionEvent::Attempting { .. });
    if third.state().borrow().attempt == 0 {
        until(&mut events, dialling).await;
    }
    // The others are still served.
    for client in &clients {
        me(client).await;
    }

    let logins = nas.executed("auth.mechanism_choices").await;
    assert_eq!(logins, 2, "the third waits for its turn");
}
