//! The example `feed`, with its own server.

#[path = "../../examples/feed/demo.rs"]
mod demo;
#[path = "../../examples/feed/follow.rs"]
mod follow;

use std::sync::Mutex;

use crate::server::within;

#[tokio::test]
async fn the_example_prints_the_trades_and_which_are_missing() {
    let url = demo::start().await.unwrap();
    let lines = Mutex::new(Vec::new());

    let print = |line: &str| lines.lock().unwrap().push(line.to_owned());
    within(follow::follow(&url, 4, print)).await.unwrap();

    let expected = [
        "connected",
        "trade 1 at 101",
        "trade 2 at 102",
        "trade 3 at 103",
        "disconnected: closed by the server with code 1000",
        "connected",
        "2 trades are missing",
        "trade 6 at 106",
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}
