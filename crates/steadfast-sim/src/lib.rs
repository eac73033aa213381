//! The whole system in one thread and virtual time, on links that break and a disk that forgets.
//!
//! The world drives the very machines that run in production: hubs and the log of a gateway, which crashes and comes
//! back, and simple clients that speak the real wire format. An independent [`mod@reference`] keeps account of what was
//! promised, and names every promise that was not kept. One seed decides everything, so a failure is a number.

mod client;
mod clock;
mod disk;
pub mod explore;
mod gateway;
mod judgement;
mod links;
mod log_thread;
mod mutation;
pub mod reference;
mod settings;
mod storage;
mod totals;
mod world;

pub use explore::{Finding, Report, explore};
pub use mutation::Mutation;
pub use totals::Totals;
pub use world::run;
