//! Tests of the clients of any WebSocket server, and of any that speaks JSON-RPC, on real sockets. `server` is the other side, which the tests script.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod call_service;
mod connecting;
mod endings;
mod example;
mod jsonrpc;
#[cfg(target_os = "linux")]
mod local_network;
mod messages;
mod migration;
mod server;
mod slow_reader;
mod truenas;
