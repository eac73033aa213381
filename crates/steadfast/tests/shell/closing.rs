//! Tests of closing a client: all pending futures complete, and publications in flight are reported as interrupted.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream as _;
use steadfast::centrifuge::{CallError, Client, SendError, SendResult};
use steadfast::error::RequestError;
use steadfast::{Overflow, SessionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::peer::upgrade;

/// Polls after which a driver has received all pending commands.
const POLLS: usize = 200;

const INTERRUPTED: SendResult = Err(SendError::Interrupted);

/// Accepts a connection, and replies to the connect command only.
pub(crate) async fn silent(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    upgrade(&mut socket).await.expect("an upgrade request");
    assert!(socket.read_u8().await.unwrap() > 0);
    let connected = br#"{"id":1,"connect":{"client":"c","version":"v"}}"#;
    let mut frame = vec![0x81, u8::try_from(connected.len()).unwrap()];
    frame.extend_from_slice(connected);
    socket.write_all(&frame).await.unwrap();
    socket
}

#[tokio::test]
async fn closing_a_client_completes_all_pending_futures() {
    let (client, driver) = Client::builder("ws://127.0.0.1:9")
        .unwrap()
        .build()
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut subscription = client.subscribe("news");

    // The driver is polled to completion and not dropped.
    let (closed, ()) = tokio::join!(client.close(Duration::ZERO), &mut driver);

    closed.unwrap();

    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    assert_eq!(subscription.next().await, None);
    let late = client.publish("news", &1);
    assert!(matches!(late, Err(RequestError::Closed)), "{late:?}");
    client.close(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_dropped_driver_reports_publications_in_flight_as_interrupted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let driver = tokio::spawn(driver);
    let mut state = client.state();
    let (socket, _) = tokio::join!(
        silent(&listener),
        state.wait_for(|it| it.state == SessionState::Connected)
    );
    let sent = client.publish("news", &1).unwrap();
    let mut call = pin!(client.rpc("m", &1));
    let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    state.wait_for(|it| it.in_flight == 1).await.unwrap();
    driver.abort();
    // The driver does not receive this publication.
    let queued = client.publish("news", &2).unwrap();

    assert_eq!(sent.await, INTERRUPTED);
    assert_eq!(queued.await, Err(SendError::Closed));
    let maybe_executed = true;
    assert_eq!(call.await, Err(CallError::Interrupted { maybe_executed }));
    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    drop(socket);
}

#[tokio::test]
async fn a_dropped_subscription_is_removed_although_the_command_queue_is_full() {
    // Publications that wait for no space in the outbox fill the command queue.
    let (client, driver) = Client::builder("ws://127.0.0.1:9")
        .unwrap()
        .overflow(Overflow::DropOldest)
        .build()
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut drive = async || {
        // The runtime limits the work in one poll.
        for _ in 0..POLLS {
            let polled = poll_fn(|context| Poll::Ready(driver.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            yield_now().await;
        }
    };
    let subscription = client.subscribe("news");
    drive().await;
    while client.publish("news", &1).is_ok() {}
    drop(subscription);
    drive().await;

    // While the first subscription exists, a second one for the same channel would end immediately.
    let mut subscription = client.subscribe("news");
    drive().await;
    let next = poll_fn(|context| Poll::Ready(Pin::new(&mut subscription).poll_next(context))).await;
    assert_eq!(next, Poll::Pending);
}
