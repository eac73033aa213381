//! The network shell of Steadfast: sockets, files and clocks around the hub and the log.
//!
//! Every decision is made by the machines of `steadfast-hub`; this crate carries facts to them and orders from them.
//! It never prints, exits or reads the environment.

pub mod clock;
