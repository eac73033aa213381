//! The failure lab on real processes: starts services and clients, carries a plan out, and writes the facts down.
//!
//! It judges nothing: the ledger and the verdict are `steadfast-faults`, which sees the same facts whoever wrote them.
//! Services are started as a user starts them; clients are processes that speak the lines of [`driver`], so that a
//! client library in any language takes part.
//!
//! [`runner::run`] is the way in.

pub mod driver;
pub mod error;
pub mod launcher;
pub mod progress;
pub mod runner;
mod service;
