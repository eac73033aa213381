//! Tests of connections through an HTTP proxy, and of proxies that do not open a tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use steadfast::centrifuge::{Builder, Client};
use steadfast::{DialErrorKind, DialStage, StageTimeouts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::attempt::{Failure, first_attempt};
use crate::peer::{read_header, serve_connection};

const OPEN: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// The name of no host: only the proxy knows where it leads.
const TARGET: &str = "gateway.invalid:8000";

/// Starts a proxy that opens one tunnel to this address, whatever the target. Returns its address, and the header of the
/// request.
async fn tunnel_to(server: SocketAddr) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let request = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let request = read_header(&mut client).await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        client.write_all(OPEN).await.unwrap();
        // Until one side disconnects.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        request
    });
    (address, request)
}

/// Starts a proxy that sends this response to each client, and then nothing; it closes the connection if the response is
/// empty.
async fn proxy_with(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            read_header(&mut client).await.unwrap();
            if !response.is_empty() {
                client.write_all(response).await.unwrap();
                let _ = client.read(&mut [0]).await;
            }
        }
    });
    address
}

fn through(proxy: &str) -> Builder {
    let builder = Client::builder(&format!("ws://{TARGET}")).unwrap();
    builder.proxy(proxy).unwrap()
}

async fn failure_at(proxy: &str) -> Failure {
    let failure = first_attempt(through(proxy)).await.unwrap_err();
    assert_eq!(failure.stage, DialStage::Proxy, "{failure:?}");
    assert!(failure.is_retried, "{failure:?}");
    failure
}

#[tokio::test]
async fn a_session_runs_through_the_tunnel_that_the_proxy_opens_with_the_credentials() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy, request) = tunnel_to(server.local_addr().unwrap()).await;
    let builder = through(&format!("http://me:secret@{proxy}"));
    let (client, driver) = builder.header("X-Key", "of-the-server").build().unwrap();
    tokio::spawn(driver);
    let serve = tokio::spawn(async move { serve_connection(&server, |_| {}).await });

    let reply = client.rpc("method", &1).await;
    client.close(Duration::ZERO).await.unwrap();

    assert!(reply.is_ok(), "{reply:?}");
    assert_eq!(serve.await.unwrap(), Some(1000));
    assert_eq!(
        request.await.unwrap(),
        format!(
            "CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        )
    );
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_is_between_client_and_server_and_not_with_the_proxy() {
    let (server, authority) = crate::tls::serve_trusted("127.0.0.1").await;
    let (proxy, _request) = tunnel_to(server).await;
    let builder = Client::builder("wss://127.0.0.1:1").unwrap();
    let builder = builder.proxy(&format!("http://{proxy}")).unwrap();

    let outcome = first_attempt(builder.add_root_certificate(authority.as_bytes())).await;

    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn a_proxy_that_rejects_the_tunnel_is_reported_with_its_status() {
    for (user_info, response, status, expected) in [
        (
            "",
            "407 Proxy Authentication Required",
            407,
            "the proxy requires user name and password (HTTP status 407)",
        ),
        (
            "me:SECRET@",
            "407 Proxy Authentication Required",
            407,
            "the proxy rejected user name and password (HTTP status 407)",
        ),
        (
            "",
            "403 Forbidden",
            403,
            "the proxy did not connect to gateway.invalid:8000: HTTP status 403",
        ),
        (
            "",
            "502 Bad Gateway",
            502,
            "the proxy did not connect to gateway.invalid:8000: HTTP status 502",
        ),
    ] {
        let response: &str = format!("HTTP/1.1 {response}\r\n\r\n").leak();
        let proxy = proxy_with(response.as_bytes()).await;

        let failure = failure_at(&format!("http://{user_info}{proxy}")).await;

        assert_eq!(failure.kind, DialErrorKind::HttpStatus(status));
        let expected = format!("tunnel through proxy {proxy} failed: {expected}");
        assert_eq!(failure.text, expected);
    }
}

#[tokio::test]
async fn the_delay_that_a_proxy_requests_is_awaited() {
    let proxy = proxy_with(b"HTTP/1.1 503 Busy\r\nRetry-After: 30\r\n\r\n").await;

    let failure = failure_at(&format!("http://{proxy}")).await;

    assert!(failure.retry_in > Duration::from_secs(20), "{failure:?}");
}

#[tokio::test]
async fn a_proxy_that_is_none_is_reported_with_what_it_sent() {
    for (response, kind, expected) in [
        (
            &b"SSH-2.0-OpenSSH\r\n"[..],
            DialErrorKind::InvalidResponse,
            "invalid HTTP response",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x46",
            DialErrorKind::Tls,
            "the proxy speaks TLS on this port, which is not supported",
        ),
        (
            b"",
            DialErrorKind::Io,
            "the connection was closed before the response was complete",
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\n<html>",
            DialErrorKind::InvalidResponse,
            "unexpected data after the header",
        ),
        (
            vec![b'x'; 70_000].leak(),
            DialErrorKind::InvalidResponse,
            "invalid HTTP response",
        ),
        (
            format!("HTTP/1.1 200 {}", "x".repeat(70_000))
                .leak()
                .as_bytes(),
            DialErrorKind::InvalidResponse,
            "header longer than 65536 bytes",
        ),
    ] {
        let proxy = proxy_with(response).await;

        let failure = failure_at(&format!("http://{proxy}")).await;

        assert_eq!(failure.kind, kind);
        assert!(failure.text.contains(expected), "{failure:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_complete_its_response_ends_the_attempt_in_time() {
    let proxy = proxy_with(b"HTTP/1.1 200").await;
    let timeouts = StageTimeouts::DEFAULT.proxy(Duration::from_millis(100));

    let failure = first_attempt(through(&format!("http://{proxy}")).stage_timeouts(timeouts))
        .await
        .unwrap_err();

    assert_eq!(
        (failure.stage, failure.kind),
        (DialStage::Proxy, DialErrorKind::TimedOut)
    );
    assert!(
        failure.text.ends_with("timed out after 0.1 s"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_named_as_the_peer_that_failed() {
    let gone = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let proxy = gone.local_addr().unwrap();
    drop(gone);

    let failure = first_attempt(through(&format!("http://{proxy}")))
        .await
        .unwrap_err();

    assert_eq!(
        (failure.stage, failure.kind),
        (DialStage::Connect, DialErrorKind::Refused)
    );
    assert!(
        failure
            .text
            .starts_with(&format!("TCP connection to {proxy} failed")),
        "{failure:?}"
    );
}
