//! A client of the library while its gateway is shut down by SIGTERM and started again: it learns why the connection ends,
//! reconnects, and nothing is lost or stored twice.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use steadfast::centrifuge::{Client, Item, Subscription, SubscriptionEvent};
use steadfast::{DisconnectCause, SessionEvent, SessionState, defaults};

use crate::process::Process;

/// Publications before, during and after the shutdown, each.
const PUBLICATIONS: u64 = 100;
/// Far longer than the test takes.
const LONG: Duration = Duration::from_mins(2);

/// Starts a gateway that keeps its data in this directory; the port 0 is one that is free.
fn start(directory: &Path, port: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .env_clear()
        .args(["serve", "--json", "--port", &port.to_string()])
        .current_dir(directory)
        .stderr(Stdio::null());
    Process::start(&mut command, String::new)
}

/// Publishes this many numbers from `first` on, and returns their receipts.
async fn publish(client: &Client, first: u64) -> Vec<steadfast::centrifuge::MessageReceipt> {
    let mut receipts = Vec::new();
    for number in first..first + PUBLICATIONS {
        receipts.push(client.message("news", &number).send().await.unwrap());
    }
    receipts
}

/// The offsets of the next publications, in the order in which they are delivered.
async fn offsets(subscription: &mut Subscription, count: u64) -> Vec<u64> {
    let mut offsets = Vec::new();
    while offsets.len() < usize::try_from(count).unwrap() {
        match subscription.next().await {
            Some(SubscriptionEvent::Item(Item::Publication(it))) => offsets.push(it.offset),
            Some(SubscriptionEvent::Subscribed { .. } | SubscriptionEvent::Resumed { .. }) => {}
            other @ (None | Some(_)) => panic!("{other:?}"),
        }
    }
    offsets
}

#[tokio::test]
async fn a_client_survives_the_shutdown_and_the_restart_of_its_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = start(directory.path(), 0);
    let address = gateway.address;
    // After an announced end, clients return spread over 5 s by default.
    let backoff = defaults::BACKOFF.going_away_jitter(Duration::from_millis(100));
    let builder = Client::builder(&format!("ws://{address}")).unwrap();
    let client = builder.backoff(backoff).connect().unwrap();
    let mut events = client.events();
    let mut subscription = client.subscribe("news");
    client.ready(LONG).await.unwrap();

    let mut receipts = publish(&client, 0).await;
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
    receipts.extend(publish(&client, PUBLICATIONS).await);
    let cause = loop {
        if let SessionEvent::Lost { cause, .. } = events.recv().await.unwrap() {
            break cause;
        }
    };
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
    let _gateway = start(directory.path(), address.port());
    receipts.extend(publish(&client, 2 * PUBLICATIONS).await);

    assert!(
        matches!(cause, DisconnectCause::Closed { code: 3_001, .. }),
        "{cause:?}"
    );
    let expected: Vec<u64> = (1..=3 * PUBLICATIONS).collect();
    let mut stored = Vec::new();
    for receipt in receipts {
        stored.push(receipt.await.unwrap().position.offset);
    }
    assert_eq!(stored, expected);
    assert_eq!(offsets(&mut subscription, 3 * PUBLICATIONS).await, expected);
    let state = client.state().borrow().clone();
    assert_eq!(
        (state.state, state.reconnects),
        (SessionState::Connected, 1)
    );
    client.close(LONG).await.unwrap();
}
