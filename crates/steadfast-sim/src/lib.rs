//! The whole system in one thread and virtual time, on links that break and a disk that forgets.
//!
//! The world drives the very machines that run in production: hubs and the log of a gateway, which crashes and comes
//! back, and sessions of the client library. Beside them simple clients speak the wire format on their own, as a check
//! that the two ends do not merely agree with each other. An independent [`mod@reference`] keeps account of what was
//! promised, and names every promise that was not kept. One seed decides everything, so a failure is a number.

mod application;
mod client;
mod clock;
mod disk;
mod driver;
pub mod explore;
mod faults;
mod flow;
mod gateway;
mod judgement;
mod links;
mod log_thread;
mod mutation;
pub mod reference;
mod sessions;
mod settings;
mod simple_clients;
mod socket;
mod storage;
mod tampering;
mod totals;
mod world;

pub use explore::{Finding, Report, explore};
pub use mutation::Mutation;
pub use totals::Totals;
pub use world::run;
