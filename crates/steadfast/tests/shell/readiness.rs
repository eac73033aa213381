//! Tests of the readiness check, which precedes first connections.

use std::time::Duration;

use steadfast::centrifuge::Client;
use steadfast::{DialErrorKind, DialStage, ReadinessCheck, SessionState, StageTimeouts};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::attempt::{Failure, first_attempt};
use crate::peer::{read_header, upgrade, upgrade_response};

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/path", listener.local_addr().unwrap());
    (listener, url)
}

/// Accepts a connection; returns it with the header of its request.
async fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let request = read_header(&mut socket).await.unwrap();
    (socket, request)
}

async fn send(mut socket: TcpStream, response: &[u8]) {
    socket.write_all(response).await.unwrap();
}

/// Returns the failure of an attempt whose check gets this response.
async fn failure_with(response: &'static str) -> (Failure, String) {
    let (listener, url) = bind().await;
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (socket, _) = accept(&listener).await;
        send(socket, response.as_bytes()).await;
    });
    let check = ReadinessCheck::new("/readyz?key=SECRET");
    let builder = Client::builder(&url).unwrap().readiness(check);
    (first_attempt(builder).await.unwrap_err(), address)
}

#[tokio::test]
async fn a_ready_server_is_connected_after_a_check_without_secrets_at_its_address() {
    let (listener, url) = bind().await;
    let host = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (socket, check) = accept(&listener).await;
        send(socket, b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let (mut socket, request) = accept(&listener).await;
        let response = upgrade_response(&request);
        socket.write_all(&response).await.unwrap();
        (check, request, socket)
    });
    let builder = Client::builder(&url).unwrap().token("SECRET");
    let builder = builder.header("Authorization", "SECRET");

    let outcome = first_attempt(builder.readiness(ReadinessCheck::new("/readyz"))).await;

    assert!(outcome.is_ok(), "{outcome:?}");
    let (check, request, _socket) = server.await.unwrap();
    assert_eq!(
        check,
        format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    );
    assert!(request.starts_with("GET /path "), "{request}");
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_reported_and_its_delay_awaited() {
    let (failure, address) =
        failure_with("HTTP/1.1 503 Not Ready\r\nRetry-After: 30\r\n\r\n").await;

    assert_eq!(
        (failure.stage, failure.kind),
        (DialStage::Readiness, DialErrorKind::HttpStatus(503))
    );
    assert_eq!(
        failure.text,
        format!(
            "readiness check of {address} failed: the server is not ready: HTTP status 503 for /readyz"
        )
    );
    assert!(failure.is_retried && failure.retry_in > Duration::from_secs(20));
}

#[tokio::test]
async fn a_check_without_a_valid_response_is_a_failure_of_the_check() {
    for (response, kind) in [
        ("", DialErrorKind::Io),
        ("SSH-2.0\r\n", DialErrorKind::InvalidResponse),
        (
            "HTTP/1.1 307 Moved\r\nLocation: /\r\n\r\n",
            DialErrorKind::HttpStatus(307),
        ),
    ] {
        let (failure, _) = failure_with(response).await;

        assert_eq!((failure.stage, failure.kind), (DialStage::Readiness, kind));
    }
}

#[tokio::test]
async fn a_check_without_a_response_ends_in_time() {
    let (_listener, url) = bind().await;
    let timeouts = StageTimeouts::DEFAULT.readiness(Duration::from_millis(100));
    let builder = Client::builder(&url).unwrap().stage_timeouts(timeouts);

    let failure = first_attempt(builder.readiness(ReadinessCheck::new("/readyz")))
        .await
        .unwrap_err();

    assert_eq!(
        (failure.stage, failure.kind),
        (DialStage::Readiness, DialErrorKind::TimedOut)
    );
}

#[tokio::test]
async fn after_the_grace_the_client_connects_without_the_check() {
    let (listener, url) = bind().await;
    let check = ReadinessCheck::new("/readyz").grace(Duration::from_millis(1));
    let builder = Client::builder(&url).unwrap().readiness(check);
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for _ in 0..3 {
            let (socket, request) = accept(&listener).await;
            requests.push(request);
            send(socket, b"HTTP/1.1 503 Not Ready\r\n\r\n").await;
        }
        requests
    });
    let (_client, driver) = builder.build().unwrap();
    tokio::spawn(driver);

    let requests = server.await.unwrap();

    // The first attempt is checked if it starts within the grace; the second one starts at least 50 ms later.
    let unchecked = |request: &String| request.starts_with("GET /path ");
    assert!(requests.iter().skip(1).all(unchecked), "{requests:?}");
}

#[tokio::test]
async fn a_reconnect_is_not_preceded_by_a_check() {
    let (listener, url) = bind().await;
    let check = ReadinessCheck::new("/readyz");
    let builder = Client::builder(&url).unwrap().readiness(check);
    let (client, driver) = builder.build().unwrap();
    tokio::spawn(driver);
    let (socket, _check) = accept(&listener).await;
    send(socket, b"HTTP/1.1 200 OK\r\n\r\n").await;
    let mut state = client.state();
    let connected = async {
        state
            .wait_for(|it| it.state == SessionState::Connected)
            .await
            .unwrap();
    };

    tokio::select! {
        _ = crate::peer::serve_connection(&listener, |_| {}) => {}
        () = connected => {}
    }
    // The server's task was dropped with the connection.
    let (mut socket, _) = listener.accept().await.unwrap();

    upgrade(&mut socket).await.expect("an upgrade and no check");
}
