//! Protocol violations of a peer on an open WebSocket, and the close code for each.
//!
//! The decoder reports them; shells send [`CodecError::close_code`] and [`CodecError::reason`] in their close frame.

use thiserror::Error;

use crate::codes::CloseCode;

/// A violation of RFC 6455, or of the receiver's limits. The connection cannot continue after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.reason())]
pub enum CodecError {
    /// A reserved bit was set although no extension was negotiated.
    ReservedBit,
    /// A frame has an opcode that RFC 6455 does not define.
    ReservedOpcode,
    /// A client sent an unmasked frame.
    MaskMissing,
    /// A server sent a masked frame.
    MaskForbidden,
    /// A close, ping or pong has no final bit.
    ControlFragmented,
    /// A close, ping or pong has more than 125 bytes.
    ControlTooLong,
    /// A length is not encoded in its shortest form.
    LengthNotMinimal,
    /// The highest bit of a 64-bit length is set.
    LengthTopBit,
    /// A continuation arrived while no message was open.
    ContinuationUnexpected,
    /// A new message arrived before the fragmented message was complete.
    ContinuationMissing,
    /// A close payload has one byte, which is too short for a code.
    ClosePayload,
    /// A close frame has a code that must not be sent.
    CloseCode,
    /// A close reason is not UTF-8.
    CloseReasonUtf8,
    /// A text message is not UTF-8.
    TextUtf8,
    /// A frame is longer than the limit.
    FrameTooLong,
    /// A message is longer than the limit.
    MessageTooLong,
    /// A message has more fragments than the limit.
    TooManyFragments,
}

impl CodecError {
    /// Returns the code for the close frame: 1002 protocol error, 1007 invalid data, 1009 too big.
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

    /// Returns a constant text for the close frame and for logs; always below 123 bytes.
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
