//! Server side of Steadfast as state machines without I/O: peers, channels, fan-out, recovery and the log.
//!
//! [`Hub`] is the state machine of one shard: it owns its peers and executes their commands. [`log::Log`] is the one
//! log of a process: it orders publications, stores them, and reads them for recovery. A shell drives both; they are
//! connected only by the inputs and outputs in [`io`] and [`log::io`].

mod channel;
mod commands;
pub mod event;
mod fanout;
mod hub;
pub mod io;
pub mod log;
mod peer;
mod pending_requests;
pub mod policy;
mod presence;
mod recovery;
mod rejections;
mod replies;
mod slow_consumer;
pub mod timer_wheel;

pub use hub::Hub;
