//! The example `dialect`, with its own server.

#[expect(dead_code, reason = "the test runs what `main` runs")]
#[path = "../../examples/dialect.rs"]
mod dialect;

use std::time::Duration;

use tokio::time::timeout;

/// Far longer than it takes.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_example_calls_subscribes_and_continues_after_a_loss() {
    let mut lines = Vec::new();

    let run = dialect::run(|line| lines.push(line));
    timeout(LONG, run).await.expect("its end").unwrap();

    let starts = [
        "1 + 2 = 3",
        "halve: Err(Rejected(\"unknown method\"))",
        "Subscribed { ",
        "Item(String(\"item of connection 1\"))",
        "Gap { ",
        "Item(String(\"item of connection 2\"))",
        "reconnects: 1",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(
            line.starts_with(start),
            "{line} does not begin with {start}"
        );
    }
}
