//! Deterministic simulation: the entire system in one thread and virtual time, with network and disk faults.
//!
//! The simulation drives the same state machines that run in production: the hubs and the engine of a gateway process,
//! which crashes and restarts, and sessions of the client library. The engine is the log or the memory engine. Simple
//! clients use the wire format without the client library, so that an error that the gateway and the client library
//! share is detected. An independent [`mod@reference_model`] records what clients receive and reports every violated
//! invariant. The seed determines all randomness of a run, so one number reproduces a failure.
//!
//! [`mod@calls`] is another world: clients of a TrueNAS, and a model of its server.

pub mod calls;
mod clients;
mod clock;
mod context;
mod engine_kind;
mod event;
pub mod explore;
mod final_checks;
mod ids;
mod membership;
mod network;
mod node;
mod planted_bug;
mod recorder;
pub mod reference_model;
mod seed_result;
mod settings;
mod totals;
mod variant;
mod wall_clock;
mod words;
mod world;

pub use engine_kind::EngineKind;
pub use explore::{SimulationReport, Verdict, explore};
pub use planted_bug::PlantedBug;
pub use seed_result::SeedResult;
pub use totals::{CountGroup, Totals};
pub use variant::Variant;
pub use world::run;
