//! Transports: a TCP stream that may be encrypted, and the WebSocket on it.

pub(crate) mod stream;
pub(crate) mod websocket;
