//! Tests of the client on real sockets: the dial limit, proxies, readiness checks, TLS validation, the log, closing a
//! client, and giving up what it awaits.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod attempt;
mod auto_traits;
mod closing;
mod credentials;
mod dial_limit;
mod dialect_example;
mod documents;
mod drain;
mod dropped_futures;
mod heartbeat_log;
mod history;
mod limits;
mod log_lines;
mod logs;
mod migration;
mod names;
mod overflow;
mod peer;
mod proxy;
mod public_api;
mod reaching;
mod readiness;
mod runtime_shutdown;
mod secrets;
mod time_limits;
#[cfg(feature = "tls")]
mod tls;
mod undriven;
mod warnings;
mod withdrawal;
