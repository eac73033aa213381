//! A client whose connections come back, and which tells the truth about what became of each message.
//!
//! ```no_run
//! use serde_json::json;
//! use steadfast::{Client, Feed};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, driver) = Client::builder("ws://127.0.0.1:8000")?.build()?;
//! tokio::spawn(driver);
//!
//! let mut news = client.subscribe("news");
//! let receipt = client.publish("news", &json!({ "text": "hello" }))?;
//! println!("{:?}", receipt.await);
//! while let Some(feed) = news.next().await {
//!     match feed {
//!         Feed::Item(publication) => println!("{:?}", publication.data),
//!         Feed::Gap { .. } => println!("something is missing: load the state anew"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - A session outlives its connections: it is dialled again with full jitter until it stands, and never gives up by
//!   itself unless it was told to.
//! - A peer that is silent is noticed within 25 s by default, whatever the traffic.
//! - Each publication carries a key and ends in exactly one [`Delivery`]; what was unanswered is sent again in its order,
//!   and the server applies it once.
//! - Publications of a channel are stored in the order in which they were handed in. A server that refuses one for the
//!   moment may have stored those that were under way behind it, unless `channel_in_flight_max` in [`OutboxSettings`] is 1.
//! - All clients of a process together open a bounded number of transports at a time: [`DialLimit`].
//! - A subscription resumes where the application stands; what cannot be resumed is told as [`SubscriptionEvent::Gap`].
//!
//! The decisions are those of `steadfast-core`, which knows no sockets; this crate moves bytes and keeps the time for it.

mod builder;
mod client;
pub mod clock;
pub mod connector;
mod dial_limit;
mod driver;
pub mod endpoint;
pub mod error;
mod events;
mod feed;
mod receipt;
pub mod transport;

pub use builder::{Builder, defaults};
pub use client::Client;
pub use dial_limit::DialLimit;
pub use driver::Driver;
pub use feed::Subscription;
pub use receipt::Receipt;
pub use steadfast_core::event::{
    ConnectionEpoch, DisconnectCause, SessionEvent, SessionPhase, SessionSnapshot, SessionState,
};
pub use steadfast_core::io::{
    CallError, Delivery, DropReason, SubscribeOptions, SubscriptionEvent,
};
pub use steadfast_core::policy::{BackoffSettings, LivenessSettings, OutboxSettings};
pub use steadfast_protocol::message::{
    ClientInfo, HistoryResult, Position, PresenceStats, Publication,
};
