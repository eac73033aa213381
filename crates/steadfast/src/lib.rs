//! Client library for long-lived connections: automatic reconnection, resumable subscriptions, idempotent publishing.
//!
//! `centrifuge::Client` is a client of the Steadfast gateway (feature `centrifuge`, enabled by default), and
//! `websocket::Client` of any WebSocket server (feature `websocket`). Other protocols implement
//! [`Dialect`](dialect::Dialect), as `examples/dialect.rs` shows, and use the same engine: [`Client`] is a cloneable
//! handle, and [`Driver`] is the future
//! that owns the session: [`Builder::connect`] spawns it on the current tokio runtime.
//!
//! - **Reconnection:** after an outage, a client with a stable connection is connected again within half of the outage
//!   (at least 1 s, at most 20 s), 50 ms and one connection attempt; the delays have full jitter. The client retries
//!   indefinitely unless [`BackoffSettings`] sets `attempts_max` or the server permanently rejects the client.
//! - **Failure detection:** the client sends a ping after 15 s without received data and drops the connection after
//!   25 s, even while the client is sending. While a publication or call is in flight, it drops the connection after
//!   12 s, or about 4 s once the round-trip time is known. See [`LivenessSettings`].
//! - **Publishing:** each publication has an idempotency key and exactly one outcome, an acknowledgement or a
//!   [`SendError`]. `send` waits while the outbox is full, `publish` fails instead.
//!   Unacknowledged publications are resent in order for up to 90 s; the gateway stores each of them once.
//! - **Ordering:** publications of a channel are stored in the order of the `publish` calls. If the server temporarily
//!   rejects a publication, later publications in flight may be stored first, unless `channel_in_flight_max` in
//!   [`OutboxSettings`] is 1.
//! - **Resumption:** after a reconnect, a subscription continues after the last publication it delivered. If
//!   publications are missing, it yields [`SubscriptionEvent::Gap`]: reload the application state.
//! - **Reaching the server:** each attempt resolves the name again and races all its addresses. [`Builder::proxy`] opens a
//!   tunnel through an HTTP proxy; environment variables are not read. Redirects are not followed.
//!   [`DisconnectCause::Dial`] has the [`DialStage`] and the [`DialErrorKind`] of a failed attempt.
//! - **Bounds:** every queue is bounded, and [`DialLimit`] caps concurrent connection attempts per process.
//!
//! The protocol logic is in the sans-IO crate `steadfast-core`; this crate adds sockets, TLS and timers.

mod awaited_reply;
mod builder;
#[cfg(feature = "centrifuge")]
pub mod centrifuge;
mod client;
mod connector;
mod credentials;
pub mod defaults;
mod dial_limit;
mod driver;
mod endpoint;
pub mod error;
mod events;
mod outbox_capacity;
mod receipt;
mod subscription;
mod transport;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use builder::Builder;
pub use client::Client;
pub use connector::{ReadinessCheck, StageTimeouts};
pub use dial_limit::DialLimit;
pub use driver::Driver;
pub use endpoint::Endpoint;
pub use outbox_capacity::Overflow;
pub use receipt::Receipt;
pub use steadfast_core::dialect;
pub use steadfast_core::event::{
    ConnectionEpoch, DialErrorKind, DialStage, DisconnectCause, SessionEvent, SessionPhase,
    SessionSnapshot, SessionState,
};
pub use steadfast_core::io::{
    CallError, CallResult, ConnectionLoss, CredentialsError, Frame, RenewalReason, SendError,
    SendResult, SubscribeOptions, SubscriptionEvent, UnsubscribeCause,
};
pub use steadfast_core::policy::{
    BackoffRange, BackoffSettings, EndpointLogs, EndpointsSettings, FailbackSettings,
    LivenessSettings, OutboxSettings,
};
pub use steadfast_core::retry_advice;
pub use steadfast_core::secret::Secret;
pub use steadfast_machine::{Instant, Position};
pub use subscription::Subscription;
