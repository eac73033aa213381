//! `steadfast bridge` with the emulated server, as processes: its words, its exit codes.

#![cfg(test)]

mod calls;
mod lab;
mod usage;
