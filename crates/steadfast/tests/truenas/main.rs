//! A client of the API of TrueNAS and the emulator, over sockets of this machine.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod logins;
mod nas;
mod sessions;
