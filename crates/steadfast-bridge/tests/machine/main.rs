//! The bridge as a state machine: shares, limits, local replies, subscriptions and outcomes, without a socket.

#![cfg(test)]

mod calls;
mod ending;
mod local;
mod random;
mod subscriptions;
mod world;
