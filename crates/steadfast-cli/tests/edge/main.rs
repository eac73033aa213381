//! The binary at its edges: sinks that do not accept its output, and peers that open more connections than it has
//! sockets for.

#![cfg(test)]

mod gateway;
#[path = "../gateway/namespace.rs"]
mod namespace;
mod peers;
#[path = "../gateway/process.rs"]
mod process;
mod refusals;
mod sinks;
