//! Tests that no secret of a client is shown by debug output or errors.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steadfast::centrifuge::Client;
use steadfast::{ReadinessCheck, SessionPhase};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use crate::peer::serve_connection;

#[test]
fn debug_output_and_errors_show_no_token_header_value_query_or_proxy_password() {
    let url = "wss://example.test/path?key=SECRET-query";
    let builder = Client::builder(url)
        .unwrap()
        .token("SECRET-token")
        .header("Authorization", "SECRET-header")
        .proxy("http://me:SECRET-proxy@proxy.example.test:3128")
        .unwrap()
        .readiness(ReadinessCheck::new("/readyz?key=SECRET-check"));
    let shown = format!("{builder:?}");
    let (client, driver) = builder.build().unwrap();

    let shown = format!("{shown}\n{client:?}\n{driver:?}");

    assert!(!shown.contains("SECRET"), "{shown}");
    let encoded = STANDARD.encode("me:SECRET-proxy");
    assert!(!shown.contains(&encoded), "{shown}");
    assert!(shown.contains("Authorization") && shown.contains("wss://example.test/path"));
    let url_error = Client::builder("ws:///?key=SECRET").unwrap_err();
    let proxied = Client::builder(url).unwrap().proxy("http://me:SECRET/@a:b");
    for error in [url_error, proxied.unwrap_err()] {
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

/// Fails if the text has a secret, as text or as a list of bytes.
fn assert_hidden(shown: &str) {
    let bytes = format!("{:?}", b"SECRET");
    let bytes = bytes.trim_matches(['[', ']']);

    assert!(
        !shown.contains("SECRET") && !shown.contains(bytes),
        "{shown}"
    );
}

#[tokio::test]
async fn debug_output_of_a_driver_shows_no_token_before_during_and_after_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}?key=SECRET-query", listener.local_addr().unwrap());
    let builder = Client::builder(&url).unwrap().token("SECRET-token");
    let (client, driver) = builder.build().unwrap();
    let mut tokens = 0;
    let server = serve_connection(&listener, |request| {
        // A request that was received, as an application may log it.
        let shown = format!("{request:?}");
        assert_hidden(&shown);
        tokens += shown.matches("token: ***").count();
    });
    let drive = async {
        let mut driver = Box::pin(driver);
        let mut is_replaced = false;
        loop {
            let polled = poll_fn(|context| Poll::Ready(driver.as_mut().poll(context))).await;
            assert_hidden(&format!("{driver:?}"));
            assert_hidden(&format!("{client:?}"));
            if polled.is_ready() {
                return;
            }
            let is_ready = client.state().borrow().phase == SessionPhase::Ready;
            if is_ready && !is_replaced {
                is_replaced = true;
                client.set_credentials("SECRET-other").unwrap();
                tokio::spawn({
                    let client = client.clone();
                    async move { client.close(Duration::from_secs(10)).await }
                });
            }
            yield_now().await;
        }
    };

    tokio::join!(server, drive);

    assert_eq!(tokens, 2, "the connect command and the refresh");
}
