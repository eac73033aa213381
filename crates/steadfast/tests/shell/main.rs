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
mod documents;
mod drain;
mod dropped_futures;
mod heartbeat_log;
mod history;
mod logs;
mod migration;
mod names;
mod overflow;
mod peer;
mod proxy;
mod public_api;
mod reaching;
mod readiness;
mod secrets;
#[cfg(feature = "tls")]
mod tls;
mod undriven;
mod withdrawal;
