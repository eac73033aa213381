//! The WebSocket codec over plain sockets, in both roles, for conformance suites that others wrote.
//!
//! The least shell around the codec: it opens, echoes or collects, and closes. The gateway has its own, built for many
//! connections; here the codec alone is on trial. The binaries `echo-server` and `echo-client` call it, and `kosoku.py`
//! runs them against the suite.

pub mod connection;
pub mod opening;

use steadfast_protocol::websocket::WebSocketLimits;

/// What the suite sends at most: one message of 16 MiB, and 4 MiB in fragments of 64 bytes.
pub const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 16 * 1024 * 1024,
    frame_bytes_max: 16 * 1024 * 1024,
    fragments_max: 65_536,
};
