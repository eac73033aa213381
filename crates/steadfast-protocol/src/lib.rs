//! What travels, byte for byte: the WebSocket codec and the Centrifuge stream protocol, without IO.
//!
//! This crate knows no time and no retry. A code's meaning and advice stand in one table and nowhere else.

pub mod codes;
pub mod error;
pub mod json;
pub mod keyed;
pub mod limits;
pub mod message;
pub mod websocket;
