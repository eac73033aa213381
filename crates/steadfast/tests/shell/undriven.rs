//! Tests of a client whose driver is not polled, panics, or has a session that failed.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::centrifuge::{CallError, Client, Driver, SendError};
use steadfast::{DisconnectCause, SessionState};
use tokio::net::TcpListener;

const UNREACHABLE: &str = "ws://127.0.0.1:9";

fn client(url: &str) -> (Client, Driver) {
    Client::builder(url).unwrap().build().unwrap()
}

#[tokio::test]
async fn without_a_driver_a_call_ends_at_its_deadline_and_the_close_is_reported_as_failed() {
    let builder = Client::builder(UNREACHABLE).unwrap();
    let builder = builder.call_timeout(Duration::from_millis(10));
    let (client, driver) = builder.build().unwrap();

    let (called, closed) = tokio::join!(client.rpc("m", &1), client.close(Duration::ZERO));

    let maybe_executed = false;
    assert_eq!(called, Err(CallError::TimedOut { maybe_executed }));
    let text = closed.unwrap_err().to_string();
    assert!(text.contains("spawn or poll its driver"), "{text}");
    drop(driver);
    assert_eq!(client.close(Duration::ZERO).await, Ok(()));
}

/// Calls share a timer, which must not depend on any of their futures.
#[tokio::test]
async fn without_a_driver_a_call_ends_even_if_an_earlier_one_is_no_longer_polled() {
    let builder = Client::builder(UNREACHABLE).unwrap();
    let (client, mut driver) = builder.build().unwrap();
    let brief = client.with_call_timeout(Duration::from_millis(10));
    let mut earlier = pin!(brief.rpc("earlier", &1));
    let mut longer = pin!(client.rpc("longer", &1));
    poll_fn(|context| {
        assert!(Future::poll(longer.as_mut(), context).is_pending());
        assert!(Future::poll(earlier.as_mut(), context).is_pending());
        // It is polled once, so that it has received both calls.
        assert!(Future::poll(pin!(&mut driver), context).is_pending());
        Poll::Ready(())
    })
    .await;

    // In a task of its own, which nothing else wakes.
    let later = tokio::spawn({
        let brief = brief.clone();
        async move { brief.rpc("later", &1).await }
    });
    let called = later.await.unwrap();

    let maybe_executed = true;
    assert_eq!(called, Err(CallError::TimedOut { maybe_executed }));
    assert_eq!(earlier.await, Err(CallError::TimedOut { maybe_executed }));
    let polled = poll_fn(|context| Poll::Ready(longer.as_mut().poll(context))).await;
    assert!(polled.is_pending());
}

#[tokio::test]
async fn a_close_waits_for_space_in_the_command_queue() {
    let (client, driver) = client(UNREACHABLE);
    // More than the queue has space for; ignored by a session that has not failed.
    (0..10_000).for_each(|_| client.restart());
    let mut close = pin!(client.close(Duration::ZERO));
    let polled = poll_fn(|context| Poll::Ready(close.as_mut().poll(context))).await;
    assert!(polled.is_pending());

    let driver = tokio::spawn(driver);

    assert_eq!(close.await, Ok(()));
    driver.await.unwrap();
}

#[test]
fn a_driver_that_panics_ends_all_waits_and_the_session() {
    // Without timers, the driver panics.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_io()
        .build()
        .unwrap();
    let (client, driver) = client(UNREACHABLE);
    let mut subscription = client.subscribe("news");
    let receipt = client.publish("news", &1).unwrap();

    let driver = runtime.block_on(async { tokio::spawn(driver).await });

    assert!(driver.unwrap_err().is_panic());
    let snapshot = client.state().borrow().clone();
    assert_eq!(snapshot.state, SessionState::Disconnected);
    assert!(
        matches!(
            snapshot.cause,
            Some(DisconnectCause::ConnectionFailed { .. })
        ),
        "{snapshot:?}"
    );
    let (outcome, event) = runtime.block_on(async { (receipt.await, subscription.next().await) });
    assert_eq!(outcome, Err(SendError::Interrupted));
    assert_eq!(event, None);
}

#[tokio::test]
async fn a_session_that_fails_ends_queued_publications_and_calls_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let backoff = steadfast::defaults::BACKOFF.attempts_max(1);
    let builder = Client::builder(&url).unwrap().backoff(backoff);
    let (client, driver) = builder.build().unwrap();
    let receipt = client.publish("news", &1).unwrap();
    tokio::spawn(driver);

    let (outcome, called) = tokio::join!(receipt, client.rpc("m", &1));

    let cause = DisconnectCause::AttemptsExhausted(1);
    assert_eq!(outcome, Err(SendError::Failed(cause.clone())));
    assert_eq!(called, Err(CallError::Failed(cause)));
    client.close(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_dropped_driver_ends_what_is_queued_after_calls_that_were_given_up() {
    let (client, driver) = client(UNREACHABLE);
    for _ in 0..256 {
        let mut call = Box::pin(client.rpc("m", &1));
        poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
    }
    let receipt = client.publish("news", &1).unwrap();
    let mut subscription = client.subscribe("news");

    drop(driver);

    let outcome = receipt.await;
    let next = tokio::time::timeout(Duration::from_secs(3), subscription.next()).await;
    assert_eq!((outcome, next), (Err(SendError::Closed), Ok(None)));
}

#[tokio::test]
async fn a_close_is_not_delayed_by_calls_that_were_given_up_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (client, driver) = client(&url);
    // Connects to a peer that says nothing.
    let driver = tokio::spawn(driver);
    let _socket = listener.accept().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..256 {
        let mut call = Box::pin(client.rpc("m", &1));
        poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
    }
    let began = client.now();

    let closed = client.close(Duration::ZERO).await;

    let took = client.now() - began;
    assert!(
        closed.is_ok() && took < Duration::from_millis(500),
        "{closed:?} {took:?}"
    );
    driver.await.unwrap();
}

#[test]
fn a_driver_that_panics_ends_subscriptions_that_it_has_not_received() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_io()
        .build()
        .unwrap();
    let (client, driver) = client(UNREACHABLE);
    (0..256).for_each(|_| client.restart());
    let mut subscription = client.subscribe("news");
    let driver = runtime.block_on(async { tokio::spawn(driver).await });
    assert!(driver.unwrap_err().is_panic());
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let next = other.block_on(async {
        tokio::time::timeout(Duration::from_secs(3), subscription.next()).await
    });
    assert_eq!(next, Ok(None));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_call_outside_of_a_runtime_does_not_disable_the_time_limit_of_others() {
    let (client, _driver) = client(UNREACHABLE);
    let brief = client.with_call_timeout(Duration::from_millis(10));
    let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut call = Box::pin(brief.rpc("m", &1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        call.as_mut().poll(&mut context).is_pending()
    }));
    assert!(outside.is_err());
    let called = runtime()
        .block_on(async { tokio::time::timeout(Duration::from_secs(5), brief.rpc("m", &1)).await });
    let maybe_executed = false;
    assert_eq!(called, Ok(Err(CallError::TimedOut { maybe_executed })));
}

#[test]
fn a_call_ends_although_the_runtime_of_an_earlier_one_is_not_run() {
    let (client, _driver) = client(UNREACHABLE);
    let brief = client.with_call_timeout(Duration::from_millis(10));
    let first = runtime();
    first.block_on(async {
        let mut call = Box::pin(brief.rpc("m", &1));
        poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await
    });
    // The first runtime exists, and nothing runs it.
    let called = runtime()
        .block_on(async { tokio::time::timeout(Duration::from_secs(5), brief.rpc("m", &1)).await });
    let maybe_executed = false;
    assert_eq!(called, Ok(Err(CallError::TimedOut { maybe_executed })));
    drop(first);
}

#[tokio::test]
async fn the_longest_time_limit_of_a_call_does_not_overflow() {
    let (client, driver) = client(UNREACHABLE);
    let client = client.with_call_timeout(Duration::MAX);
    let called = tokio::spawn(async move { client.rpc("m", &1).await });
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(!called.is_finished());
    drop(driver);
    assert!(called.await.unwrap().is_err());
}
