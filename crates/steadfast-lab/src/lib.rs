//! Fault-injection lab on real processes: starts services and clients, executes a fault plan, and records events.
//!
//! The lab evaluates nothing: ledger and verdict are in `steadfast-faults`, which processes the same events from any
//! host. Services are started as a user starts them. Clients are processes that implement the line protocol of
//! [`driver`], so that client libraries in any language can take part.
//!
//! [`runner::run`] is the entry point.

mod address;
mod backend;
pub mod driver;
mod effects;
mod ending;
pub mod error;
pub mod evidence;
pub mod heal;
pub mod interrupt;
pub mod isolation;
pub mod journal;
pub mod launcher;
mod network;
pub mod progress;
pub mod runner;
mod service;
