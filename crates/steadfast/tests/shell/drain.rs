//! Tests of a client that is closed or dropped while its server is unavailable.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast::centrifuge::Client;
use steadfast::{SessionEvent, SessionState};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::peer::serve_connection;

/// Far longer than any test here takes.
const LONG: Duration = Duration::from_mins(10);

/// Closes the first connection immediately, then accepts a second one and acknowledges publications. Returns the
/// client's close code.
async fn serve(listener: TcpListener) -> Option<u16> {
    drop(listener.accept().await.unwrap());
    serve_connection(&listener, |_| {}).await
}

/// Returns a client without a connection, its driver, and the server to which it will reconnect.
async fn without_connection() -> (Client, JoinHandle<()>, JoinHandle<Option<u16>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let mut events = client.events();
    let driver = tokio::spawn(driver);
    let server = tokio::spawn(serve(listener));
    while !matches!(events.recv().await.unwrap(), SessionEvent::Waiting { .. }) {}
    (client, driver, server)
}

#[tokio::test]
async fn a_closed_client_reconnects_to_send_queued_publications() {
    let (client, _driver, server) = without_connection().await;
    let receipt = client.publish("news", &BTreeMap::from([("n", 1)])).unwrap();

    client.close(LONG).await.unwrap();

    assert!(receipt.await.is_ok());
    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    assert_eq!(server.await.unwrap(), Some(1_000));
}

#[tokio::test]
async fn queued_publications_are_sent_after_the_last_handle_is_dropped() {
    let (client, driver, server) = without_connection().await;
    let receipt = client.publish("news", &1).unwrap();

    drop(client);

    assert!(receipt.await.is_ok());
    assert_eq!(server.await.unwrap(), Some(1_000));
    driver.await.unwrap();
}
