//! The WebSocket protocol (RFC 6455) for both roles: handshake, frames, messages, close.
//!
//! This module converts between a byte stream and complete messages, and closes connections. It has no I/O, no clock
//! and no source of randomness: the handshake key and the masking keys are arguments. Shells call it: the gateway as
//! [`Role::Server`], the client library as [`Role::Client`].
//!
//! - [`handshake`]: the HTTP upgrade for both roles.
//! - [`frame_reader`]: decodes reads into parts of messages, pings, pongs and a close, for a receiver of any length.
//! - [`decoder`]: decodes reads into whole messages of limited length, without a buffer per idle connection.
//! - [`encoder`]: encodes messages into frames; a server's frame is encoded once and shared by all its receivers.
//! - [`endpoint`]: decides the replies to control frames and the closing handshake.
//!
//! Extensions are never negotiated. Compression (RFC 7692) would change two parts: the handshake's response, and the
//! first reserved bit in the frame header, which is an error now.

pub mod close;
mod control_frame;
pub mod decoder;
pub mod encoder;
pub mod endpoint;
pub mod error;
pub mod frame_reader;
pub mod handshake;
mod header;
pub mod mask;

pub use control_frame::ControlFrame;
pub use decoder::{Content, Decoder, Reading, WebSocketEvent, WebSocketLimits};
pub use encoder::Frame;
pub use endpoint::{EndOfStream, EndpointEvent, WebSocketEndpoint, WrittenAction};
pub use error::CodecError;
pub use frame_reader::{FrameReader, FrameReading, Part};

/// The role of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections; receives masked frames, sends unmasked ones.
    Server,
    /// Opens connections; receives unmasked frames, sends masked ones.
    Client,
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The payload is valid UTF-8.
    Text,
    /// The payload is arbitrary bytes.
    Binary,
}

/// The kinds of frames that RFC 6455 defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Continues a fragmented message.
    Continuation,
    /// Starts a text message.
    Text,
    /// Starts a binary message.
    Binary,
    /// Closes the connection.
    Close,
    /// Requests a pong with the same payload.
    Ping,
    /// Replies to a ping, or is an unsolicited heartbeat.
    Pong,
}

impl Opcode {
    /// Returns the four bits on the wire (RFC 6455, section 5.2).
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Returns the opcode with these four bits; `None` for reserved opcodes.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Returns `true` for close, ping and pong, which are never fragmented and have at most 125 bytes.
    pub const fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}
