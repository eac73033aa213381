//! The bodies of the fuzz targets, one module each: plain functions that panic when an invariant is violated.
//!
//! The crates' own tests include the same files and run them over the committed corpus.

pub mod inbound;
pub mod json_commands;
pub mod json_replies;
pub mod log_segment;
pub mod websocket_decoder;
