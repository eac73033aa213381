//! `steadfast bridge` with the emulated server, as processes: its words, its exit codes, and scripts that use it.

#![cfg(test)]

mod calls;
mod lab;
mod restarts;
mod usage;
