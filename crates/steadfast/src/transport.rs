//! The dialled byte paths: a stream that may be encrypted, and the WebSocket on it.

pub(crate) mod stream;
pub mod websocket;
