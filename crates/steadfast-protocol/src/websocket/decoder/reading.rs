//! Decodes one read: the state machine of [`Decoder`].
//!
//! Each call of [`Reading::next_event`] consumes headers and payloads from the input until a message or a control frame
//! is complete. The result does not depend on how the stream is split into reads. Shells call it through
//! [`Decoder::read`].

use std::mem;

use super::{Decoder, DecoderPhase, FrameKind, OpenFrame, OpenMessage, WebSocketEvent};
use crate::websocket::header::FrameHeader;
use crate::websocket::{CodecError, MessageKind, Opcode, close, mask};

/// A read that is being decoded. The caller polls until [`Self::next_event`] returns `None`, or takes the rest of the
/// read with [`Self::into_rest`] and decodes it later.
#[derive(Debug)]
pub struct Reading<'a> {
    decoder: &'a mut Decoder,
    /// The input that is not consumed yet.
    input: &'a mut [u8],
}

impl<'a> Reading<'a> {
    pub(super) const fn new(decoder: &'a mut Decoder, input: &'a mut [u8]) -> Self {
        Self { decoder, input }
    }

    /// Returns the next event, or `None` when the input is consumed; an incomplete frame is kept for the next read.
    ///
    /// # Errors
    ///
    /// The first protocol violation of the peer. After it, and after a close event, there is no further event or error.
    pub fn next_event(&mut self) -> Result<Option<WebSocketEvent<'_>>, CodecError> {
        if self.decoder.is_finished() {
            self.decoder.finish();
            return Ok(None);
        }
        self.decoder.release();
        let ready = match self.advance() {
            Ok(Some(ready)) => ready,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.decoder.finish();
                return Err(error);
            }
        };
        if ready.kind == EventKind::Close {
            self.decoder.phase = DecoderPhase::Finished;
        }
        let payload = ready
            .in_place
            .unwrap_or_else(|| self.decoder.buffered_event());
        ready.kind.into_event(payload).map(Some)
    }

    /// Stops decoding, and returns the input after the last event: it is decoded by a later read, before anything else.
    pub fn into_rest(self) -> &'a mut [u8] {
        self.decoder.release();
        self.input
    }

    /// Consumes input until a message or a control frame is complete.
    fn advance(&mut self) -> Result<Option<Ready<'a>>, CodecError> {
        loop {
            let (frame, is_fresh) = match self.decoder.frame.take() {
                Some(frame) => (frame, false),
                None => match self.take_header()? {
                    Some(header) => (self.decoder.admit(header)?, true),
                    None => return Ok(None),
                },
            };
            let (part, frame) = self.take_payload(frame);
            if is_fresh && frame.missing == 0 && !self.decoder.must_buffer(frame.kind) {
                return self.decoder.complete_in_place(frame.kind, part).map(Some);
            }
            self.decoder.buffer_part(frame, part)?;
            if frame.missing > 0 {
                self.decoder.frame = Some(frame);
                return Ok(None);
            }
            if let Some(kind) = self.decoder.complete_buffered(frame.kind)? {
                return Ok(Some(Ready {
                    kind,
                    in_place: None,
                }));
            }
        }
    }

    /// Reads the next header; `None` when the input ends first; the bytes of the incomplete header are kept.
    #[inline]
    fn take_header(&mut self) -> Result<Option<FrameHeader>, CodecError> {
        let decoder = &mut *self.decoder;
        let kept = usize::from(decoder.header_len);
        if kept == 0
            && let Some((header, len)) = FrameHeader::parse(decoder.role, self.input)?
        {
            self.take_input(len);
            return Ok(Some(header));
        }
        let (_, free) = decoder.header.split_at_mut(kept);
        let copied = free.len().min(self.input.len());
        for (target, source) in free.iter_mut().zip(self.input.iter()) {
            *target = *source;
        }
        let (bytes, _) = decoder.header.split_at(kept + copied);
        let parsed = FrameHeader::parse(decoder.role, bytes)?;
        decoder.header_len = match parsed {
            Some(_) => 0,
            None => header_len(bytes),
        };
        // The header was incomplete before this read, so it ends inside this input.
        self.take_input(parsed.map_or(copied, |(_, len)| len - kept));
        Ok(parsed.map(|(header, _)| header))
    }

    /// Returns the available part of the frame's payload, unmasked, and the rest of the frame.
    #[inline]
    fn take_payload(&mut self, mut frame: OpenFrame) -> (&'a [u8], OpenFrame) {
        let part = self.take_input(widen(frame.missing).min(self.input.len()));
        if let Some(key) = frame.mask {
            frame.mask = Some(mask::apply(key, part));
        }
        frame.missing -= narrow(part.len());
        (part, frame)
    }

    fn take_input(&mut self, len: usize) -> &'a mut [u8] {
        let (taken, rest) = mem::take(&mut self.input).split_at_mut(len);
        self.input = rest;
        taken
    }
}

/// A complete message or control frame, with its payload if the payload is in the input.
struct Ready<'a> {
    kind: EventKind,
    in_place: Option<&'a [u8]>,
}

/// The kind of event for a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EventKind {
    Message(MessageKind),
    Ping,
    Pong,
    Close,
}

impl EventKind {
    fn into_event(self, payload: &[u8]) -> Result<WebSocketEvent<'_>, CodecError> {
        Ok(match self {
            Self::Message(kind) => WebSocketEvent::Message { kind, payload },
            Self::Ping => WebSocketEvent::Ping(payload),
            Self::Pong => WebSocketEvent::Pong(payload),
            Self::Close => {
                let (code, reason) = close::parse(payload)?;
                WebSocketEvent::Close { code, reason }
            }
        })
    }
}

impl Decoder {
    /// Frees the memory that the previous event borrowed.
    #[inline]
    fn release(&mut self) {
        if self.buffer.capacity() > 0 && self.frame.is_none() {
            let kept = self.message_len();
            self.buffer.truncate(kept);
            if kept == 0 {
                self.buffer = Vec::new();
            }
        }
    }

    /// Ignores all further input.
    fn finish(&mut self) {
        self.phase = DecoderPhase::Finished;
        self.buffer = Vec::new();
        self.frame = None;
        self.message = None;
    }

    /// Returns the length of the open message in the buffer.
    fn message_len(&self) -> usize {
        self.message.map_or(0, |message| widen(message.len))
    }

    /// Returns the payload that was completed in the buffer: the bytes after the open message.
    fn buffered_event(&self) -> &[u8] {
        self.buffer.get(self.message_len()..).unwrap_or_default()
    }

    /// Checks a header against the open message and the limits, and adds it to the message.
    #[inline]
    fn admit(&mut self, header: FrameHeader) -> Result<OpenFrame, CodecError> {
        let kind = match header.opcode {
            Opcode::Ping => FrameKind::Ping,
            Opcode::Pong => FrameKind::Pong,
            Opcode::Close => FrameKind::Close,
            Opcode::Text => self.admit_first(MessageKind::Text, header)?,
            Opcode::Binary => self.admit_first(MessageKind::Binary, header)?,
            Opcode::Continuation => {
                let message = self.message.ok_or(CodecError::ContinuationUnexpected)?;
                self.admit_data(message, header)?
            }
        };
        let missing =
            u32::try_from(header.payload_bytes).map_err(|_above| CodecError::FrameTooLong)?;
        Ok(OpenFrame {
            missing,
            mask: header.mask,
            kind,
        })
    }

    #[inline]
    fn admit_first(
        &mut self,
        kind: MessageKind,
        header: FrameHeader,
    ) -> Result<FrameKind, CodecError> {
        if self.message.is_some() {
            return Err(CodecError::ContinuationMissing);
        }
        self.admit_data(
            OpenMessage {
                kind,
                frames: 0,
                len: 0,
                valid_len: 0,
            },
            header,
        )
    }

    #[inline]
    fn admit_data(
        &mut self,
        message: OpenMessage,
        header: FrameHeader,
    ) -> Result<FrameKind, CodecError> {
        if header.payload_bytes > u64::from(self.limits.frame_bytes_max) {
            return Err(CodecError::FrameTooLong);
        }
        // Both summands are below 2^32, so the sum cannot overflow.
        if u64::from(message.len) + header.payload_bytes > u64::from(self.limits.message_bytes_max)
        {
            return Err(CodecError::MessageTooLong);
        }
        if message.frames >= self.limits.fragments_max {
            return Err(CodecError::TooManyFragments);
        }
        self.message = Some(OpenMessage {
            frames: message.frames + 1,
            ..message
        });
        Ok(if header.is_final {
            FrameKind::Last
        } else {
            FrameKind::Part
        })
    }

    /// Returns `true` when a frame that is complete in the input must be buffered because its message is open.
    #[inline]
    fn must_buffer(&self, kind: FrameKind) -> bool {
        match kind {
            FrameKind::Part => true,
            FrameKind::Last => self.message_len() > 0,
            FrameKind::Ping | FrameKind::Pong | FrameKind::Close => false,
        }
    }

    #[inline]
    fn complete_in_place<'a>(
        &mut self,
        kind: FrameKind,
        payload: &'a [u8],
    ) -> Result<Ready<'a>, CodecError> {
        let event_kind = match kind {
            FrameKind::Part | FrameKind::Last => {
                let kind = self.take_message();
                if kind == MessageKind::Text && str::from_utf8(payload).is_err() {
                    return Err(CodecError::TextUtf8);
                }
                EventKind::Message(kind)
            }
            FrameKind::Ping => EventKind::Ping,
            FrameKind::Pong => EventKind::Pong,
            FrameKind::Close => EventKind::Close,
        };
        Ok(Ready {
            kind: event_kind,
            in_place: Some(payload),
        })
    }

    /// Completes a frame in the buffer; `None` if its message continues.
    fn complete_buffered(&mut self, kind: FrameKind) -> Result<Option<EventKind>, CodecError> {
        Ok(match kind {
            FrameKind::Part => None,
            FrameKind::Last => {
                if self
                    .message
                    .is_some_and(|message| message.has_incomplete_character())
                {
                    return Err(CodecError::TextUtf8);
                }
                Some(EventKind::Message(self.take_message()))
            }
            FrameKind::Ping => Some(EventKind::Ping),
            FrameKind::Pong => Some(EventKind::Pong),
            FrameKind::Close => Some(EventKind::Close),
        })
    }

    fn take_message(&mut self) -> MessageKind {
        self.message
            .take()
            .expect("a data frame is admitted into a message")
            .kind
    }

    /// Buffers a part of the frame's payload. Text is validated immediately, so that an invalid byte is detected early.
    fn buffer_part(&mut self, frame: OpenFrame, part: &[u8]) -> Result<(), CodecError> {
        let due = part.len() + widen(frame.missing);
        let ceiling = match frame.kind {
            FrameKind::Part => widen(self.limits.message_bytes_max),
            FrameKind::Last | FrameKind::Ping | FrameKind::Pong | FrameKind::Close => {
                self.buffer.len() + due
            }
        };
        self.grow(part.len(), ceiling);
        self.buffer.extend_from_slice(part);
        match (frame.kind, &mut self.message) {
            (FrameKind::Part | FrameKind::Last, Some(message)) => {
                message.len += narrow(part.len());
                message.check_text(&self.buffer)
            }
            (FrameKind::Part | FrameKind::Last, None) => {
                unreachable!("a data frame is admitted into a message")
            }
            (FrameKind::Ping | FrameKind::Pong | FrameKind::Close, _) => Ok(()),
        }
    }

    /// Reserves memory for received bytes, never for declared bytes: doubles the capacity up to the ceiling.
    fn grow(&mut self, extra: usize, ceiling: usize) {
        let needed = self.buffer.len() + extra;
        if needed > self.buffer.capacity() {
            let target = needed.max(ceiling.min(self.buffer.capacity() * 2));
            self.buffer.reserve_exact(target - self.buffer.len());
        }
    }
}

impl OpenMessage {
    /// Validates the bytes since the last call; an incomplete character at the end is not an error yet.
    fn check_text(&mut self, buffered: &[u8]) -> Result<(), CodecError> {
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        let fresh = buffered.get(widen(self.valid_len)..).unwrap_or_default();
        match str::from_utf8(fresh) {
            Ok(_) => self.valid_len = self.len,
            Err(error) if error.error_len().is_none() => {
                self.valid_len += narrow(error.valid_up_to());
            }
            Err(_) => return Err(CodecError::TextUtf8),
        }
        Ok(())
    }

    fn has_incomplete_character(&self) -> bool {
        self.kind == MessageKind::Text && self.valid_len < self.len
    }
}

fn header_len(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("a header has at most 14 bytes")
}

fn widen(length: u32) -> usize {
    usize::try_from(length).expect("an address has at least 32 bits")
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a payload is below its 32-bit limit")
}
