//! Decodes a stream of reads into parts of messages, pings, pongs and a close (RFC 6455, sections 5 to 8).
//!
//! The reader is for a receiver that handles a message while it arrives: the length of a message is unlimited, and
//! payloads are unmasked and returned in place, as far as they are in the input. Only an incomplete header and an
//! incomplete control frame are kept. Text is validated as it arrives: what precedes an invalid byte is returned before
//! the error, so that the result does not depend on how the stream is split into reads. [`super::Decoder`] collects the
//! parts to whole messages.

mod reading;
mod utf8;

pub use reading::FrameReading;
pub(super) use reading::Step;

use self::utf8::Utf8Check;
use super::header::{FrameHeader, HEADER_BYTES_MAX};
use super::mask::MaskKey;
use super::{CodecError, MessageKind, Opcode, Role, WebSocketLimits};

/// A part of the payload of a message, as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Payload after unmasking; empty only if it is the last part. Text may be split within a character.
    pub bytes: &'a [u8],
    /// Whether the message ends with this part.
    pub is_last: bool,
}

/// The receiving half of one connection, without a buffer for messages. It takes 72 bytes, and heap memory only while a
/// control frame is incomplete.
#[derive(Debug)]
pub struct FrameReader {
    role: Role,
    phase: ReaderPhase,
    /// The received bytes of an incomplete header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is incomplete.
    frame: Option<OpenFrame>,
    /// The message that is not complete.
    message: Option<OpenMessage>,
    /// The payload of a control frame that was incomplete in the input.
    control: Option<Box<ControlPayload>>,
}

impl FrameReader {
    /// Creates a reader for a connection whose handshake is complete.
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            phase: ReaderPhase::Open,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            message: None,
            control: None,
        }
    }

    /// Starts decoding one read. The caller polls events until there is none; `input` is unmasked in place.
    ///
    /// ```
    /// use steadfast_protocol::websocket::{FrameReader, MessageKind, Part, Role, WebSocketEvent};
    ///
    /// let mut frames = FrameReader::new(Role::Client);
    /// let mut input = *b"\x81\x05two\x89\x00";
    /// let (first, second) = input.split_at_mut(5);
    ///
    /// let mut reading = frames.read(first);
    /// let part = Part { bytes: b"two", is_last: false };
    /// let two = WebSocketEvent::Message { kind: MessageKind::Text, payload: part };
    /// assert_eq!(reading.next_event(), Ok(Some(two)));
    /// assert_eq!(reading.next_event(), Ok(None));
    /// ```
    pub const fn read<'a>(&'a mut self, input: &'a mut [u8]) -> FrameReading<'a> {
        FrameReading::new(self, input, None)
    }

    /// As [`Self::read`], but a frame above these limits is an error.
    pub(super) const fn read_within<'a>(
        &'a mut self,
        input: &'a mut [u8],
        limits: WebSocketLimits,
    ) -> FrameReading<'a> {
        FrameReading::new(self, input, Some(limits))
    }

    /// Returns `true` after a close frame or an error: all further input is ignored.
    pub const fn is_finished(&self) -> bool {
        matches!(self.phase, ReaderPhase::Finished)
    }

    /// Whether an error follows what was returned last, without further input.
    pub const fn has_error(&self) -> bool {
        matches!(self.phase, ReaderPhase::Failed(_))
    }

    /// Returns the heap memory of this reader in bytes: 0 unless a control frame is incomplete.
    pub fn buffered_bytes(&self) -> usize {
        self.control.as_ref().map_or(0, |_| CONTROL_BYTES_MAX)
    }

    /// Whether a message has begun and is not complete.
    pub(super) const fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// Returns the number of bytes up to the end of the message if its last frame has begun.
    pub(super) const fn bytes_to_end(&self) -> Option<u64> {
        match self.frame {
            Some(OpenFrame {
                kind: FrameKind::Last,
                missing,
                ..
            }) => Some(missing),
            Some(_) | None => None,
        }
    }

    /// Returns the number of bytes of the present frame that are not received yet.
    pub(super) fn frame_bytes_missing(&self) -> u64 {
        self.frame.map_or(0, |frame| frame.missing)
    }

    /// Frees the memory that the previous event borrowed.
    #[inline]
    fn release(&mut self) {
        let is_incomplete = self.frame.is_some_and(|frame| frame.kind.is_control());
        if !is_incomplete {
            self.control = None;
        }
    }

    /// Ignores all further input.
    fn finish(&mut self) {
        self.phase = ReaderPhase::Finished;
        self.frame = None;
        self.message = None;
        self.control = None;
    }

    /// Checks a header against the open message and the limits, and adds it to the message.
    #[inline]
    fn admit(
        &mut self,
        header: FrameHeader,
        limits: Option<WebSocketLimits>,
    ) -> Result<OpenFrame, CodecError> {
        let kind = match header.opcode {
            Opcode::Ping => FrameKind::Ping,
            Opcode::Pong => FrameKind::Pong,
            Opcode::Close => FrameKind::Close,
            Opcode::Text => self.admit_first(MessageKind::Text, header, limits)?,
            Opcode::Binary => self.admit_first(MessageKind::Binary, header, limits)?,
            Opcode::Continuation => {
                let message = self.message.ok_or(CodecError::ContinuationUnexpected)?;
                self.admit_data(message, header, limits)?
            }
        };
        Ok(OpenFrame {
            missing: header.payload_bytes,
            mask: header.mask,
            kind,
        })
    }

    #[inline]
    fn admit_first(
        &mut self,
        kind: MessageKind,
        header: FrameHeader,
        limits: Option<WebSocketLimits>,
    ) -> Result<FrameKind, CodecError> {
        if self.message.is_some() {
            return Err(CodecError::ContinuationMissing);
        }
        self.admit_data(OpenMessage::new(kind), header, limits)
    }

    #[inline]
    fn admit_data(
        &mut self,
        message: OpenMessage,
        header: FrameHeader,
        limits: Option<WebSocketLimits>,
    ) -> Result<FrameKind, CodecError> {
        let admitted = OpenMessage {
            frames: message.frames.saturating_add(1),
            len: message.len.saturating_add(header.payload_bytes),
            ..message
        };
        if let Some(limits) = limits {
            if header.payload_bytes > u64::from(limits.frame_bytes_max) {
                return Err(CodecError::FrameTooLong);
            }
            if admitted.len > u64::from(limits.message_bytes_max) {
                return Err(CodecError::MessageTooLong);
            }
            if message.frames >= limits.fragments_max {
                return Err(CodecError::TooManyFragments);
            }
        }
        self.message = Some(admitted);
        Ok(if header.is_final {
            FrameKind::Last
        } else {
            FrameKind::Part
        })
    }

    /// Validates a part of the open message, and closes the message with its last part. Returns the part, without what
    /// is invalid: the error follows it.
    #[inline]
    fn take_part<'a>(
        &mut self,
        bytes: &'a [u8],
        is_last: bool,
    ) -> Result<(MessageKind, Part<'a>), CodecError> {
        let message = self
            .message
            .as_mut()
            .expect("a data frame is admitted into a message");
        let kind = message.kind;
        let valid_len = match kind {
            MessageKind::Text => message.text.check(bytes, is_last),
            MessageKind::Binary => None,
        };
        if let Some(valid_len) = valid_len {
            let (bytes, _) = bytes.split_at(valid_len);
            if bytes.is_empty() {
                return Err(CodecError::TextUtf8);
            }
            self.phase = ReaderPhase::Failed(CodecError::TextUtf8);
            let is_last = false;
            return Ok((kind, Part { bytes, is_last }));
        }
        if is_last {
            self.message = None;
        }
        Ok((kind, Part { bytes, is_last }))
    }
}

/// Whether input is still decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReaderPhase {
    Open,
    /// The error that follows the part that was returned last.
    Failed(CodecError),
    Finished,
}

/// A frame whose header was read and whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    /// Payload bytes not received yet.
    missing: u64,
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

impl FrameKind {
    const fn is_control(self) -> bool {
        match self {
            Self::Part | Self::Last => false,
            Self::Ping | Self::Pong | Self::Close => true,
        }
    }
}

/// A message that is not complete.
#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    /// Frames received so far, including the first.
    frames: u32,
    /// Payload bytes of these frames.
    len: u64,
    /// The validation of its text.
    text: Utf8Check,
}

impl OpenMessage {
    const fn new(kind: MessageKind) -> Self {
        Self {
            kind,
            frames: 0,
            len: 0,
            text: Utf8Check::NEW,
        }
    }
}

/// The longest payload of a control frame, in bytes.
const CONTROL_BYTES_MAX: usize = 125;

/// The received part of a control frame's payload.
#[derive(Debug)]
struct ControlPayload {
    bytes: [u8; CONTROL_BYTES_MAX],
    len: usize,
}

impl ControlPayload {
    const EMPTY: Self = Self {
        bytes: [0; CONTROL_BYTES_MAX],
        len: 0,
    };

    fn push(&mut self, part: &[u8]) {
        let (_, free) = self.bytes.split_at_mut(self.len);
        for (target, source) in free.iter_mut().zip(part) {
            *target = *source;
        }
        self.len += part.len();
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
