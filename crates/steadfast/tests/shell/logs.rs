//! Tests of the log that a client writes: one line for each change, without secrets.

use std::time::Duration;

use steadfast::centrifuge::Client;
use steadfast::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use tokio::net::TcpListener;
use tracing::subscriber::set_default;

use crate::log_lines::Lines;
use crate::peer::serve_connection;

#[tokio::test]
async fn each_change_of_the_connection_is_one_line_with_its_cause_and_without_the_query() {
    let lines = Lines::default();
    let _guard = set_default(lines.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("ws://{address}?token=SECRET");
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let driver = tokio::spawn(driver);
    let mut state = client.state();

    // One failed attempt, one lost connection, one connection until the client closes.
    drop(listener.accept().await.unwrap());
    let serve = async {
        let lost = serve_connection(&listener, |_| {});
        tokio::select! {
            _ = lost => {}
            _ = state.wait_for(|it| it.state == SessionState::Connected) => {}
        }
        state
            .wait_for(|it| it.state == SessionState::Reconnecting)
            .await
            .unwrap();
        serve_connection(&listener, |_| {}).await
    };
    let close = async {
        let mut state = client.state();
        state.wait_for(|it| it.reconnects == 1).await.unwrap();
        client.close(Duration::ZERO).await.unwrap();
    };
    tokio::join!(serve, close);
    driver.await.unwrap();

    let lines = lines.take();
    let starts: Vec<&str> = lines
        .iter()
        .map(|line| {
            let (start, rest) = line.split_once(" url=").unwrap();
            assert!(
                rest.starts_with(&format!("ws://{address}/connection/websocket")),
                "{line}"
            );
            start
        })
        .collect();
    let expected = [
        "WARN message=connection attempt failed",
        "INFO message=session connected",
        "INFO message=session ready",
        "WARN message=connection lost",
        "INFO message=session connected",
        "INFO message=session ready",
        "INFO message=session closed",
    ];
    assert_eq!(starts, expected, "{lines:#?}");
    assert!(
        lines[0].contains("attempt=1 cause=WebSocket upgrade"),
        "{lines:#?}"
    );
    assert!(lines[0].contains("retry_in="), "{lines:#?}");
    assert!(lines[3].contains("epoch=1 cause="), "{lines:#?}");
    assert!(lines[4].contains("epoch=2 downtime="), "{lines:#?}");
}

#[tokio::test]
async fn a_migration_is_one_line_and_its_outcome_another() {
    let lines = Lines::default();
    let _guard = set_default(lines.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("ws://{address}?token=SECRET");
    let client = Client::builder(&url).unwrap().connect().unwrap();
    let mut events = client.events();
    let mut state = client.state();

    // One connection is not opened, and the next one replaces the first.
    let others = async {
        client.ready(Duration::from_secs(20)).await.unwrap();
        client.migrate().unwrap();
        drop(listener.accept().await.unwrap());
        while !matches!(
            events.recv().await.unwrap(),
            SessionEvent::MigrationFailed { .. }
        ) {}
        client.migrate().unwrap();
        serve_connection(&listener, |_| {}).await
    };
    let close = async {
        let is_moved = |it: &SessionSnapshot| it.epoch.0 == 2 && it.phase == SessionPhase::Ready;
        state.wait_for(is_moved).await.unwrap();
        client.close(Duration::ZERO).await.unwrap();
    };
    tokio::join!(serve_connection(&listener, |_| {}), others, close);

    let lines = lines.take();
    let starts = lines.iter().map(|line| line.split_once(" url=").unwrap().0);
    let starts: Vec<&str> = starts.collect();
    let expected = [
        "INFO message=session connected",
        "INFO message=session ready",
        "INFO message=session migrates to another connection",
        "WARN message=session keeps its connection",
        "INFO message=session migrates to another connection",
        "INFO message=session connected",
        "INFO message=session ready",
        "INFO message=session closed",
    ];
    assert_eq!(starts, expected, "{lines:#?}");
    assert!(lines[2].contains("reason=requested"), "{lines:#?}");
    assert!(lines[3].contains("cause=WebSocket upgrade"), "{lines:#?}");
    assert!(lines[5].contains("downtime=0 ms"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("SECRET")));
}
