//! Errors of building a client and of handing a request to its driver.

use std::time::Duration;

use steadfast_core::dialect::Unsendable;
use steadfast_core::event::DisconnectCause;
pub use steadfast_core::policy::{PolicyError, SessionSetting};
pub use steadfast_protocol::websocket::handshake::RequestError as HeaderError;
use thiserror::Error;
use tokio::runtime::TryCurrentError;

pub use crate::connector::ProxyError;
pub use crate::endpoint::EndpointError;

use crate::DialStage;

/// Why a client could not be built.
///
/// ```
/// use steadfast::centrifuge::Client;
///
/// let error = Client::builder("ftp://example.org").unwrap_err();
/// assert_eq!(error.to_string(), "unsupported URL scheme `ftp`: use ws:// or wss://");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An endpoint URL is invalid.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The URL of the proxy is invalid.
    #[error("invalid proxy URL: {0}")]
    Proxy(#[from] ProxyError),
    /// A setting is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The timeout of a stage is zero.
    #[error("invalid timeout of the stage \"{0}\": must be above zero")]
    StageTimeout(DialStage),
    /// The path of the readiness check is invalid.
    #[error("invalid readiness check: {0}")]
    Readiness(HeaderError),
    /// The login with the credentials of the builder cannot be sent.
    #[error("the credentials cannot be used: {0}")]
    Credentials(Unsendable),
    /// The name or value of a header field is invalid.
    #[error("invalid header field: {0}")]
    Header(#[from] HeaderError),
    /// The application data cannot be serialized as JSON.
    #[cfg(feature = "centrifuge")]
    #[error("failed to serialize the data as JSON")]
    Json(#[from] serde_json::Error),
    /// The PEM text of the root certificates contains no certificate, or an invalid one.
    #[error("invalid root certificate: no certificate in PEM format, or an invalid one")]
    Certificate,
    /// The session is to be spawned outside of a tokio runtime.
    #[error("failed to spawn the session")]
    Runtime(#[source] TryCurrentError),
    /// The system provides no random bytes.
    #[error("failed to read random bytes from the system")]
    Randomness,
}

/// The session did not close in time, which happens only if nothing polls its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("timed out after {:.1} s waiting for the session to close: spawn or poll its driver", .after.as_secs_f64())]
#[non_exhaustive]
pub struct CloseError {
    /// How long the handle waited: the time to drain and the time limits of closing.
    pub after: Duration,
}

/// Why a client is not ready.
///
/// ```no_run
/// use std::time::Duration;
/// use steadfast::error::NotReady;
///
/// # async fn run(client: steadfast::centrifuge::Client) {
/// match client.ready(Duration::from_secs(5)).await {
///     Ok(()) => println!("ready"),
///     // The session continues to connect.
///     Err(error @ NotReady::TimedOut { .. }) => println!("{error}"),
///     Err(error) => println!("give up: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// The time limit passed.
    #[error("not connected after {:.1} s{}", .after.as_secs_f64(), reason(.cause.as_ref()))]
    TimedOut {
        /// The time limit.
        after: Duration,
        /// Why the client is, or was last, not connected; `None` before the first attempt has failed.
        cause: Option<DisconnectCause>,
    },
    /// The session has failed.
    #[error("the session has failed: {0}")]
    Failed(DisconnectCause),
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

fn reason(cause: Option<&DisconnectCause>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}

/// Why a message or a call was not accepted.
///
/// ```no_run
/// # fn run(client: steadfast::centrifuge::Client) {
/// match client.publish("news", &"hello") {
///     Ok(receipt) => drop(receipt), // it is published all the same
///     Err(error) if error.is_retryable() => println!("later: {error}"),
///     Err(error) => println!("never: {error}"),
/// }
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The data cannot be serialized as JSON.
    #[cfg(any(feature = "centrifuge", feature = "jsonrpc"))]
    #[error("failed to serialize the data as JSON")]
    Json(#[from] serde_json::Error),
    /// The idempotency key is empty or longer than 64 bytes.
    #[cfg(feature = "centrifuge")]
    #[error("invalid idempotency key: must have 1 to 64 bytes, has {0}")]
    IdempotencyKey(usize),
    /// The outbox has no space for the message: wait with [`Client::send_message`](crate::Client::send_message), or send less.
    #[error("the outbox is full")]
    OutboxFull,
    /// The command queue is full.
    #[error("the command queue is full")]
    Busy,
    /// The driver has finished.
    #[error("the client is closed")]
    Closed,
}

impl RequestError {
    /// Returns `true` when the same request may be accepted later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::OutboxFull | Self::Busy => true,
            #[cfg(any(feature = "centrifuge", feature = "jsonrpc"))]
            Self::Json(_) => false,
            #[cfg(feature = "centrifuge")]
            Self::IdempotencyKey(_) => false,
            Self::Closed => false,
        }
    }
}
