//! Tests of an application that publishes faster than the server acknowledges.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use steadfast::centrifuge::{Client, MessageReceipt, SendError, SendResult};
use steadfast::error::RequestError;
use steadfast::{OutboxSettings, Overflow, defaults};
use tokio::net::TcpListener;

use crate::peer::serve_connection;

const MESSAGES: usize = 100_000;

const fn outbox(messages_max: usize) -> OutboxSettings {
    defaults::OUTBOX.messages_max(messages_max)
}

#[tokio::test]
async fn a_loop_that_waits_for_space_publishes_everything_with_a_bounded_queue() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { serve_connection(&listener, |_| {}).await });
    let builder = Client::builder(&url).unwrap().outbox(outbox(256));
    let (client, driver) = builder.build().unwrap();
    tokio::spawn(driver);
    let state = client.state();

    let (receipts, mut outcomes) = tokio::sync::mpsc::channel::<MessageReceipt>(MESSAGES);
    let count = tokio::spawn(async move {
        let mut acknowledged = 0;
        while let Some(receipt) = outcomes.recv().await {
            acknowledged += usize::from(receipt.await.is_ok());
        }
        acknowledged
    });
    let mut longest = 0;
    for number in 0..MESSAGES {
        let receipt = client.message("news", &number).send().await.unwrap();
        receipts.try_send(receipt).unwrap();
        let state = state.borrow();
        longest = longest.max(state.queued + state.in_flight);
    }
    drop(receipts);

    assert_eq!(count.await.unwrap(), MESSAGES);
    assert!(longest <= 256, "{longest} publications in the outbox");
    client.close(Duration::ZERO).await.unwrap();
    assert_eq!(server.await.unwrap(), Some(1_000));
}

/// Returns the outcomes of the first two publications when a third one is sent to an outbox for two, and the third one.
async fn overflow(
    overflow: Overflow,
) -> ([SendResult; 2], Option<Result<SendResult, RequestError>>) {
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();
    let builder = builder.outbox(outbox(2)).overflow(overflow);
    let (client, driver) = builder.build().unwrap();
    let driver = tokio::spawn(driver);
    let first = client.message("news", &1).send().await.unwrap();
    let second = client.message("news", &2).send().await.unwrap();
    let mut state = client.state();
    state.wait_for(|it| it.queued == 2).await.unwrap();

    let mut sending = pin!(client.message("news", &3).send());
    let third = match poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
        Poll::Ready(third) => Some(third),
        Poll::Pending => None,
    };
    tokio::task::yield_now().await;
    driver.abort();
    let third = match third {
        Some(Ok(receipt)) => Some(Ok(receipt.await)),
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    ([first.await, second.await], third)
}

#[tokio::test]
async fn the_policy_decides_what_a_full_outbox_means_for_a_publication() {
    let full = Err(SendError::OutboxFull);
    let closed = Err(SendError::Closed);
    let kept = [closed.clone(), closed.clone()];

    let (earlier, third) = overflow(Overflow::Wait).await;
    assert_eq!((earlier, third.is_none()), (kept.clone(), true));
    let (earlier, third) = overflow(Overflow::Reject).await;
    assert_eq!(earlier, kept);
    assert!(
        matches!(third, Some(Err(RequestError::OutboxFull))),
        "{third:?}"
    );
    let (earlier, third) = overflow(Overflow::DropOldest).await;
    assert_eq!(earlier, [full, closed.clone()]);
    assert!(matches!(third, Some(Ok(it)) if it == closed));
}

#[tokio::test]
async fn a_wait_for_space_ends_when_the_client_is_closed() {
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();
    let (client, driver) = builder.outbox(outbox(1)).build().unwrap();
    let driver = tokio::spawn(driver);
    let _receipt = client.message("news", &1).send().await.unwrap();

    let (waiting, _) = tokio::join!(client.message("news", &2).send(), async {
        driver.abort();
        driver.await
    });

    assert!(matches!(waiting, Err(RequestError::Closed)), "{waiting:?}");
}

/// Publishes when it is woken, and keeps whether the outbox had space.
struct PublishWhenWoken {
    client: Client,
    had_space: Mutex<Option<bool>>,
}

impl Wake for PublishWhenWoken {
    fn wake(self: Arc<Self>) {
        let published = self.client.publish("news", &2);
        *self.had_space.lock().unwrap() = Some(published.is_ok());
    }
}

#[tokio::test]
async fn a_caller_that_learns_of_an_outcome_finds_the_space_of_its_publication_free() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { serve_connection(&listener, |_| {}).await });
    let builder = Client::builder(&url).unwrap().outbox(outbox(1));
    let (client, driver) = builder.build().unwrap();
    let mut receipt = pin!(client.publish("news", &1).unwrap());
    let woken = Arc::new(PublishWhenWoken {
        client: client.clone(),
        had_space: Mutex::new(None),
    });
    let waker = Waker::from(Arc::clone(&woken));
    let polled = receipt.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());

    tokio::spawn(driver);
    client.ready(Duration::MAX).await.unwrap();
    client.close(Duration::from_mins(1)).await.unwrap();

    assert_eq!(*woken.had_space.lock().unwrap(), Some(true));
    assert_eq!(server.await.unwrap(), Some(1_000));
}
