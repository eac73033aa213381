//! The proxy between plain sockets: what each toxic does is measured on both sides.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod calls;
mod endings;
mod lifecycle;
mod setup;
mod shaping;
mod simulated;
mod upstreams;
mod victims;
