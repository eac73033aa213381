//! `steadfast connect` with a real gateway for each test.

#![cfg(test)]

mod gateway;
mod input;
mod output;
#[path = "../gateway/process.rs"]
mod process;
mod unreachable;
