//! The network shell of Steadfast: sockets, files and clocks around the hub and the engine.
//!
//! The state machines of `steadfast-hub` make all decisions; this crate feeds them inputs and executes their outputs.
//! This crate never prints, exits or reads the environment. [`server::run`] is the entry point.

mod accept;
pub mod access;
mod admin;
pub mod config;
mod connection;
mod connection_task;
pub mod diagnostics;
mod echo;
pub mod engine;
pub mod error;
mod event_loop;
mod handshakes;
mod http;
mod kernel_limit;
pub mod listen;
mod send_buffer;
pub mod server;
mod shard;
mod shard_bus;
mod upgrade;
mod write_batch;
