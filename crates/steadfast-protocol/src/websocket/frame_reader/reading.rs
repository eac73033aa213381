//! Decodes one read: the state machine of [`FrameReader`].
//!
//! Each step consumes headers and payloads from the input until a part of a message or a control frame is there. Shells
//! call it through [`FrameReader::read`], and the decoder of whole messages through its own reading.

use std::mem;

use super::{
    ControlPayload, FrameKind, FrameReader, OpenFrame, Part, ReaderPhase, WebSocketLimits,
};
use crate::websocket::header::FrameHeader;
use crate::websocket::{CodecError, MessageKind, WebSocketEvent, close, mask};

/// A read that is being decoded. The caller polls until [`Self::next_event`] returns `None`, or takes the rest of the
/// read with [`Self::into_rest`] and decodes it later.
#[derive(Debug)]
pub struct FrameReading<'a> {
    reader: &'a mut FrameReader,
    /// The input that is not consumed yet.
    input: &'a mut [u8],
    limits: Option<WebSocketLimits>,
}

impl<'a> FrameReading<'a> {
    pub(super) const fn new(
        reader: &'a mut FrameReader,
        input: &'a mut [u8],
        limits: Option<WebSocketLimits>,
    ) -> Self {
        Self {
            reader,
            input,
            limits,
        }
    }

    /// Returns the next event, or `None` when the input is consumed.
    ///
    /// # Errors
    ///
    /// The first protocol violation of the peer. After it, and after a close event, there is no further event or error.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<WebSocketEvent<'_, Part<'a>>>, CodecError> {
        match self.advance()? {
            Some(Step::Part { kind, part }) => Ok(Some(WebSocketEvent::Message {
                kind,
                payload: part,
            })),
            Some(Step::Control { kind, in_place }) => self.control(kind, in_place).map(Some),
            None => Ok(None),
        }
    }

    /// Stops decoding, and returns the input after the last event: it is decoded by a later read, before anything else.
    pub fn into_rest(self) -> &'a mut [u8] {
        self.reader.release();
        self.input
    }

    /// Returns the reader.
    pub(in crate::websocket) const fn reader(&self) -> &FrameReader {
        self.reader
    }

    /// Returns the event of a control frame that [`Self::advance`] has returned last.
    #[inline]
    pub(in crate::websocket) fn control<'b, P>(
        &'b self,
        kind: ControlKind,
        in_place: Option<&'a [u8]>,
    ) -> Result<WebSocketEvent<'b, P>, CodecError> {
        let buffered = || self.reader.control.as_deref();
        let payload = in_place.unwrap_or_else(|| buffered().map_or(&[], ControlPayload::as_slice));
        Ok(match kind {
            ControlKind::Ping => WebSocketEvent::Ping(payload),
            ControlKind::Pong => WebSocketEvent::Pong(payload),
            ControlKind::Close => {
                let (code, reason) = close::parse(payload)?;
                WebSocketEvent::Close { code, reason }
            }
        })
    }

    /// Consumes input until there is a part of a message, or a complete control frame.
    #[inline]
    pub(in crate::websocket) fn advance(&mut self) -> Result<Option<Step<'a>>, CodecError> {
        match self.reader.phase {
            ReaderPhase::Open => {}
            ReaderPhase::Failed(error) => {
                self.reader.finish();
                return Err(error);
            }
            ReaderPhase::Finished => {
                self.reader.finish();
                return Ok(None);
            }
        }
        self.reader.release();
        let step = self.step();
        match &step {
            Err(_) => self.reader.finish(),
            Ok(Some(Step::Control {
                kind: ControlKind::Close,
                ..
            })) => self.reader.phase = ReaderPhase::Finished,
            Ok(_) => {}
        }
        step
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Step<'a>>, CodecError> {
        loop {
            let (frame, is_fresh) = match self.reader.frame.take() {
                Some(frame) => (frame, false),
                None => match self.take_header()? {
                    Some(header) => (self.reader.admit(header, self.limits)?, true),
                    None => return Ok(None),
                },
            };
            let (bytes, frame) = self.take_payload(frame);
            let is_complete = frame.missing == 0;
            self.reader.frame = (!is_complete).then_some(frame);
            let kind = match frame.kind {
                FrameKind::Part | FrameKind::Last => {
                    let is_last = is_complete && frame.kind == FrameKind::Last;
                    if !bytes.is_empty() || is_last {
                        let (kind, part) = self.reader.take_part(bytes, is_last)?;
                        return Ok(Some(Step::Part { kind, part }));
                    }
                    if is_complete {
                        continue;
                    }
                    return Ok(None);
                }
                FrameKind::Ping => ControlKind::Ping,
                FrameKind::Pong => ControlKind::Pong,
                FrameKind::Close => ControlKind::Close,
            };
            let in_place = (is_complete && is_fresh).then_some(bytes);
            if in_place.is_none() {
                let buffer = &mut self.reader.control;
                let buffer = buffer.get_or_insert_with(|| Box::new(ControlPayload::EMPTY));
                buffer.push(bytes);
            }
            return Ok(is_complete.then_some(Step::Control { kind, in_place }));
        }
    }

    /// Reads the next header; `None` when the input ends first; the bytes of the incomplete header are kept.
    #[inline]
    fn take_header(&mut self) -> Result<Option<FrameHeader>, CodecError> {
        let reader = &mut *self.reader;
        let kept = usize::from(reader.header_len);
        if kept == 0
            && let Some((header, len)) = FrameHeader::parse(reader.role, self.input)?
        {
            self.take_input(len);
            return Ok(Some(header));
        }
        let (_, free) = reader.header.split_at_mut(kept);
        let copied = free.len().min(self.input.len());
        for (target, source) in free.iter_mut().zip(self.input.iter()) {
            *target = *source;
        }
        let (bytes, _) = reader.header.split_at(kept + copied);
        let parsed = FrameHeader::parse(reader.role, bytes)?;
        reader.header_len = match parsed {
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
        let available = self.input.len();
        let len =
            usize::try_from(frame.missing).map_or(available, |missing| missing.min(available));
        let part = self.take_input(len);
        if let Some(key) = frame.mask {
            frame.mask = Some(mask::apply(key, part));
        }
        frame.missing -= u64::try_from(len).expect("a length has at most 64 bits");
        (part, frame)
    }

    fn take_input(&mut self, len: usize) -> &'a mut [u8] {
        let (taken, rest) = mem::take(&mut self.input).split_at_mut(len);
        self.input = rest;
        taken
    }
}

/// What a step has found.
#[derive(Debug)]
pub(in crate::websocket) enum Step<'a> {
    /// A part of a message.
    Part { kind: MessageKind, part: Part<'a> },
    /// A complete control frame, with its payload if the payload is in the input.
    Control {
        kind: ControlKind,
        in_place: Option<&'a [u8]>,
    },
}

/// The kind of a control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::websocket) enum ControlKind {
    Ping,
    Pong,
    Close,
}

fn header_len(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("a header has at most 14 bytes")
}
