//! Tests of waits: each ends at its own time limit, and what it says then.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::centrifuge::{CallError, Client, SendError};
use steadfast::defaults::CLOSE_TIMEOUT;
use steadfast::error::{BuildError, NotReady};
use steadfast::{SessionEvent, SessionState};
use steadfast_protocol::websocket::{Decoder, Role, WebSocketEvent};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::closing::silent;
use crate::peer::LIMITS;

/// Longer than any test here takes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_handle_with_another_time_limit_changes_no_other_handle() {
    let (listener, url) = listener().await;
    let builder = Client::builder(&url).unwrap().call_timeout(LONG);
    let (client, driver) = builder.build().unwrap();
    tokio::spawn(driver);
    let ready = async { client.ready(LONG).await.unwrap() };
    let (_socket, ()) = tokio::join!(silent(&listener), ready);
    let mut unlimited = pin!(client.rpc("method", &1));
    let mut poll = async || {
        poll_fn(|context| Poll::Ready(unlimited.as_mut().poll(context).is_pending())).await
    };
    assert!(poll().await);

    let limited = client.with_call_timeout(SHORT).rpc("method", &2).await;

    let maybe_executed = true;
    assert_eq!(limited, Err(CallError::TimedOut { maybe_executed }));
    assert!(poll().await);
}

#[tokio::test]
async fn a_server_that_does_not_reply_to_the_close_delays_it_up_to_the_time_limit() {
    let (listener, url) = listener().await;
    let builder = Client::builder(&url).unwrap().close_timeout(SHORT);
    let (client, driver) = builder.build().unwrap();
    let driver = tokio::spawn(driver);
    let ready = async { client.ready(LONG).await.unwrap() };
    let (mut socket, ()) = tokio::join!(silent(&listener), ready);

    let closed = timeout(CLOSE_TIMEOUT, client.close(Duration::ZERO)).await;
    closed.expect("before the default time limit").unwrap();

    driver.await.unwrap();
    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    // The first byte was read by `silent`.
    let mut received = vec![0x81];
    socket.read_to_end(&mut received).await.unwrap();
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let mut reading = decoder.read(&mut received);
    let mut code = None;
    while let Some(event) = reading.next_event().unwrap() {
        if let WebSocketEvent::Close { code: received, .. } = event {
            code = received;
        }
    }
    assert_eq!(code, Some(1_000));
}

#[tokio::test]
async fn a_client_without_a_server_says_why_it_is_not_ready() {
    let (listener, url) = listener().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let mut events = client.events();

    // No attempt has failed yet.
    let before = client.ready(Duration::ZERO).await.unwrap_err();
    tokio::spawn(driver);
    while !matches!(events.recv().await.unwrap(), SessionEvent::Waiting { .. }) {}
    let after = client.ready(Duration::ZERO).await.unwrap_err();

    assert!(matches!(before, NotReady::TimedOut { cause: None, .. }));
    assert_eq!(before.to_string(), "not connected after 0.0 s");
    assert!(matches!(after, NotReady::TimedOut { cause: Some(_), .. }));
    let start = format!("not connected after 0.0 s: TCP connection to {address} failed: ");
    let text = after.to_string();
    assert!(text.starts_with(&start), "{text}");
}

#[tokio::test]
async fn the_receipt_of_a_client_whose_driver_is_not_polled_has_no_outcome() {
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();
    let (client, driver) = builder.close_timeout(SHORT).build().unwrap();
    let ttl = Duration::ZERO;
    let message = client.message("news", &1).ttl(ttl);
    let mut receipt = message.send().await.unwrap();

    // Everything else has ended by then.
    let called = client.with_call_timeout(SHORT).rpc("method", &1).await;
    let closed = client.close(Duration::ZERO).await;

    assert!(called.is_err() && closed.is_err());
    let mut receipt = pin!(&mut receipt);
    let polled = poll_fn(|context| Poll::Ready(receipt.as_mut().poll(context))).await;
    assert_eq!(polled, Poll::Pending);
    drop(driver);
    assert_eq!(receipt.await, Err(SendError::Closed));
}

#[test]
fn a_session_that_is_to_be_spawned_outside_of_a_runtime_is_an_error_and_no_panic() {
    let error = Client::builder("ws://127.0.0.1:9").unwrap().connect();

    let error = error.unwrap_err();
    assert!(matches!(error, BuildError::Runtime(_)), "{error:?}");
    assert_eq!(error.to_string(), "failed to spawn the session");
    assert!(std::error::Error::source(&error).is_some());
}
