//! The client's side of resilience, without IO: what a connection that comes back decides, and when.
//!
//! [`session::Session`] is the machine; everything else is a part of it. A shell dials, moves bytes and keeps the time
//! for it, and carries its orders to the application. It never sees the hub: the two meet on the wire, in the
//! simulation and in tests.

mod backoff;
pub mod event;
pub mod io;
mod liveness;
mod outbox;
pub mod policy;
mod requests;
pub mod session;
mod subscriptions;

pub use session::Session;
