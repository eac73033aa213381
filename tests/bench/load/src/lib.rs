//! The load generator of the benchmark: one thread opens WebSocket connections, drives them and checks every frame.
//!
//! It implements WebSocket framing itself, so that a bug in the product's codec cannot hide in its own measurement.
//! It starts no servers and prints nothing; the `bench` binary does both.

pub mod attempt;
pub mod cores;
pub mod cost;
pub mod dialect;
pub mod disturbance;
pub mod fanout;
pub mod frame;
pub mod job;
pub mod join;
pub mod ledger;
pub mod ping;
pub mod poll;
pub mod publish;
pub mod relays;
pub mod rpc;
pub mod socket;
pub mod storm;
