//! Tests of the lines that an operator must see although no connection changes.

use std::time::Duration;

use steadfast::centrifuge::{Builder, Client};
use steadfast::{CredentialsError, RenewalReason, SessionEvent};
use steadfast_protocol::message::ConnectResult;
use tokio::net::TcpListener;
use tracing::subscriber::set_default;

use crate::log_lines::Lines;
use crate::peer::serve_connection_with;

/// Nothing listens there.
const URL: &str = "ws://127.0.0.1:9?token=SECRET";
/// Longer than any test here takes.
const LONG: Duration = Duration::from_mins(2);

/// Runs a client until this event, and returns the lines of that message.
async fn lines_until(
    builder: Builder,
    is_last: impl Fn(&SessionEvent) -> bool,
    message: &str,
) -> Vec<String> {
    let lines = Lines::default();
    let _guard = set_default(lines.clone());
    let (client, driver) = builder.build().unwrap();
    let mut events = client.events();
    let driver = tokio::spawn(driver);
    while !is_last(&events.recv().await.unwrap()) {}
    driver.abort();
    let start = format!("WARN message={message} url=");
    let lines = lines.take().into_iter();
    lines.filter(|it| it.starts_with(&start)).collect()
}

#[tokio::test]
async fn a_long_outage_is_one_line_with_its_duration_and_cause() {
    let builder = Client::builder(URL).unwrap();
    let builder = builder.degraded_after(Duration::from_millis(1));

    // The second attempt fails when the outage was reported already.
    let is_second = |it: &SessionEvent| matches!(it, SessionEvent::Waiting { attempt: 3, .. });
    let lines = lines_until(builder, is_second, "session degraded").await;

    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    for part in [
        "url=ws://127.0.0.1:9/connection/websocket cause=TCP connection to 127.0.0.1:9 failed",
        " downtime=",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn a_failed_session_is_one_line_with_its_cause() {
    let denied = |_| async { Err(CredentialsError::denied("account closed")) };
    let builder = Client::builder(URL).unwrap().credentials(denied);

    let is_failed = |it: &SessionEvent| matches!(it, SessionEvent::Failed { .. });
    let lines = lines_until(builder, is_failed, "session failed").await;

    let expected = "WARN message=session failed url=ws://127.0.0.1:9/connection/websocket \
                    cause=failed to fetch the credentials: account closed";
    assert_eq!(lines, [expected]);
}

#[tokio::test]
async fn credentials_that_are_not_renewed_are_a_line_with_the_cause_and_the_next_fetch() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}?token=SECRET", listener.local_addr().unwrap());
    let expires_soon = ConnectResult {
        expires: true,
        ttl: 1,
        ..ConnectResult::default()
    };
    let builder = Client::builder(&url)
        .unwrap()
        .credentials(|reason| async move {
            if reason == RenewalReason::First {
                return Ok("token".to_owned());
            }
            Err(CredentialsError::temporary("backend down"))
        });
    let server = serve_connection_with(&listener, expires_soon, |_| {});

    let is_failed = |it: &SessionEvent| matches!(it, SessionEvent::RenewalFailed { .. });
    let lines = tokio::select! {
        lines = lines_until(builder, is_failed, "credentials not renewed") => lines,
        _ = server => panic!("the client has left"),
        () = tokio::time::sleep(LONG) => panic!("no renewal"),
    };

    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    let parts = ["cause=backend down", " retry_in=", "/connection/websocket"];
    for part in parts {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("SECRET"), "{line}");
}
