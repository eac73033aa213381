//! The thread that owns the engine of a process, and its exchange with the shards.
//!
//! The server starts one engine, which gives it an [`EngineService`] and each shard a [`ShardEngine`]. Whichever engine
//! it is, requests reach its thread through one bounded channel, and its commits and responses reach the shards in one
//! order through the ring buffer. The state machines of the engines decide what is stored, returned and removed.

mod exchange;
pub mod log;
pub mod memory;
mod ring_buffer;
mod service;
mod shard_engine;

pub use self::ring_buffer::RING_LIMITS;
pub use self::service::{CloseError, EngineService, EngineSetup};
pub use self::shard_engine::ShardEngine;
