//! What happened at the sockets, and what the driver must do.

use std::net::IpAddr;

use crate::control::Control;
use crate::version::ApiVersion;

/// A connection, by the number that the driver gave it. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// Returns the identity with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What happened at the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A WebSocket was opened at the path of this version.
    Opened {
        /// A new number.
        connection: ConnectionId,
        /// The address of the client, by which logins are limited.
        address: IpAddr,
        /// The version of the path; that of `/api/current` is the release.
        version: ApiVersion,
    },
    /// A text message was received.
    ReceivedText {
        /// On which connection.
        connection: ConnectionId,
        /// The text of the message.
        text: String,
    },
    /// A binary message was received.
    ReceivedBinary {
        /// On which connection.
        connection: ConnectionId,
    },
    /// The driver replied to a ping, which counts as a byte of the server.
    PongSent {
        /// On which connection.
        connection: ConnectionId,
    },
    /// The connection has ended, by either side.
    Closed {
        /// The connection that has ended.
        connection: ConnectionId,
    },
    /// A test controls the emulator.
    Controlled(Control),
    /// The deadline has passed.
    Ticked,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a text message.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The message: one JSON object.
        text: String,
    },
    /// Append a line to the effect log, before anything else is sent.
    LogEffect {
        /// What identifies the request that is executed.
        key: String,
    },
    /// Send a close frame, and end the connection.
    Close {
        /// The connection that ends.
        connection: ConnectionId,
        /// The close code.
        code: u16,
        /// The reason; may be empty.
        reason: String,
    },
    /// End the connection without a close frame.
    Cut {
        /// The connection that ends.
        connection: ConnectionId,
    },
}
