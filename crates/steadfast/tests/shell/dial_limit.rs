//! Many sessions in one process: how many of them dial at a time.

use std::future::poll_fn;
use std::task::Poll;

use steadfast::{Client, DialLimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use crate::peer::upgrade;

const CLIENTS: usize = 100;
const LIMIT: usize = 8;
/// Turns of the runtime in which everybody gets as far as he can.
const TURNS: usize = 200;

/// Connections that are there already.
async fn accept_all(listener: &TcpListener, waiting: &mut Vec<TcpStream>) {
    for _ in 0..TURNS {
        yield_now().await;
        poll_fn(|context| {
            while let Poll::Ready(accepted) = listener.poll_accept(context) {
                waiting.push(accepted.unwrap().0);
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Starts all clients at once, at a server that answers no upgrade before as many wait as the limit says. How many
/// waited at the most?
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
        let mut waiting = Vec::new();
        while waiting.len() < LIMIT.min(CLIENTS - served.len()) {
            waiting.push(listener.accept().await.unwrap().0);
        }
        accept_all(&listener, &mut waiting).await;
        most = most.max(waiting.len());
        for socket in &mut waiting {
            upgrade(socket).await.expect("it waits");
        }
        served.append(&mut waiting);
    }
    most
}

#[tokio::test]
async fn many_sessions_in_one_process_do_not_dial_at_once() {
    let without = most_at_a_time(DialLimit::new(CLIENTS)).await;
    let with = most_at_a_time(DialLimit::new(LIMIT)).await;

    assert_eq!((without, with), (CLIENTS, LIMIT));
}
