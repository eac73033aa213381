//! The server's side of Steadfast: peers, channels, fan-out, recovery and the log, as machines without IO.
//!
//! [`Hub`] is one shard: it owns its peers and decides what every message means. [`log::Log`] is the one log of a
//! process: it orders publications, keeps them, and answers what was missed. A shell drives both; they meet only in
//! the lists of [`io`] and [`log::io`].

mod asks;
mod channel;
mod commands;
pub mod epoch;
pub mod event;
mod fanout;
mod hub;
pub mod io;
pub mod log;
mod peer;
pub mod policy;
mod presence;
mod recovery;
mod refusals;
mod replies;
mod slow;
pub mod wheel;

pub use hub::Hub;
