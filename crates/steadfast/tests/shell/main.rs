//! The client on real sockets: how many dial at a time, what TLS refuses, and how a client ends.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod dial_limit;
mod drain;
mod ending;
mod peer;
#[cfg(feature = "tls")]
mod tls;
