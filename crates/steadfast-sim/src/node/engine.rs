//! The engine of a simulated gateway process: the log on the simulated disk, or the memory engine.
//!
//! Both receive the same requests and deliver commits and responses to the same shards. The memory engine has no disk:
//! its history ends with the process.

use steadfast_engine::memory::MemoryEngine;
use steadfast_log::Log;
use steadfast_machine::{Instant, Machine};

/// The engine of one process.
#[derive(Debug)]
pub(crate) enum GatewayEngine {
    Log(Box<Log>),
    Memory(Box<MemoryEngine>),
}

impl GatewayEngine {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Log(log) => log.poll_timeout(),
            Self::Memory(engine) => engine.poll_timeout(),
        }
    }

    /// Whether the end of the process loses publications.
    pub(crate) fn has_history_in_memory(&self) -> bool {
        match self {
            Self::Log(_) => false,
            Self::Memory(engine) => engine.channels() > 0,
        }
    }
}
