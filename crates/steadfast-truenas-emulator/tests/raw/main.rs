//! The emulator by raw messages: each fact that it emulates, without a client library in between.

#![cfg(test)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "`json!` at the call is shorter than a reference to it"
)]

mod jobs;
mod journal;
mod lifecycle;
mod limits;
mod login;
mod requests;
mod rig;
mod routes;
mod scram;
mod sockets;
mod subscriptions;
mod tls;
