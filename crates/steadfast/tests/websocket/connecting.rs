//! The upgrade, the first messages, and when a client is connected.

use std::sync::atomic::{AtomicUsize, Ordering};

use steadfast::retry_advice::{Action, RetryAdvice};
use steadfast::websocket::{Client, Event, Frame, Handshake};
use steadfast::{DisconnectCause, SessionState};

use crate::server::{Server, within};

#[tokio::test]
async fn the_offered_subprotocols_are_in_the_request_and_one_of_them_may_be_selected() {
    let server = Server::start().await;
    let builder = server.client().subprotocol("v2").subprotocol("v1");
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);

    let connection = server.accept_with(Some("v1")).await;

    let field = "Sec-WebSocket-Protocol: v2, v1\r\n";
    assert!(connection.request.contains(field), "{}", connection.request);
    let event = within(inbox.next()).await;
    assert_eq!(event, Some(Event::Connected { skipped: 0 }));
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_fails_the_attempt() {
    let server = Server::start().await;
    let (client, driver) = server.client().subprotocol("v1").build().unwrap();
    let mut state = client.state();
    tokio::spawn(driver);

    let _connection = server.accept_with(Some("other")).await;

    let failed = within(state.wait_for(|it| it.cause.is_some())).await;
    let cause = failed.unwrap().cause.clone().unwrap();
    assert!(cause.to_string().contains("subprotocol"), "{cause}");
}

#[tokio::test]
async fn an_invalid_subprotocol_is_rejected_before_the_first_attempt() {
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();

    let error = builder.subprotocol("a, b").build().unwrap_err();

    assert!(error.to_string().contains("subprotocol"), "{error}");
}

#[tokio::test]
async fn each_connection_begins_with_the_first_messages_and_then_has_what_waited() {
    let server = Server::start().await;
    let builder = server.client().first_messages(["login", "subscribe"]);
    let builder = builder.accepted_when(|message| message.as_text() == Some("ok"));
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    let _receipt = client.send_text("queued").await.unwrap();
    tokio::spawn(driver);

    let mut first = server.accept().await;
    assert_eq!(first.receive_text().await, "login");
    assert_eq!(first.receive_text().await, "subscribe");
    first.send_text("ok").await;
    assert_eq!(first.receive_text().await, "queued");
    first.close(1000).await;
    let mut second = server.accept().await;
    assert_eq!(second.receive_text().await, "login");
    second.send_text("ok").await;

    let ok = || Event::Message(Frame::from("ok"));
    let cause = DisconnectCause::Closed {
        code: 1000,
        reason: String::new(),
    };
    let expected = [
        Event::Connected { skipped: 0 },
        ok(),
        Event::Disconnected { cause },
        Event::Connected { skipped: 0 },
        ok(),
    ];
    for event in expected {
        assert_eq!(within(inbox.next()).await, Some(event));
    }
}

#[tokio::test]
async fn a_rejected_client_and_a_code_that_the_application_knows_end_the_session() {
    let server = Server::start().await;
    let builder = server
        .client()
        .handshake(|message| match message.as_text() {
            Some("ok") => Handshake::Accepted,
            _ => Handshake::Rejected {
                reason: "wrong key".to_owned(),
                advice: RetryAdvice::GIVE_UP,
            },
        });
    let builder = builder.on_close(4001, RetryAdvice::GIVE_UP);
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);

    server.accept().await.send_text("no").await;

    let cause = DisconnectCause::HandshakeRejected("wrong key".to_owned());
    assert_eq!(within(inbox.next()).await, Some(Event::Failed { cause }));
    client.restart();
    let mut second = server.accept().await;
    second.send_text("ok").await;
    second.close(4001).await;
    let mut state = client.state();
    let failed = state.wait_for(|it| it.state == SessionState::Failed);
    assert!(within(failed).await.is_ok());
    let mut last = None;
    while !matches!(last, Some(Event::Failed { .. })) {
        last = within(inbox.next()).await;
        assert!(last.is_some());
    }
}

#[tokio::test]
async fn a_second_inbox_says_that_it_receives_nothing() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut first = client.receive();
    let mut second = client.receive();
    tokio::spawn(driver);
    let mut connection = server.accept().await;
    connection.send_text("a").await;

    let refused = within(second.next()).await;

    assert!(
        matches!(refused, Some(Event::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(within(second.next()).await, None);
    let event = within(first.next()).await;
    assert_eq!(event, Some(Event::Connected { skipped: 0 }));
    let event = within(first.next()).await;
    assert_eq!(event, Some(Event::Message(Frame::from("a"))));
}

#[tokio::test]
async fn the_login_contains_the_credentials_that_were_fetched_and_new_ones_after_a_rejection() {
    let server = Server::start().await;
    let fetches = AtomicUsize::new(0);
    let builder = server.client().credentials(move |_reason| {
        let fetch = fetches.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("key {fetch}")) }
    });
    let builder = builder.login(|key| Frame::from(format!("login with {key}")));
    let builder = builder.handshake(|message| match message.as_text() {
        Some("ok") => Handshake::Accepted,
        _ => Handshake::Rejected {
            reason: "expired".to_owned(),
            advice: RetryAdvice::RETRY.with(Action::RenewCredentials),
        },
    });
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);

    let mut first = server.accept().await;
    assert_eq!(first.receive_text().await, "login with key 0");
    first.send_text("expired").await;
    let mut second = server.accept().await;
    assert_eq!(second.receive_text().await, "login with key 1");
    second.send_text("ok").await;

    let event = within(inbox.next()).await;
    assert_eq!(event, Some(Event::Connected { skipped: 0 }));
}

#[tokio::test]
async fn a_server_that_always_begins_with_a_message_above_the_limit_is_reported_each_time() {
    let server = Server::start().await;
    let builder = server.client().received_message_bytes_max(4);
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);

    for _ in 0..4 {
        let mut connection = server.accept().await;
        let event = within(inbox.next()).await;
        assert_eq!(event, Some(Event::Connected { skipped: 0 }));
        connection.send_text("12345").await;
        let event = within(inbox.next()).await;
        assert!(
            matches!(event, Some(Event::Disconnected { .. })),
            "{event:?}"
        );
    }
}
