//! The data directory of a real gateway under what happens to directories: moved, replaced, removed, copied, full, stuck.

#![cfg(test)]

mod backup;
#[path = "../../../steadfast-gateway/tests/serving/stuck_disk/disk.rs"]
mod disk;
mod failing;
mod gateway;
#[path = "../gateway/namespace.rs"]
mod namespace;
mod place;
#[path = "../gateway/process.rs"]
mod process;
mod stuck;
#[path = "../gateway/wait.rs"]
mod wait;
