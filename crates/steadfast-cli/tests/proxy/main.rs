//! `steadfast proxy`: what its commands send, print and return, and how its server starts, fails and ends.

#![cfg(test)]

mod commands;
mod names;
mod recorder;
mod serve;
mod server;
