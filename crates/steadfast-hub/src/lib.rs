//! Server side of Steadfast as state machines without I/O: peers, channels, fan-out and recovery.
//!
//! [`Hub`] is the state machine of one shard: it owns its peers and executes their commands. It stores and orders
//! nothing: it sends requests to an engine, whose commits and responses a shell reports in one order. Inputs and
//! outputs are in [`io`], and those of the engine in `steadfast-engine`.

mod api;
mod append;
mod catch_up;
mod catch_up_reads;
mod channel;
mod channels;
mod commands;
mod commits;
mod context;
mod deadlines;
mod disconnect;
pub mod event;
mod fanout;
mod from_engine;
mod hub;
mod identity;
mod ids;
mod incomplete;
pub mod io;
mod peer;
pub mod peer_slots;
mod peers;
mod pending;
pub mod policy;
mod position;
mod presence;
pub mod quota;
mod rejections;
mod responses;
mod shared;
mod slow_consumer;
pub mod timer_wheel;
#[cfg(test)]
mod work;

pub use hub::Hub;
