//! The bench's load generator: one thread that opens WebSocket connections, drives them and checks every frame.
//!
//! It has its own framing on purpose: a fault of the product's codec must not hide in its own measurement.
//! It starts no servers and prints nothing; the `bench` binary does both.

pub mod clock;
pub mod dialect;
pub mod fanout;
pub mod frame;
pub mod join;
pub mod ledger;
pub mod opening;
pub mod order;
pub mod ping;
pub mod poll;
pub mod socket;
pub mod storm;
