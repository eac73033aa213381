//! An HTTP service with axum that publishes for each request. All handlers share one client.
//!
//! - `POST /orders` publishes its JSON body to the channel `orders`, and responds with 201 once it is stored. With the
//!   header field `Idempotency-Key`, a caller can repeat its request safely.
//! - While the outbox is full or the gateway is not available, it responds with 503 and `Retry-After`.
//! - `GET /ready` responds with 503 and the cause while the client is not connected.
//! - On SIGTERM or Ctrl-C the service completes its requests, sends what is queued for up to 10 s, and exits.
//!
//! Start a gateway with `steadfast serve`. Then run these commands, each in a terminal of its own:
//!
//! ```sh
//! cargo run -p steadfast --example axum_service -- ws://127.0.0.1:8000 127.0.0.1:8080
//! curl -i http://127.0.0.1:8080/orders -H 'Idempotency-Key: order-17' -d '{"item": 7}'
//! ```

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use steadfast::SessionState;
use steadfast::centrifuge::{Client, SendError};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A publication that could not be sent within this time is not sent at all: its caller no longer waits.
const TTL: Duration = Duration::from_secs(5);
/// The longest wait for an outcome. It exceeds [`TTL`], so that a publication that was never sent has its outcome.
const OUTCOME_LIMIT: Duration = Duration::from_secs(6);
/// The longest time for sending what is queued when the service ends.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(gateway), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: axum_service GATEWAY_URL LISTEN_ADDRESS".into());
    };
    // The client connects in the background: the service also starts while the gateway is not available.
    let client = Client::builder(&gateway)?.connect()?;
    let service = Router::new()
        .route("/orders", post(publish))
        .route("/ready", get(ready))
        .with_state(client.clone());
    let listener = TcpListener::bind(&address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown())
        .await?;
    // Publications of callers that no longer wait are still in the outbox.
    client.close(DRAIN).await?;
    Ok(())
}

async fn publish(State(client): State<Client>, fields: HeaderMap, body: Bytes) -> Response {
    let Ok(order) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the body must be JSON\n").into_response();
    };
    let key = fields.get("Idempotency-Key").map(HeaderValue::to_str);
    let Ok(key) = key.transpose() else {
        return (StatusCode::BAD_REQUEST, "the key must be ASCII\n").into_response();
    };
    let mut message = client.message("orders", &order).ttl(TTL);
    if let Some(key) = key {
        message = message.key(key);
    }
    // `send` would wait for space in the outbox, and requests would pile up here instead of at the caller.
    let receipt = match message.send_now() {
        Ok(receipt) => receipt,
        Err(error) if error.is_retryable() => return unavailable(error),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match timeout(OUTCOME_LIMIT, receipt).await {
        Ok(Ok(stored)) => {
            let text = format!("stored at offset {}\n", stored.position.offset);
            (StatusCode::CREATED, text).into_response()
        }
        Ok(Err(error)) => not_stored(error),
        Err(_elapsed) => unknown(),
    }
}

/// The response to an error, which says whether the caller may repeat its request.
fn not_stored(error: SendError) -> Response {
    match error {
        SendError::Expired | SendError::OutboxFull | SendError::Closed | SendError::Failed(_) => {
            unavailable(error)
        }
        SendError::Unsendable(_) | SendError::Rejected(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response()
        }
        SendError::Interrupted | _ => unknown(),
    }
}

fn unavailable(error: impl Display) -> Response {
    let fields = [(header::RETRY_AFTER, "1")];
    (
        StatusCode::SERVICE_UNAVAILABLE,
        fields,
        format!("{error}\n"),
    )
        .into_response()
}

fn unknown() -> Response {
    let text = "the order may be stored: repeat the request with the same Idempotency-Key\n";
    (StatusCode::GATEWAY_TIMEOUT, text).into_response()
}

async fn ready(State(client): State<Client>) -> Response {
    let state = client.state();
    let snapshot = state.borrow();
    match (snapshot.state, &snapshot.cause) {
        (SessionState::Connected, _) => "connected\n".into_response(),
        (_, Some(cause)) => unavailable(cause),
        (_, None) => unavailable("not connected yet"),
    }
}

/// Waits for the signal that ends the service.
async fn shutdown() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = interrupted => {}
        () = terminated => {}
    }
}
