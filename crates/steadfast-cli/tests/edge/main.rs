//! The binary at its edges: sinks that do not accept its output, peers that open more connections than it has sockets
//! for, and the memory that remains when they have left.

#![cfg(test)]

mod gateway;
mod memory;
#[path = "../gateway/namespace.rs"]
mod namespace;
mod peers;
#[path = "../gateway/process.rs"]
mod process;
mod refusals;
mod sinks;
#[path = "../gateway/wait.rs"]
mod wait;
