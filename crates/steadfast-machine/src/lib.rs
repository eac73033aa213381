//! The contract of Steadfast's state machines, the units of time, size and randomness, and reports at a limited rate.
//!
//! Every decision of Steadfast is made by a [`Machine`]: a sans-IO value that has no clock and no source of randomness.
//! The same machines run in production and in the simulation; only the driver differs.

pub mod machine;
pub mod throttle;
pub mod units;

pub use machine::Machine;
pub use units::{ByteSize, Generator, Instant, Position, Seed, Timestamp, convert};
