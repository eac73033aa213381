//! Decodes a stream of reads into messages, pings, pongs and a close (RFC 6455, sections 5 to 8).
//!
//! The decoder collects the parts of each message, which [`super::frame_reader`] returns. It is designed for a read buffer
//! that many connections share: a payload that is complete in the input is unmasked and returned in place; only an
//! incomplete message is kept, in a private buffer that grows as bytes arrive and is freed when the message is complete.
//! A declared length alone reserves no memory. The decoder does not reply: the caller sends pongs and close frames.

mod reading;

pub use reading::Reading;

use super::{FrameReader, MessageKind, Role};

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
    /// A complete message, or a [`Part`](super::Part) of one.
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

/// The receiving half of one connection, for whole messages. It takes 112 bytes, and heap memory only while a frame is
/// incomplete or a message is open.
#[derive(Debug)]
pub struct Decoder {
    frames: FrameReader,
    /// The received part of the open message, then the message that was returned last.
    buffer: Vec<u8>,
    limits: WebSocketLimits,
}

impl Decoder {
    /// Creates a decoder for a connection whose handshake is complete.
    pub const fn new(role: Role, limits: WebSocketLimits) -> Self {
        Self {
            frames: FrameReader::new(role),
            buffer: Vec::new(),
            limits,
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
    /// let hi = WebSocketEvent::Message { kind: MessageKind::Text, payload: &b"hi"[..] };
    /// assert_eq!(reading.next_event(), Ok(Some(hi)));
    /// assert_eq!(reading.next_event(), Ok(Some(WebSocketEvent::Ping(b""))));
    /// assert_eq!(reading.next_event(), Ok(None));
    /// ```
    pub const fn read<'a>(&'a mut self, input: &'a mut [u8]) -> Reading<'a> {
        let frames = self.frames.read_within(input, self.limits);
        Reading::new(frames, &mut self.buffer, self.limits)
    }

    /// Returns `true` after a close frame or an error: all further input is ignored.
    pub const fn is_finished(&self) -> bool {
        self.frames.is_finished()
    }

    /// Returns the heap memory of this decoder in bytes; 0 unless a frame is incomplete or a message is open.
    ///
    /// At most `message_bytes_max` plus one control frame (125 bytes).
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.capacity() + self.frames.buffered_bytes()
    }
}
