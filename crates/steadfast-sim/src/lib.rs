//! Deterministic simulation: the entire system in one thread and virtual time, with network and disk faults.
//!
//! The simulation drives the same state machines that run in production: the hubs and the engine of a gateway process,
//! which crashes and restarts, and sessions of the client library. The engine is the log or the memory engine. Simple
//! clients use the wire format without the client library, so that an error that the gateway and the client library
//! share is detected. An independent [`mod@reference_model`] records what clients receive and reports every violated
//! invariant. The seed determines all randomness of a run, so one number reproduces a failure.

mod application;
mod byte_stream;
mod checks;
mod client;
mod clock;
mod connections;
mod disk;
mod driver;
mod engine;
pub mod explore;
mod faults;
mod gateway;
mod log_thread;
mod planted_bug;
pub mod reference_model;
mod sessions;
mod settings;
mod shard_bus;
mod simple_clients;
mod socket;
mod storage;
mod totals;
mod world;

pub use engine::EngineKind;
pub use explore::{SeedResult, SimulationReport, explore};
pub use planted_bug::PlantedBug;
pub use totals::Totals;
pub use world::{Variant, run};
