//! Tests of the engine's thread and the shards' ends: what holds for every engine, and what belongs to one of them.

#![cfg(test)]

mod exchange;
mod log;
mod memory;
mod shard;
mod stub_engine;
mod stub_log;
mod stuck_disk;

use std::num::NonZeroU16;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_gateway::engine::{EngineSetup, RING_LIMITS};

/// Long enough for a busy machine; no test waits for it to expire.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

fn setup(shards: u16) -> EngineSetup {
    EngineSetup {
        shards: NonZeroU16::new(shards).expect("at least one shard"),
        ring: RING_LIMITS,
        clock: Clock::start(),
    }
}
