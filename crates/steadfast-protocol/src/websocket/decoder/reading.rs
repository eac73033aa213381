//! One pass over one read: the state machine of [`Decoder`], step by step.
//!
//! Each call of [`Reading::next_event`] takes heads and payloads from the input until something is whole. The outcome
//! never depends on where the stream was cut into reads. Called by shells through [`Decoder::read`].

use std::mem;

use super::{Decoder, Event, FrameKind, OpenFrame, OpenMessage, Phase};
use crate::websocket::header::FrameHeader;
use crate::websocket::{CodecError, MessageKind, Opcode, close, mask};

/// A read that is being taken in. Pull until [`Self::next_event`] returns none, or the rest of the read is lost.
#[derive(Debug)]
pub struct Reading<'a> {
    decoder: &'a mut Decoder,
    /// What is not taken yet.
    input: &'a mut [u8],
}

impl<'a> Reading<'a> {
    pub(super) const fn new(decoder: &'a mut Decoder, input: &'a mut [u8]) -> Self {
        Self { decoder, input }
    }

    /// The next event, or none when the input is used up; a cut frame is kept for the next read.
    ///
    /// # Errors
    ///
    /// The peer's first violation. After it, and after a close event, there is never another event or error.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, CodecError> {
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
        if ready.what == What::Close {
            self.decoder.phase = Phase::Finished;
        }
        let payload = ready.in_place.unwrap_or_else(|| self.decoder.held_event());
        ready.what.into_event(payload).map(Some)
    }

    /// Takes from the input until a message or a control frame is whole.
    fn advance(&mut self) -> Result<Option<Ready<'a>>, CodecError> {
        loop {
            let (frame, is_fresh) = match self.decoder.frame.take() {
                Some(frame) => (frame, false),
                None => match self.take_header()? {
                    Some(header) => (self.decoder.admit(header)?, true),
                    None => return Ok(None),
                },
            };
            let (piece, frame) = self.take_payload(frame);
            if is_fresh && frame.missing == 0 && !self.decoder.must_hold(frame.kind) {
                return self.decoder.complete_in_place(frame.kind, piece).map(Some);
            }
            self.decoder.hold(frame, piece)?;
            if frame.missing > 0 {
                self.decoder.frame = Some(frame);
                return Ok(None);
            }
            if let Some(what) = self.decoder.complete_held(frame.kind)? {
                return Ok(Some(Ready {
                    what,
                    in_place: None,
                }));
            }
        }
    }

    /// The next head; none when the input ends before it does, its bytes are then kept.
    #[inline]
    fn take_header(&mut self) -> Result<Option<FrameHeader>, CodecError> {
        let decoder = &mut *self.decoder;
        let kept = usize::from(decoder.head_len);
        if kept == 0
            && let Some((header, len)) = FrameHeader::parse(decoder.role, self.input)?
        {
            self.take_input(len);
            return Ok(Some(header));
        }
        let (_, place) = decoder.head.split_at_mut(kept);
        let copied = place.len().min(self.input.len());
        for (target, source) in place.iter_mut().zip(self.input.iter()) {
            *target = *source;
        }
        let (head, _) = decoder.head.split_at(kept + copied);
        let parsed = FrameHeader::parse(decoder.role, head)?;
        decoder.head_len = match parsed {
            Some(_) => 0,
            None => head_len(head),
        };
        // The bytes of earlier reads were no whole head, so the whole one ends inside this input.
        self.take_input(parsed.map_or(copied, |(_, len)| len - kept));
        Ok(parsed.map(|(header, _)| header))
    }

    /// As much of the frame's payload as the input has, unmasked, and what is then left of the frame.
    #[inline]
    fn take_payload(&mut self, mut frame: OpenFrame) -> (&'a [u8], OpenFrame) {
        let piece = self.take_input(widen(frame.missing).min(self.input.len()));
        if let Some(key) = frame.mask {
            frame.mask = Some(mask::apply(key, piece));
        }
        frame.missing -= narrow(piece.len());
        (piece, frame)
    }

    fn take_input(&mut self, len: usize) -> &'a mut [u8] {
        let (taken, rest) = mem::take(&mut self.input).split_at_mut(len);
        self.input = rest;
        taken
    }
}

/// Something whole, with its payload if that lies in the input.
struct Ready<'a> {
    what: What,
    in_place: Option<&'a [u8]>,
}

/// Which event a payload becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Message(MessageKind),
    Ping,
    Pong,
    Close,
}

impl What {
    fn into_event(self, payload: &[u8]) -> Result<Event<'_>, CodecError> {
        Ok(match self {
            Self::Message(kind) => Event::Message { kind, payload },
            Self::Ping => Event::Ping(payload),
            Self::Pong => Event::Pong(payload),
            Self::Close => {
                let (code, reason) = close::parse(payload)?;
                Event::Close { code, reason }
            }
        })
    }
}

impl Decoder {
    /// Frees what the previous event had borrowed.
    #[inline]
    fn release(&mut self) {
        if self.held.capacity() > 0 && self.frame.is_none() {
            let kept = self.message_len();
            self.held.truncate(kept);
            if kept == 0 {
                self.held = Vec::new();
            }
        }
    }

    /// Ignores the peer from now on.
    fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.held = Vec::new();
        self.frame = None;
        self.message = None;
    }

    /// How many held bytes belong to the open message.
    fn message_len(&self) -> usize {
        self.message.map_or(0, |message| widen(message.len))
    }

    /// The payload that was completed in the private buffer: all of it, or what follows the open message.
    fn held_event(&self) -> &[u8] {
        self.held.get(self.message_len()..).unwrap_or_default()
    }

    /// Checks a head against the state of the message and the limits, and counts it in.
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

    /// True when a frame that lies whole in the input must be kept all the same: the message around it is open.
    #[inline]
    fn must_hold(&self, kind: FrameKind) -> bool {
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
        let what = match kind {
            FrameKind::Part | FrameKind::Last => {
                let kind = self.take_message();
                if kind == MessageKind::Text && str::from_utf8(payload).is_err() {
                    return Err(CodecError::TextUtf8);
                }
                What::Message(kind)
            }
            FrameKind::Ping => What::Ping,
            FrameKind::Pong => What::Pong,
            FrameKind::Close => What::Close,
        };
        Ok(Ready {
            what,
            in_place: Some(payload),
        })
    }

    /// The frame's payload is complete in the private buffer; none if its message goes on.
    fn complete_held(&mut self, kind: FrameKind) -> Result<Option<What>, CodecError> {
        Ok(match kind {
            FrameKind::Part => None,
            FrameKind::Last => {
                if self
                    .message
                    .is_some_and(|message| message.has_cut_character())
                {
                    return Err(CodecError::TextUtf8);
                }
                Some(What::Message(self.take_message()))
            }
            FrameKind::Ping => Some(What::Ping),
            FrameKind::Pong => Some(What::Pong),
            FrameKind::Close => Some(What::Close),
        })
    }

    fn take_message(&mut self) -> MessageKind {
        self.message
            .take()
            .expect("a data frame is admitted into a message")
            .kind
    }

    /// Keeps a piece of the frame's payload; text is checked at once, so that a wrong byte is noticed when it comes.
    fn hold(&mut self, frame: OpenFrame, piece: &[u8]) -> Result<(), CodecError> {
        let due = piece.len() + widen(frame.missing);
        let ceiling = match frame.kind {
            FrameKind::Part => widen(self.limits.message_bytes_max),
            FrameKind::Last | FrameKind::Ping | FrameKind::Pong | FrameKind::Close => {
                self.held.len() + due
            }
        };
        self.grow(piece.len(), ceiling);
        self.held.extend_from_slice(piece);
        match (frame.kind, &mut self.message) {
            (FrameKind::Part | FrameKind::Last, Some(message)) => {
                message.len += narrow(piece.len());
                message.check_text(&self.held)
            }
            (FrameKind::Part | FrameKind::Last, None) => {
                unreachable!("a data frame is admitted into a message")
            }
            (FrameKind::Ping | FrameKind::Pong | FrameKind::Close, _) => Ok(()),
        }
    }

    /// Makes room for bytes that are here, never for bytes that are only announced: doubles up to the ceiling.
    fn grow(&mut self, extra: usize, ceiling: usize) {
        let needed = self.held.len() + extra;
        if needed > self.held.capacity() {
            let target = needed.max(ceiling.min(self.held.capacity() * 2));
            self.held.reserve_exact(target - self.held.len());
        }
    }
}

impl OpenMessage {
    /// Checks what came since the last call; a character that is only cut is no error yet.
    fn check_text(&mut self, held: &[u8]) -> Result<(), CodecError> {
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        let fresh = held.get(widen(self.valid_len)..).unwrap_or_default();
        match str::from_utf8(fresh) {
            Ok(_) => self.valid_len = self.len,
            Err(error) if error.error_len().is_none() => {
                self.valid_len += narrow(error.valid_up_to());
            }
            Err(_) => return Err(CodecError::TextUtf8),
        }
        Ok(())
    }

    fn has_cut_character(&self) -> bool {
        self.kind == MessageKind::Text && self.valid_len < self.len
    }
}

fn head_len(head: &[u8]) -> u8 {
    u8::try_from(head.len()).expect("a head has at most 14 bytes")
}

fn widen(length: u32) -> usize {
    usize::try_from(length).expect("an address has at least 32 bits")
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a payload is below its 32-bit limit")
}
