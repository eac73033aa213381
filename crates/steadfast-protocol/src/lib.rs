//! The wire format: the WebSocket codec and the Centrifuge client protocol, without I/O.
//!
//! This crate has no clock and does not retry. The meaning and the advice of each code are defined in one table,
//! [`codes`], and nowhere else.

pub mod codes;
pub mod error;
pub mod idempotent;
pub mod json;
pub mod limits;
pub mod message;
pub mod websocket;
