//! Decodes a stream of reads into messages, pings, pongs and a close (RFC 6455, sections 5 to 8).
//!
//! The decoder collects the parts of each message, which [`super::frame_reader`] returns. It is designed for a read buffer
//! that many connections share: a payload that is complete in the input is unmasked and returned in place; only an
//! incomplete message is kept, in a private buffer that grows as bytes arrive and is freed when the message is complete.
//! A declared length alone reserves no memory. The decoder does not reply: the caller sends pongs and close frames.

//!
//! A decoder can skip messages above its limit instead of failing: their parts are returned as they arrive, so that a
//! receiver can find in them what it needs, and are not kept.

mod reading;

pub use reading::Reading;

use super::{FrameReader, MessageKind, Part, Role};

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

/// A message, or a part of one, or a control frame from the peer. Payloads are borrowed from the input or from the
/// decoder until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketEvent<'a, P = &'a [u8]> {
    /// A complete message, or a [`Part`] of one.
    Message {
        /// Type of the message; the payload of [`MessageKind::Text`] is valid UTF-8.
        kind: MessageKind,
        /// Payload after unmasking.
        payload: P,
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

/// The payload of a message for a receiver that skips those above its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A complete message within the limit.
    Whole(&'a [u8]),
    /// A part of a message above the limit. Control frames may be between the parts, and no other message.
    Skipped(Part<'a>),
}

/// The receiving half of one connection, for whole messages. It takes 128 bytes, and heap memory only while a frame is
/// incomplete or a message is open.
#[derive(Debug)]
pub struct Decoder {
    frames: FrameReader,
    /// The received part of the open message, then the message that was returned last.
    buffer: Vec<u8>,
    limits: WebSocketLimits,
    /// The longest message that is skipped; without it, one above the limits is an error.
    skipped_bytes_max: Option<u32>,
    /// The open message is above the limits and is skipped.
    is_skipping: bool,
}

impl Decoder {
    /// Creates a decoder for a connection whose handshake is complete.
    pub const fn new(role: Role, limits: WebSocketLimits) -> Self {
        Self {
            frames: FrameReader::new(role),
            buffer: Vec::new(),
            limits,
            skipped_bytes_max: None,
            is_skipping: false,
        }
    }

    /// Creates a decoder that skips messages of up to `bytes_max` bytes which are above the limits, instead of reporting an
    /// error; [`Reading::next_content`] returns their parts. The limit of fragments applies to them as well.
    ///
    /// ```
    /// use steadfast_protocol::websocket::{Content, Decoder, MessageKind, Part, Role, WebSocketEvent, WebSocketLimits};
    ///
    /// let limits = WebSocketLimits { message_bytes_max: 3, frame_bytes_max: 3, fragments_max: 1 };
    /// let mut decoder = Decoder::skipping(Role::Client, limits, 65_536);
    /// let mut input = *b"\x81\x04long";
    ///
    /// let part = Part { bytes: b"long", is_last: true };
    /// let long = WebSocketEvent::Message { kind: MessageKind::Text, payload: Content::Skipped(part) };
    /// assert_eq!(decoder.read(&mut input).next_content(), Ok(Some(long)));
    /// ```
    pub const fn skipping(role: Role, limits: WebSocketLimits, bytes_max: u32) -> Self {
        let mut decoder = Self::new(role, limits);
        decoder.skipped_bytes_max = Some(bytes_max);
        decoder
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
    /// let hi = WebSocketEvent::Message { kind: MessageKind::Text, payload: &b"hi"[..] };
    /// assert_eq!(reading.next_event(), Ok(Some(hi)));
    /// assert_eq!(reading.next_event(), Ok(Some(WebSocketEvent::Ping(b""))));
    /// assert_eq!(reading.next_event(), Ok(None));
    /// ```
    pub const fn read<'a>(&'a mut self, input: &'a mut [u8]) -> Reading<'a> {
        // A message above these limits is an error.
        let mut limits = self.limits;
        if let Some(bytes_max) = self.skipped_bytes_max {
            if bytes_max > limits.message_bytes_max {
                limits.message_bytes_max = bytes_max;
            }
            limits.frame_bytes_max = limits.message_bytes_max;
        }
        let frames = self.frames.read_within(input, limits);
        Reading::new(frames, &mut self.buffer, self.limits, &mut self.is_skipping)
    }

    /// Returns `true` after a close frame or an error: all further input is ignored.
    pub const fn is_finished(&self) -> bool {
        self.frames.is_finished()
    }

    /// Returns the heap memory of this decoder in bytes; 0 unless a frame is incomplete or a message is open.
    ///
    /// At most `message_bytes_max` plus one control frame (125 bytes), and plus one read if messages are skipped.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.capacity() + self.frames.buffered_bytes()
    }
}
