//! The WebSocket protocol (RFC 6455) for both roles: handshake, frames, messages, close. Bytes in, events out.
//!
//! Owns everything between a byte stream and whole messages. Does no IO, knows no time, draws no randomness: keys of
//! the handshake and of masking are arguments. Shells call it: the gateway as [`Role::Server`], the client library as
//! [`Role::Client`].
//!
//! - [`handshake`]: the HTTP upgrade, both sides.
//! - [`decoder`]: a stream of reads becomes messages, pings, pongs and a close, without a buffer per idle connection.
//! - [`encoder`]: messages become frames; a server's frame is encoded once and shared by all its receivers.
//!
//! Extensions are never negotiated. Compression (RFC 7692) would enter at two places: the handshake's answer, and
//! the first reserved bit in the frame header, which is refused now.

pub mod close;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod handshake;
mod header;
pub mod mask;

pub use decoder::{Decoder, Event, Limits, Reading};
pub use encoder::{Frame, FrameBuilder};
pub use error::CodecError;

/// Which end of the connection this codec speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections: receives masked frames, sends unmasked ones.
    Server,
    /// Opens connections: receives unmasked frames, sends masked ones.
    Client,
}

/// What a message consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Valid UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The kinds of frames that RFC 6455 defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a fragmented message.
    Continuation,
    /// Begins a text message.
    Text,
    /// Begins a binary message.
    Binary,
    /// Ends the connection.
    Close,
    /// Asks for a pong with the same payload.
    Ping,
    /// Answers a ping, or is a sign of life.
    Pong,
}

impl Opcode {
    /// The four bits on the wire (RFC 6455, section 5.2).
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

    /// The opcode with these four bits; none for reserved ones.
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

    /// True for close, ping and pong, which are never fragmented and carry at most 125 bytes.
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
