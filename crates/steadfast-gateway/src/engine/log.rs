//! The shell of the log: executes the outputs of the log's state machine and delivers its events to the shards.
//!
//! Owns the single writer thread, its files or memory, and the ring buffer to the shards. `steadfast_log` decides
//! what is stored, returned and removed. Called by the server, which starts one [`LogService`] and gives each shard its
//! [`ShardLog`], and by the command line, which checks and repairs a directory with [`tool`].

mod error;
mod files;
mod memory;
mod random;
mod ring_buffer;
mod service;
mod shard_log;
mod storage;
pub mod tool;
mod writer;

pub use self::error::{LogError, corruption_text};
pub use self::ring_buffer::RING_LIMITS;
pub use self::service::{CloseError, LogService, LogSetup, Store};
pub use self::shard_log::ShardLog;
