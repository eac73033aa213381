//! `steadfast call` with a server that the test scripts: every outcome with its words, its JSON and its exit code.

#![cfg(test)]

mod connecting;
mod login;
mod program;
mod replies;
mod server;
mod tls;
mod unfinished;
mod usage;
mod websocket;
