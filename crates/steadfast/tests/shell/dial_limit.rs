//! Tests of the dial limit with many sessions in one process.

use std::future::poll_fn;
use std::task::Poll;

use steadfast::DialLimit;
use steadfast::centrifuge::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::peer::upgrade;

const CLIENTS: usize = 100;
const LIMIT: usize = 8;
/// Number of yields to the runtime during which all clients make as much progress as possible.
const YIELDS: usize = 200;

/// Accepts the connections that are already established.
async fn accept_all(listener: &TcpListener, pending: &mut Vec<TcpStream>) {
    for _ in 0..YIELDS {
        yield_now().await;
        poll_fn(|context| {
            while let Poll::Ready(accepted) = listener.poll_accept(context) {
                pending.push(accepted.unwrap().0);
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Starts all clients concurrently, with a server that accepts no upgrade before [`LIMIT`] upgrades, or all remaining
/// ones, are pending. Returns the highest number of pending upgrades.
async fn most_at_a_time(limit: DialLimit) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let builder = Client::builder(&url).unwrap().dial_limit(limit.clone());
        let (client, driver) = builder.build().unwrap();
        tokio::spawn(driver);
        clients.push(client);
    }
    let (mut most, mut served) = (0, Vec::new());
    while served.len() < CLIENTS {
        let mut pending = Vec::new();
        while pending.len() < LIMIT.min(CLIENTS - served.len()) {
            pending.push(listener.accept().await.unwrap().0);
        }
        accept_all(&listener, &mut pending).await;
        most = most.max(pending.len());
        for socket in &mut pending {
            upgrade(socket).await.expect("a pending client");
        }
        served.append(&mut pending);
    }
    most
}

#[tokio::test]
async fn the_dial_limit_bounds_the_concurrent_attempts_of_a_process() {
    let without = most_at_a_time(DialLimit::new(CLIENTS)).await;
    let with = most_at_a_time(DialLimit::new(LIMIT)).await;

    assert_eq!((without, with), (CLIENTS, LIMIT));
}
