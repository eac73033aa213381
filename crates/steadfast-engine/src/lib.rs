//! The vocabulary between the hubs and the engine that stores their publications.
//!
//! An engine orders the publications of each channel, stores them and reads them back; the log is one. It takes
//! [`Request`]s of the shards, and its [`Committed`] publications and [`Response`]s leave in one order, which each
//! shard receives unchanged, as [`EngineEvent`]s. Hubs and engines depend on this crate and not on each other.
//!
//! This crate contains no state machine and no storage format.

mod epoch;
mod event;
mod request;
mod response;

pub use epoch::{ChannelEpoch, InvalidChannelEpoch};
pub use event::{Committed, EngineEvent};
pub use request::{Append, Publisher, Read, ReadFrom, Request, RequestId};
pub use response::{Page, ReadResponse, Record, Rejection, Response};
