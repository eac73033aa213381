//! Client-side connection resilience as a state machine without I/O (sans-IO).
//!
//! [`session::Session`] is the state machine of a client, on top of a [`link::Link`], that of its connections; the other
//! modules are their parts. A shell dials, moves bytes, supplies the
//! time, executes the outputs, and reports results to the application. This crate does not depend on the hub: client
//! and hub communicate through the wire protocol only, also in the simulation and in tests.

mod backoff;
mod deadlines;
pub mod dialect;
pub mod endpoints;
pub mod event;
pub mod io;
pub mod link;
mod liveness;
pub mod login_budget;
mod outbox;
mod pending_calls;
pub mod policy;
pub mod retry_advice;
pub mod secret;
pub mod session;
mod sorted_queue;
mod subscriptions;

pub use session::Session;
