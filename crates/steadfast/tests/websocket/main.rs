//! Tests of the client of any WebSocket server, on real sockets. `server` is the other side, which the tests script.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod connecting;
mod endings;
mod example;
#[cfg(target_os = "linux")]
mod local_network;
mod messages;
mod migration;
mod server;
mod slow_reader;
