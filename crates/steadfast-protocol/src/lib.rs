//! The wire format: WebSocket framing, and the messages and encodings of the Centrifuge client protocol, without I/O.
//!
//! This crate has no clock and does not retry. The meaning and the advice of each code are defined in one table,
//! [`codes`], and nowhere else.

pub mod codec;
pub mod codes;
pub mod error;
pub mod idempotent;
pub mod inbound;
pub mod jsonrpc;
pub mod limits;
pub mod message;
pub mod websocket;
