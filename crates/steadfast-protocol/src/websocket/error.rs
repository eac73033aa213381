//! What a peer can do wrong on an open WebSocket, and the close code that answers it.
//!
//! The decoder reports these; shells put [`CodecError::close_code`] and [`CodecError::reason`] into their close frame.

use thiserror::Error;

use crate::codes::CloseCode;

/// A violation of RFC 6455, or of the receiver's limits. The connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.reason())]
pub enum CodecError {
    /// A reserved bit is set although no extension was negotiated.
    ReservedBit,
    /// An opcode that RFC 6455 does not define.
    ReservedOpcode,
    /// A client sent an unmasked frame.
    MaskMissing,
    /// A server sent a masked frame.
    MaskForbidden,
    /// A close, ping or pong without the final bit.
    ControlFragmented,
    /// A close, ping or pong with more than 125 bytes.
    ControlTooLong,
    /// A length in more bytes than it needs.
    LengthNotMinimal,
    /// A 64-bit length whose highest bit is set.
    LengthTopBit,
    /// A continuation while no message is open.
    ContinuationUnexpected,
    /// A new message before the fragmented one ended.
    ContinuationMissing,
    /// A close payload of one byte, which cannot hold a code.
    ClosePayload,
    /// A close code that must not travel in a close frame.
    CloseCode,
    /// A close reason that is not UTF-8.
    CloseReasonUtf8,
    /// A text message that is not UTF-8.
    TextUtf8,
    /// A frame longer than the limit.
    FrameTooLong,
    /// A message longer than the limit.
    MessageTooLong,
    /// A message in more fragments than the limit.
    TooManyFragments,
}

impl CodecError {
    /// The code for the close frame: 1002 protocol error, 1007 invalid data, 1009 too big.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::MaskMissing
            | Self::MaskForbidden
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ContinuationUnexpected
            | Self::ContinuationMissing
            | Self::ClosePayload
            | Self::CloseCode => CloseCode::ProtocolError.code(),
            Self::CloseReasonUtf8 | Self::TextUtf8 => CloseCode::InvalidPayload.code(),
            Self::FrameTooLong | Self::MessageTooLong | Self::TooManyFragments => {
                CloseCode::MessageTooBig.code()
            }
        }
    }

    /// A fixed text for the close frame and for logs; always below 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved bit set without an extension",
            Self::ReservedOpcode => "reserved opcode",
            Self::MaskMissing => "client frame is not masked",
            Self::MaskForbidden => "server frame is masked",
            Self::ControlFragmented => "fragmented control frame",
            Self::ControlTooLong => "control frame longer than 125 bytes",
            Self::LengthNotMinimal => "frame length is not in its shortest form",
            Self::LengthTopBit => "highest bit of the frame length is set",
            Self::ContinuationUnexpected => "continuation without a message",
            Self::ContinuationMissing => "new message inside a fragmented one",
            Self::ClosePayload => "close payload of one byte",
            Self::CloseCode => "invalid close code",
            Self::CloseReasonUtf8 => "close reason is not UTF-8",
            Self::TextUtf8 => "text message is not UTF-8",
            Self::FrameTooLong => "frame too long",
            Self::MessageTooLong => "message too long",
            Self::TooManyFragments => "message in too many fragments",
        }
    }
}
