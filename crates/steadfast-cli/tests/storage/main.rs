//! The data directory of a real gateway under what happens to directories: moved, replaced, removed, copied, full.

#![cfg(test)]

mod backup;
mod failing;
mod gateway;
mod namespace;
mod place;
#[path = "../gateway/process.rs"]
mod process;
