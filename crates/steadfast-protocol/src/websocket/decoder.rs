//! Decodes a stream of reads into messages, pings, pongs and a close (RFC 6455, sections 5 to 8).
//!
//! The decoder is designed for a read buffer that many connections share: a payload that is complete in the input is
//! unmasked and returned in place; only an incomplete frame or an open fragmented message is kept, in a private buffer
//! that grows as bytes arrive and is freed when the message is complete. A declared length alone reserves no memory.
//! The decoder does not reply: the caller sends pongs and close frames.

mod reading;

pub use reading::Reading;

use super::header::HEADER_BYTES_MAX;
use super::mask::MaskKey;
use super::{MessageKind, Role};

/// Limits on received data; all of them are checked before memory is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Longest message, summed over its fragments, in bytes.
    pub message_bytes_max: u32,
    /// Longest payload of one data frame, in bytes.
    pub frame_bytes_max: u32,
    /// Most frames in one message, including the first; at least 1.
    pub fragments_max: u32,
}

/// A message or control frame from the peer. Payloads are borrowed from the input or from the decoder until the next
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketEvent<'a> {
    /// A complete message.
    Message {
        /// Type of the message; the payload of [`MessageKind::Text`] is valid UTF-8.
        kind: MessageKind,
        /// Payload after unmasking.
        payload: &'a [u8],
    },
    /// A ping; its payload (at most 125 bytes) must be returned in a pong.
    Ping(&'a [u8]),
    /// A pong, solicited or not; at most 125 bytes.
    Pong(&'a [u8]),
    /// A close frame. It is the last event: data after it is ignored.
    Close {
        /// Close code, always a code that may be sent; `None` if the frame was empty.
        code: Option<u16>,
        /// Close reason; empty if there was none.
        reason: &'a str,
    },
}

/// The receiving half of one connection. It takes 88 bytes, and heap memory only while a frame is incomplete or a
/// message is open.
#[derive(Debug)]
pub struct Decoder {
    /// The received part of the open message, then the payload of an incomplete control frame.
    buffer: Vec<u8>,
    limits: WebSocketLimits,
    role: Role,
    phase: DecoderPhase,
    /// The received bytes of an incomplete header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is incomplete.
    frame: Option<OpenFrame>,
    /// The fragmented message that is not complete.
    message: Option<OpenMessage>,
}

impl Decoder {
    /// Creates a decoder for a connection whose handshake is complete.
    pub const fn new(role: Role, limits: WebSocketLimits) -> Self {
        Self {
            buffer: Vec::new(),
            limits,
            role,
            phase: DecoderPhase::Open,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
        }
    }

    /// Starts decoding one read. The caller polls events until there is none; `input` is unmasked in place.
    ///
    /// ```
    /// use steadfast_protocol::websocket::{Decoder, WebSocketEvent, WebSocketLimits, MessageKind, Role};
    ///
    /// let limits = WebSocketLimits { message_bytes_max: 65_536, frame_bytes_max: 65_536, fragments_max: 1_024 };
    /// let mut decoder = Decoder::new(Role::Client, limits);
    /// let mut input = *b"\x81\x02hi\x89\x00";
    ///
    /// let mut reading = decoder.read(&mut input);
    /// let hi = WebSocketEvent::Message { kind: MessageKind::Text, payload: b"hi" };
    /// assert_eq!(reading.next_event(), Ok(Some(hi)));
    /// assert_eq!(reading.next_event(), Ok(Some(WebSocketEvent::Ping(b""))));
    /// assert_eq!(reading.next_event(), Ok(None));
    /// ```
    pub const fn read<'a>(&'a mut self, input: &'a mut [u8]) -> Reading<'a> {
        Reading::new(self, input)
    }

    /// Returns `true` after a close frame or an error: all further input is ignored.
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, DecoderPhase::Finished)
    }

    /// Returns the heap memory of this decoder in bytes; 0 unless a frame is incomplete or a message is open.
    ///
    /// At most `message_bytes_max` plus one control frame (125 bytes).
    pub const fn buffered_bytes(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Whether input is still decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecoderPhase {
    Open,
    Finished,
}

/// A frame whose header was read and whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    /// Payload bytes not received yet; data frames are within the limits, so 32 bits are sufficient.
    missing: u32,
    /// The masking key, rotated to the next byte.
    mask: Option<MaskKey>,
    kind: FrameKind,
}

/// The role of a valid frame in the open message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameKind {
    /// A frame of the open message, but not the last frame.
    Part,
    /// The last frame of the open message.
    Last,
    Ping,
    Pong,
    Close,
}

/// A fragmented message that is not complete.
#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    /// Frames received so far, including the first.
    frames: u32,
    /// Bytes of this message in the buffer.
    len: u32,
    /// How many of these bytes are validated as complete UTF-8 characters; used for text only.
    valid_len: u32,
}
