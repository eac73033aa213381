//! Client library for long-lived connections: automatic reconnection, resumable subscriptions, idempotent publishing.
//!
#![doc = include_str!("../README.md")]
//!
//! ## Where to begin in this reference
//!
//! - `centrifuge::Client`, `jsonrpc::Client` and `websocket::Client` build clients; each is a [`Client`], the handle that a
//!   program clones, with another [`Dialect`](dialect::Dialect). [`Builder`] has all settings, and [`defaults`] their values.
//! - [`Builder::connect`] spawns the session on the current tokio runtime; [`Builder::build`] returns its [`Driver`], a
//!   future, to a program that polls it.
//! - A [`Receipt`] has the outcome of a message: an acknowledgement, or a [`SendError`]. A call returns a [`CallError`],
//!   and a [`Subscription`] yields each [`SubscriptionEvent`].
//! - [`Client::state`] has the current [`SessionSnapshot`], and [`Client::events`] each [`SessionEvent`];
//!   [`DisconnectCause`] says why a connection ended or was not established.
//! - [`DialLimit`], [`ReadinessCheck`], [`StageTimeouts`] and [`Builder::proxy`] are about reaching a server.
//!
//! The decisions are in the crate `steadfast-core`, which has no sockets, clock or threads; this crate adds sockets, TLS
//! and timers.

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
mod exchange;
#[cfg(any(feature = "centrifuge", feature = "jsonrpc"))]
mod json;
#[cfg(feature = "jsonrpc")]
pub mod jsonrpc;
#[cfg(feature = "truenas")]
mod login_limit;
#[cfg(all(doctest, feature = "centrifuge"))]
mod must_use;
mod overflow;
mod receipt;
mod subscription;
mod transport;
#[cfg(feature = "truenas")]
pub mod truenas;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use builder::Builder;
pub use client::Client;
pub use connector::{ReadinessCheck, StageTimeouts};
pub use dial_limit::DialLimit;
pub use driver::Driver;
pub use endpoint::Endpoint;
pub use overflow::Overflow;
pub use receipt::Receipt;
pub use steadfast_core::dialect;
pub use steadfast_core::event::{
    ConnectionEpoch, ConnectionErrorKind, DialErrorKind, DialStage, DisconnectCause,
    LoginErrorKind, MigrationError, MigrationReason, SessionEvent, SessionPhase, SessionSnapshot,
    SessionState,
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

/// The samples of the client guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/client-guide.md")]
mod client_guide {}
