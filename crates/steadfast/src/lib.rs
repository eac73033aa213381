//! Client library for the Steadfast gateway: automatic reconnection, resumable subscriptions, idempotent publishing.
//!
//! [`Client`] is a cloneable handle. [`Driver`] is the future that owns the session; spawn it on a tokio runtime.
//!
//! ```no_run
//! use serde_json::json;
//! use steadfast::{Client, SubscriptionEvent};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, driver) = Client::builder("ws://127.0.0.1:8000")?.build()?;
//! tokio::spawn(driver);
//!
//! let mut news = client.subscribe("news");
//! let receipt = client.publish("news", &json!({ "text": "hello" }))?;
//! println!("{:?}", receipt.await);
//! while let Some(event) = news.next().await {
//!     match event {
//!         SubscriptionEvent::Publication(publication) => println!("{:?}", publication.data),
//!         SubscriptionEvent::Gap { .. } => println!("publications are missing: reload the state"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - **Reconnection:** after an outage, a client with a stable connection is connected again within half of the outage
//!   (at least 1 s, at most 20 s), 50 ms and one connection attempt; the delays have full jitter. The client retries
//!   indefinitely unless [`BackoffSettings`] sets `attempts_max` or the server permanently rejects the client.
//! - **Failure detection:** the client sends a ping after 15 s without received data and drops the connection after
//!   25 s, even while the client is sending. While a publication or call is in flight, it drops the connection after
//!   12 s, or about 4 s once the round-trip time is known. See [`LivenessSettings`].
//! - **Publishing:** each publication has an idempotency key and exactly one [`PublishOutcome`].
//!   [`Message::send`] waits while the outbox is full, [`Client::publish`] fails instead.
//!   Unacknowledged publications are resent in order for up to 90 s; the gateway stores each of them once.
//! - **Ordering:** publications of a channel are stored in the order of the `publish` calls. If the server temporarily
//!   rejects a publication, later publications in flight may be stored first, unless `channel_in_flight_max` in
//!   [`OutboxSettings`] is 1.
//! - **Resumption:** after a reconnect, a subscription continues after the last publication it delivered. If
//!   publications are missing, it yields [`SubscriptionEvent::Gap`]: reload the application state.
//! - **Bounds:** every queue is bounded, and [`DialLimit`] caps concurrent connection attempts per process.
//!
//! The protocol logic is in the sans-IO crate `steadfast-core`; this crate adds sockets, TLS and timers.

mod awaited_reply;
mod builder;
mod client;
pub mod connector;
mod dial_limit;
mod driver;
pub mod endpoint;
pub mod error;
mod events;
mod message;
mod outbox_capacity;
mod receipt;
mod subscription;
pub mod transport;

pub use builder::{Builder, defaults};
pub use client::Client;
pub use dial_limit::DialLimit;
pub use driver::Driver;
pub use message::{Message, Overflow};
pub use receipt::Receipt;
pub use steadfast_core::event::{
    ConnectionEpoch, DisconnectCause, SessionEvent, SessionPhase, SessionSnapshot, SessionState,
};
pub use steadfast_core::io::{
    CallError, DropReason, PublishOutcome, SubscribeOptions, SubscriptionEvent,
};
pub use steadfast_core::policy::{BackoffRange, BackoffSettings, LivenessSettings, OutboxSettings};
pub use steadfast_machine::Instant;
pub use steadfast_protocol::message::{
    ClientInfo, HistoryResult, PayloadKind, Position, PresenceStats, Publication, ReplyError,
};
pub use subscription::Subscription;
