//! What a state machine is in Steadfast, and the units it counts in.
//!
//! Every decision of Steadfast is made by a [`Machine`]: a value without IO, clock or randomness of its own.
//! The same machines run in production, in the simulation and in a replay; only the driver differs.

pub mod machine;
pub mod units;

pub use machine::Machine;
pub use units::{ByteSize, Generator, Instant, Seed, Timestamp};
