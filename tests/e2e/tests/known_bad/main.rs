//! Tests the ledger and the lab with known-bad builds: each is detected by the check that names its bug.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod clients;
mod gateways;
mod packet_filters;
mod run;
mod truenas;
