//! Server side of Steadfast as state machines without I/O: peers, channels, fan-out and recovery.
//!
//! [`Hub`] is the state machine of one shard: it owns its peers and executes their commands. It stores and orders
//! nothing: it sends requests to an engine, whose commits and responses a shell reports in one order. Inputs and
//! outputs are in [`io`], and those of the engine in `steadfast-engine`.

mod channel;
mod commands;
pub mod event;
mod fanout;
mod hub;
mod ids;
pub mod io;
mod peer;
mod pending_requests;
pub mod policy;
mod presence;
mod recovery;
mod rejections;
mod slow_consumer;
pub mod timer_wheel;

pub use hub::Hub;
