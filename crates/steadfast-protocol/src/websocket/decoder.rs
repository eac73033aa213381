//! A stream of reads becomes messages, pings, pongs and a close (RFC 6455, sections 5 to 8).
//!
//! Built for a read buffer that many connections share: what lies whole in the input is unmasked and handed out in
//! place; only a cut frame or an open fragmented message is kept, in a private buffer that grows as bytes arrive
//! and is freed when the message is done. A peer cannot make it reserve what it merely announces.
//! Does not answer: pongs and close frames are the caller's.

mod reading;

pub use reading::Reading;

use super::header::HEADER_BYTES_MAX;
use super::mask::MaskKey;
use super::{MessageKind, Role};

/// What a peer may send; all of it is checked before memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, summed over its fragments, in bytes.
    pub message_bytes_max: u32,
    /// The longest payload of one data frame, in bytes.
    pub frame_bytes_max: u32,
    /// The most frames in one message, the first included; at least 1.
    pub fragments_max: u32,
}

/// What the peer sent. Payloads are borrowed from the input or from the decoder until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message.
    Message {
        /// What it consists of; the payload of [`MessageKind::Text`] is valid UTF-8.
        kind: MessageKind,
        /// The unmasked payload.
        payload: &'a [u8],
    },
    /// A ping; its payload (at most 125 bytes) wants to come back in a pong.
    Ping(&'a [u8]),
    /// A pong, asked for or not; at most 125 bytes.
    Pong(&'a [u8]),
    /// The peer closes. The last event: what follows is ignored.
    Close {
        /// The code, always one that may travel; none if the frame was empty.
        code: Option<u16>,
        /// The reason; empty if there was none.
        reason: &'a str,
    },
}

/// The receiving half of one connection. Takes 88 bytes while no frame is cut and no message is open, and no heap.
#[derive(Debug)]
pub struct Decoder {
    /// The open message up to here, then the payload of a cut control frame.
    held: Vec<u8>,
    limits: Limits,
    role: Role,
    phase: Phase,
    /// The bytes of a cut head.
    head: [u8; HEADER_BYTES_MAX],
    head_len: u8,
    /// The frame whose payload is cut.
    frame: Option<OpenFrame>,
    /// The message that has begun and not ended.
    message: Option<OpenMessage>,
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            held: Vec::new(),
            limits,
            role,
            phase: Phase::Open,
            head: [0; HEADER_BYTES_MAX],
            head_len: 0,
            frame: None,
            message: None,
        }
    }

    /// Takes one read. Pull the events out until there is none; `input` is unmasked in place on the way.
    ///
    /// ```
    /// use steadfast_protocol::websocket::{Decoder, Event, Limits, MessageKind, Role};
    ///
    /// let limits = Limits { message_bytes_max: 65_536, frame_bytes_max: 65_536, fragments_max: 1_024 };
    /// let mut decoder = Decoder::new(Role::Client, limits);
    /// let mut input = *b"\x81\x02hi\x89\x00";
    ///
    /// let mut reading = decoder.read(&mut input);
    /// let hi = Event::Message { kind: MessageKind::Text, payload: b"hi" };
    /// assert_eq!(reading.next_event(), Ok(Some(hi)));
    /// assert_eq!(reading.next_event(), Ok(Some(Event::Ping(b""))));
    /// assert_eq!(reading.next_event(), Ok(None));
    /// ```
    pub const fn read<'a>(&'a mut self, input: &'a mut [u8]) -> Reading<'a> {
        Reading::new(self, input)
    }

    /// True after a close frame or an error: all further input is ignored.
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// How many bytes of heap this decoder holds now; 0 unless a frame is cut or a message is open.
    ///
    /// At most `message_bytes_max` and one control frame (125 bytes).
    pub const fn held_bytes(&self) -> usize {
        self.held.capacity()
    }
}

/// Whether input still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Finished,
}

/// A frame whose head is read and whose payload is not complete.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    /// Payload bytes that are still to come; data frames are within the limits, so 32 bits hold them.
    missing: u32,
    /// Turned so that it fits the next byte.
    mask: Option<MaskKey>,
    kind: FrameKind,
}

/// A checked frame, as far as the state of the message is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameKind {
    /// A frame of the open message that others follow.
    Part,
    /// The last frame of the open message.
    Last,
    Ping,
    Pong,
    Close,
}

/// A message that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    /// Frames so far, the first included.
    frames: u32,
    /// How many held bytes are this message's.
    len: u32,
    /// How many of them are known to be whole UTF-8 characters; only text counts it.
    valid_len: u32,
}
