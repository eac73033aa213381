//! The network shell of Steadfast: sockets, files and clocks around the hub and the log.
//!
//! Every decision is made by the machines of `steadfast-hub`; this crate carries facts to them and orders from them.
//! It never prints, exits or reads the environment. [`server::run`] is the way in.

mod accept;
mod access;
mod admin;
pub mod config;
mod connection;
mod core;
pub mod error;
mod http;
mod journal;
pub mod listen;
pub mod log;
mod reader;
pub mod server;
mod shard;
mod turn;
mod upgrade;

pub use steadfast::clock;
