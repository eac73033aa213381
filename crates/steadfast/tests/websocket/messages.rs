//! Messages in both directions, and the end of a client.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use steadfast::defaults;
use steadfast::websocket::{Event, Frame, SendError, Sent};

use crate::server::{Arrived, Server, within};

#[tokio::test]
async fn text_and_binary_messages_arrive_as_they_are_in_both_directions() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let mut connection = server.accept().await;
    let binary = || Bytes::from_static(&[0, 255, b'{']);
    let frames = [Frame::from("ä"), Frame::from(binary()), Frame::from("")];

    for frame in &frames {
        connection.send(frame.clone()).await;
    }
    within(inbox.next()).await.unwrap();
    for frame in frames {
        assert_eq!(within(inbox.next()).await, Some(Event::Message(frame)));
    }
    let receipts = [
        client.send_text("ä").await.unwrap(),
        client.send_binary(binary()).await.unwrap(),
        client.send_text_now("b").unwrap(),
        client.send_binary_now(binary()).unwrap(),
    ];
    for receipt in receipts {
        assert_eq!(within(receipt).await, Ok(Sent));
    }
    let expected = [
        Frame::from("ä"),
        Frame::from(binary()),
        Frame::from("b"),
        Frame::from(binary()),
    ];
    for frame in expected {
        assert_eq!(connection.receive().await, Arrived::Message(frame));
    }
}

#[tokio::test]
async fn a_closed_client_sends_what_waits_and_then_says_goodbye() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let mut connection = server.accept().await;
    within(inbox.next()).await.unwrap();

    let _receipt = client.send_text("last").await.unwrap();
    let closing = tokio::spawn(async move { client.close(Duration::from_secs(5)).await });

    assert_eq!(connection.receive_text().await, "last");
    assert_eq!(connection.receive().await, Arrived::Close(Some(1000)));
    connection.close(1000).await;
    assert!(within(closing).await.unwrap().is_ok());
    assert_eq!(within(inbox.next()).await, None);
}

#[tokio::test]
async fn a_living_inbox_keeps_the_session_open_after_the_last_handle_was_dropped() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    let driver = tokio::spawn(driver);
    let mut connection = server.accept().await;
    within(inbox.next()).await.unwrap();

    drop(client);

    connection.send_text("still here").await;
    let message = Event::Message(Frame::from("still here"));
    assert_eq!(within(inbox.next()).await, Some(message));
    // A close frame would arrive before the pong.
    connection.synchronize().await;
    drop(inbox);
    assert_eq!(connection.receive().await, Arrived::Close(Some(1000)));
    connection.close(1000).await;
    within(driver).await.unwrap();
}

#[tokio::test]
async fn a_message_above_the_limit_of_the_server_fails_alone() {
    let server = Server::start().await;
    let builder = server.client().sent_message_bytes_max(4);
    let (client, driver) = builder.build().unwrap();
    tokio::spawn(driver);
    let mut connection = server.accept().await;

    let too_large = client.send_text("12345").await.unwrap();
    let fits = client.send_text("1234").await.unwrap();

    let outcome = within(too_large).await;
    assert!(
        matches!(outcome, Err(SendError::Unsendable(_))),
        "{outcome:?}"
    );
    assert_eq!(within(fits).await, Ok(Sent));
    assert_eq!(connection.receive_text().await, "1234");
}

#[tokio::test]
async fn a_dropped_future_of_an_inbox_takes_no_message_with_it() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let mut connection = server.accept().await;
    within(inbox.next()).await.unwrap();

    for number in 0..20 {
        assert!(is_pending(inbox.next()).await);
        let text = number.to_string();
        connection.send_text(&text).await;
        let message = Event::Message(Frame::from(text));
        assert_eq!(within(inbox.next()).await, Some(message));
    }
}

#[tokio::test]
async fn a_dropped_future_of_a_message_that_waits_for_space_sends_nothing() {
    let server = Server::start().await;
    let outbox = defaults::OUTBOX.messages_max(1);
    let (client, driver) = server.client().outbox(outbox).build().unwrap();
    let _first = client.send_text_now("first").unwrap();

    assert!(is_pending(client.send_text("dropped")).await);
    assert!(is_pending(client.send_binary("dropped")).await);
    tokio::spawn(driver);

    let mut connection = server.accept().await;
    assert_eq!(connection.receive_text().await, "first");
    let _second = client.send_text("second").await.unwrap();
    assert_eq!(connection.receive_text().await, "second");
}

/// Polls a future once and drops it. Returns whether it was not complete.
async fn is_pending(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}
