//! Tests of responses to the upgrade that lead elsewhere, or nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadfast::centrifuge::Client;
use steadfast::defaults::BACKOFF;
use steadfast::{DialErrorKind, DialStage};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::attempt::{Failure, first_attempt};
use crate::peer::{read_header, serve_connection};

/// Returns the failure of an upgrade that gets this response.
async fn failure_with(response: &str) -> Failure {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let response = format!("HTTP/1.1 {response}\r\n\r\n");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_header(&mut socket).await.unwrap();
        socket.write_all(response.as_bytes()).await.unwrap();
    });
    let failure = first_attempt(Client::builder(&url).unwrap()).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.stage, DialStage::Upgrade);
    failure
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_reported_with_the_url_to_use() {
    for status in [301, 302, 303, 307, 308] {
        let response = format!("{status} Moved\r\nLocation: https://b.example/ws?token=SECRET");

        let failure = failure_with(&response).await;

        assert_eq!(failure.kind, DialErrorKind::HttpStatus(status));
        assert!(
            failure.text.contains(&format!(
                "the server redirects to https://b.example/ws (HTTP status {status}), which is not followed"
            )),
            "{failure:?}"
        );
        assert!(
            !failure.text.contains("SECRET") && failure.is_retried,
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn statuses_are_reported_as_they_are_and_retried_with_the_usual_backoff() {
    for status in [401, 403, 404, 426, 503] {
        let failure = failure_with(&format!("{status} No")).await;

        assert_eq!(failure.kind, DialErrorKind::HttpStatus(status));
        assert!(failure.text.contains(&status.to_string()), "{failure:?}");
        let longest = BACKOFF.floor + Duration::from_secs(1);
        assert!(
            failure.is_retried && failure.retry_in <= longest,
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_is_refused_at_the_upgrade_connects_as_soon_as_it_is_admitted() {
    for status in [401, 403] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let fetches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&fetches);
        let builder = Client::builder(&url).unwrap().credentials(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok("token".to_owned()) }
        });
        let (client, driver) = builder.build().unwrap();
        tokio::spawn(driver);
        let server = tokio::spawn(async move {
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().await.unwrap();
                read_header(&mut socket).await.unwrap();
                let response = format!("HTTP/1.1 {status} No\r\n\r\n");
                socket.write_all(response.as_bytes()).await.unwrap();
            }
            serve_connection(&listener, |_| {}).await
        });

        client.ready(Duration::from_secs(30)).await.unwrap();
        client.close(Duration::ZERO).await.unwrap();

        assert_eq!(server.await.unwrap(), Some(1_000));
        // The refused request had no token, so another one would not help.
        assert_eq!(fetches.load(Ordering::Relaxed), 1, "{status}");
    }
}
