//! The log of a process as a state machine without I/O: order, storage format, crash recovery and retention.
//!
//! [`Log`] orders publications, stores them, and reads them back. Upward it is an engine: requests, commits and
//! responses are those of `steadfast-engine`. Downward it drives a storage through the operations in [`io`]. A shell
//! owns it, executes the operations, and carries commits and responses to the hubs, which this crate does not know.

mod append;
mod batch;
mod cache;
mod channels;
mod check;
mod checkpoint;
pub mod clock;
mod commit;
mod dedup;
pub mod event;
mod failure;
pub mod identity;
pub mod io;
mod log;
pub mod open;
mod opening;
pub mod policy;
mod protection;
mod read;
mod record;
pub mod repair;
mod replay;
mod reserve;
mod retention;
mod scan;
mod segment;
mod segment_reader;
pub mod snapshot;
mod turns;
mod vacancies;
pub mod verify;
mod watchdog;

pub use log::Log;
pub use segment::header::FORMAT_VERSION;
