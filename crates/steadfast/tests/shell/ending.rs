//! The end of a client: everybody who waits for something is told, and what was under way is not called undelivered.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::error::RequestError;
use steadfast::{CallError, Client, Delivery, DropReason, SessionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::peer::upgrade;

/// Polls in which a driver takes everything that waits for it.
const TURNS: usize = 200;

const INTERRUPTED: Delivery = Delivery::Interrupted {
    maybe_delivered: true,
};

/// A server that takes a connection and everything on it, and answers nothing but the connect command.
async fn silent(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    upgrade(&mut socket).await.expect("it asks");
    assert!(socket.read_u8().await.unwrap() > 0);
    let connected = br#"{"id":1,"connect":{"client":"c","version":"v"}}"#;
    let mut frame = vec![0x81, u8::try_from(connected.len()).unwrap()];
    frame.extend_from_slice(connected);
    socket.write_all(&frame).await.unwrap();
    socket
}

#[tokio::test]
async fn a_closed_client_leaves_nobody_waiting() {
    let (client, driver) = Client::builder("ws://127.0.0.1:9")
        .unwrap()
        .build()
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut feeds = client.subscribe("room");

    // The driver is polled to its end and not dropped.
    tokio::join!(client.close(Duration::ZERO), &mut driver);

    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    assert_eq!(feeds.next().await, None);
    let late = client.publish("room", &1);
    assert!(matches!(late, Err(RequestError::Closed)), "{late:?}");
    client.close(Duration::ZERO).await;
}

#[tokio::test]
async fn a_driver_that_is_dropped_does_not_call_undelivered_what_may_have_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let driver = tokio::spawn(driver);
    let mut state = client.state();
    let (socket, _) = tokio::join!(
        silent(&listener),
        state.wait_for(|it| it.state == SessionState::Connected)
    );
    let sent = client.publish("room", &1).unwrap();
    let mut call = pin!(client.rpc("m", &1));
    let asked = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(asked.is_pending());
    state.wait_for(|it| it.in_flight == 1).await.unwrap();
    driver.abort();
    // Nobody took this one before the end.
    let queued = client.publish("room", &2).unwrap();

    assert_eq!(sent.await, INTERRUPTED);
    assert_eq!(queued.await, Delivery::Dropped(DropReason::Closed));
    let maybe_executed = true;
    assert_eq!(call.await, Err(CallError::Interrupted { maybe_executed }));
    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    drop(socket);
}

#[tokio::test]
async fn a_subscription_that_is_dropped_makes_room_although_the_driver_is_too_busy_to_hear_it() {
    let (client, driver) = Client::builder("ws://127.0.0.1:9")
        .unwrap()
        .build()
        .unwrap();
    let mut driver = Box::pin(driver);
    let mut drive = async || {
        // The runtime allows only so much in one poll.
        for _ in 0..TURNS {
            let polled = poll_fn(|context| Poll::Ready(driver.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            yield_now().await;
        }
    };
    let feeds = client.subscribe("room");
    drive().await;
    while client.publish("room", &1).is_ok() {}
    drop(feeds);
    drive().await;

    // A second one for the same channel would end at once.
    let mut feeds = client.subscribe("room");
    drive().await;
    let next = poll_fn(|context| Poll::Ready(feeds.poll_next(context))).await;
    assert_eq!(next, Poll::Pending);
}
