//! Replacing an open connection of a client of any WebSocket server.

use steadfast::retry_advice::RetryAdvice;
use steadfast::websocket::{Event, Frame, Handshake};
use steadfast::{MigrationError, SessionEvent};

use crate::server::{Arrived, Server, within};

/// A text message that the inbox yields.
fn message(text: &str) -> Event {
    Event::Message(Frame::from(text))
}

#[tokio::test]
async fn the_old_connection_is_closed_when_the_new_one_is_accepted_and_the_inbox_reports_it() {
    let server = Server::start().await;
    let builder = server.client().first_messages(["login"]);
    let builder = builder.accepted_when(|message| message.as_text() == Some("ok"));
    let (client, driver) = builder.build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let mut old = server.accept().await;
    assert_eq!(old.receive_text().await, "login");
    old.send_text("ok").await;
    let connected = Some(Event::Connected { skipped: 0 });
    assert_eq!(within(inbox.next()).await, connected);
    assert_eq!(within(inbox.next()).await, Some(message("ok")));

    client.migrate().unwrap();

    let mut new = server.accept().await;
    assert_eq!(new.receive_text().await, "login");
    old.send_text("over the old one").await;
    assert_eq!(
        within(inbox.next()).await,
        Some(message("over the old one"))
    );
    let _receipt = client.send_text("before the switch").await.unwrap();
    assert_eq!(old.receive_text().await, "before the switch");
    new.send_text("ok").await;
    assert_eq!(old.receive().await, Arrived::Close(Some(1000)));
    assert_eq!(
        within(inbox.next()).await,
        connected,
        "without an interruption"
    );
    assert_eq!(within(inbox.next()).await, Some(message("ok")));
    let _receipt = client.send_text("after the switch").await.unwrap();
    assert_eq!(new.receive_text().await, "after the switch");
    old.close(1000).await;
    assert_eq!(old.receive().await, Arrived::End);
    new.send_text("over the new one").await;
    assert_eq!(
        within(inbox.next()).await,
        Some(message("over the new one"))
    );
}

/// The server accepts a client with `ok`, and rejects it with any other message.
fn evaluate(message: &Frame) -> Handshake {
    if message.as_text() == Some("ok") {
        return Handshake::Accepted;
    }
    Handshake::Rejected {
        reason: "no".to_owned(),
        advice: RetryAdvice::GIVE_UP,
    }
}

#[tokio::test]
async fn a_new_connection_that_is_rejected_or_ends_leaves_the_old_one_in_use() {
    let server = Server::start().await;
    let (client, driver) = server.client().handshake(evaluate).build().unwrap();
    let mut events = client.events();
    let state = client.state();
    tokio::spawn(driver);
    let mut old = server.accept().await;
    old.send_text("ok").await;
    within(state.clone().wait_for(|it| it.epoch.0 == 1))
        .await
        .unwrap();

    for is_rejected in [true, false] {
        client.migrate_to(0).unwrap();
        let mut new = server.accept().await;
        if is_rejected {
            new.send_text("no").await;
        } else {
            new.close(1013).await;
        }
        let error = loop {
            let event = within(events.recv()).await.unwrap();
            if let SessionEvent::MigrationFailed { error, .. } = event {
                break error;
            }
        };
        assert!(matches!(error, MigrationError::Failed(_)), "{error:?}");
        let _receipt = client.send_text("still here").await.unwrap();
        assert_eq!(old.receive_text().await, "still here");
    }

    assert_eq!(state.borrow().epoch.0, 1);
}
