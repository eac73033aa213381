//! The bridge between real sockets: local programs, and the emulated server.

#![cfg(test)]

mod files;
mod lab;
mod lines;
mod losses;
mod port;
mod program;
mod stub;
mod web_sockets;
mod wire;
