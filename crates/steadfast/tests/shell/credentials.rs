//! Tests of a function of the application that fetches credentials.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use steadfast::centrifuge::{Builder, Client};
use steadfast::{CredentialsError, DisconnectCause, SessionEvent, SessionState};
use steadfast_protocol::message::Request;
use tokio::net::TcpListener;

use crate::peer::serve_connection;

const LONG: Duration = Duration::from_secs(20);

async fn listener() -> (TcpListener, Builder) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, Client::builder(&url).unwrap())
}

/// The cause of the first failed attempt of a client without a server.
async fn first_cause(builder: Builder) -> DisconnectCause {
    let (client, driver) = builder
        .connect_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let mut events = client.events();
    tokio::spawn(driver);
    loop {
        let event = events.recv().await.unwrap();
        if let SessionEvent::Waiting { cause, .. } | SessionEvent::Failed { cause } = event {
            return cause;
        }
    }
}

#[tokio::test]
async fn the_function_is_called_before_the_first_connection_and_not_again() {
    let (listener, builder) = listener().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let builder = builder.credentials(move |_reason| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("token-{call}")) }
    });
    let (client, driver) = builder.build().unwrap();
    tokio::spawn(driver);
    let server = tokio::spawn(async move {
        let mut tokens = Vec::new();
        serve_connection(&listener, |request| {
            if let Request::Connect(connect) = request {
                tokens.push(connect.token.clone());
            } else if let Request::Refresh(refresh) = request {
                tokens.push(refresh.token.clone());
            }
        })
        .await;
        tokens
    });

    client.ready(LONG).await.unwrap();
    client.set_credentials("by hand").unwrap();
    client.publish("news", &1).unwrap().await.unwrap();
    client.close(LONG).await.unwrap();

    assert_eq!(server.await.unwrap(), ["token-0", "by hand"]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_function_that_hangs_panics_fails_or_returns_nothing_ends_the_attempt_with_a_cause() {
    let fetched = |builder: Builder, text: &'static str| async move {
        let cause = first_cause(builder).await.to_string();
        assert!(cause.contains(text), "{cause}");
    };
    let (_listener, builder) = listener().await;
    fetched(builder.clone().credentials(|_| pending()), "timed out").await;
    fetched(
        builder.clone().credentials(|_| async { panic!("planted") }),
        "panicked",
    )
    .await;
    let empty = builder.clone().credentials(|_| async { Ok(String::new()) });
    fetched(empty, "empty").await;
    let down = || async { Err(CredentialsError::temporary("backend down")) };
    fetched(builder.credentials(move |_| down()), "backend down").await;
}

#[tokio::test]
async fn a_denial_fails_the_session() {
    let (_listener, builder) = listener().await;
    let denied = |_| async { Err(CredentialsError::denied("account closed")) };
    let (client, driver) = builder.credentials(denied).build().unwrap();
    tokio::spawn(driver);

    let error = client.ready(LONG).await.unwrap_err().to_string();

    assert!(error.contains("account closed"), "{error}");
    assert_eq!(client.state().borrow().state, SessionState::Failed);
}
