//! The vocabulary between the hubs and the engine that orders, stores and reads their publications.
//!
//! Hubs and engines depend on this crate and not on each other. An engine takes [`Request`]s of the shards. Its
//! [`Committed`] publications and its [`Response`]s leave in one order, which each shard receives unchanged, as
//! [`EngineEvent`]s. The durable log is an engine; [`memory::MemoryEngine`] is another one.
//!
//! [`order`] delivers that order to shards that read at their own speed, whichever engine it is.
//!
//! # What a hub relies on
//!
//! 1. Each request has exactly one response.
//! 2. The appends of one [`Publisher::client`] that one shard sends are committed in the order of their requests.
//!    Between clients an engine may take turns. Responses to reads may overtake each other and the responses to appends.
//! 3. A publication is committed once, for all shards, and before the response to its append.
//! 4. Offsets of a channel epoch start above 0, increase with each publication, and are never reused. They need not be
//!    dense: [`Committed::previous`] and the `previous` of a [`Page`] say what a publication follows.
//! 5. A response to a read describes the moment at which it leaves: it ends exactly where the commits after it begin.
//!    Only committed publications are read.
//! 6. A channel that has no publication yet has the epoch that its first publication will have, so that a position at
//!    offset 0 can be continued.
//! 7. An engine that may have lost committed publications of a channel, or has forgotten the channel, gives the channel
//!    another epoch.
//! 8. A repeated idempotency key of the same user in the same channel stores nothing within the engine's deduplication
//!    window. It has the result of the first append if the payload is the same, and is rejected otherwise.
//! 9. Requests, channels, keys and the history are bounded by the engine's own policy: a request above a bound is
//!    rejected, and the oldest publications are removed.
//! 10. Above the bound of channels, a new channel takes the place of the oldest one without visible publications and
//!     without keys in the deduplication window. A channel above its own bound does not remove the publications of others
//!     that are younger than 10 minutes: it is rejected, or loses its own first.
//!
//! What else an engine needs, such as storage or a connection, is the engine's own. An engine that needs only requests
//! and time has the inputs and outputs of [`io`]. Every engine reports its [`Health`] to its driver.

mod epoch;
mod event;
mod health;
pub mod io;
pub mod memory;
pub mod order;
mod request;
mod response;
mod retention;
pub mod time;

pub use epoch::{ChannelEpoch, InvalidChannelEpoch};
pub use event::{Committed, EngineEvent};
pub use health::{Engine, Health, StorageOperation};
pub use request::{Append, Publisher, Read, ReadFrom, Request, RequestId};
pub use response::{Page, ReadResponse, Record, Rejection, Response};
pub use retention::{PROTECTED_AGE, RetentionClass};
