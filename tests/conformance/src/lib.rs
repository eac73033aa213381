//! The WebSocket codec over plain sockets, in both roles, for third-party conformance suites.
//!
//! A minimal shell around the codec: it opens a connection, echoes or collects messages, and closes. The gateway has
//! its own shell, built for many connections; here only the codec is tested. The binaries `echo-server` and
//! `echo-client` use this shell, and `kosoku.py` runs them against the suite.

pub mod connection;
pub mod handshake;

use steadfast_protocol::websocket::WebSocketLimits;

/// The largest input of the suite: one message of 16 MiB, and 4 MiB in fragments of 64 bytes.
pub const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 16 * 1024 * 1024,
    frame_bytes_max: 16 * 1024 * 1024,
    fragments_max: 65_536,
};
