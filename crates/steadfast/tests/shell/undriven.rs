//! Tests of a client whose driver is not polled, panics, or has a session that failed.

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
        matches!(snapshot.cause, Some(DisconnectCause::ConnectionFailed(_))),
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
