//! A control frame as a value: an opcode and a payload of at most 125 bytes, which are stored on the stack.
//!
//! The endpoint creates these frames; shells encode them, masked or unmasked, and choose their place in the send queue.

use bytes::BufMut as _;

use super::{Frame, Opcode, close};

/// The longest payload of a control frame (RFC 6455, section 5.5).
const PAYLOAD_BYTES_MAX: usize = 125;

/// A close or pong frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFrame {
    opcode: Opcode,
    len: u8,
    /// The payload; zeros after `len`.
    bytes: [u8; PAYLOAD_BYTES_MAX],
}

impl ControlFrame {
    /// Returns the reply to a ping with this payload.
    pub(super) fn pong(payload: &[u8]) -> Self {
        Self::new(Opcode::Pong, &[payload])
    }

    /// Returns a close frame; a reason above 123 bytes is truncated at a character boundary.
    ///
    /// # Panics
    ///
    /// If the code must not be sent ([`close::is_sendable`]).
    pub(super) fn close(code: u16, reason: &str) -> Self {
        assert!(
            close::is_sendable(code),
            "close code {code} must not be sent"
        );
        let reason = close::fit_reason(reason).as_bytes();
        Self::new(Opcode::Close, &[&code.to_be_bytes(), reason])
    }

    /// Returns the reply to a close frame: with the received code, or without a code if none was received.
    pub(super) fn close_reply(code: Option<u16>) -> Self {
        code.map_or_else(
            || Self::new(Opcode::Close, &[]),
            |code| Self::close(code, ""),
        )
    }

    fn new(opcode: Opcode, parts: &[&[u8]]) -> Self {
        let mut bytes = [0; PAYLOAD_BYTES_MAX];
        let mut free = bytes.as_mut_slice();
        for part in parts {
            free.put_slice(part);
        }
        let len = PAYLOAD_BYTES_MAX - free.len();
        Self {
            opcode,
            len: u8::try_from(len).expect("a control frame has at most 125 bytes"),
            bytes,
        }
    }

    /// Returns the kind of the frame: close or pong.
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Returns the payload before masking.
    pub fn payload(&self) -> &[u8] {
        self.bytes.split_at(usize::from(self.len)).0
    }

    /// Returns the frame for the encoder.
    pub fn as_frame(&self) -> Frame<'_> {
        Frame::unfragmented(self.opcode, self.payload())
    }
}
