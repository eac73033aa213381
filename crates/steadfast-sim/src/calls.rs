//! The world of calls: sessions with the JSON-RPC dialect and the login of TrueNAS, and a model of its server.
//!
//! The server executes calls, rejects some, forgets sessions, is killed and suspended; the links between have the faults of
//! the other world. What the server has executed is compared with what each session said about its calls: no write is
//! executed twice, and none that was reported as not executed.

mod application;
mod counts;
mod driver;
mod event;
mod invariant;
mod ledger;
mod link_end;
mod methods;
mod network;
mod planted_bug;
mod report;
mod server;
mod server_process;
mod settings;
mod transports;
mod world;

pub use counts::{Count, Counts};
pub use invariant::{Invariant, Violation};
pub use planted_bug::PlantedBug;
pub use report::{Report, SeedResult};
pub use world::run;
