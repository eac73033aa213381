//! Decodes one read into whole messages: collects what the reader of frames returns.
//!
//! The result does not depend on how the stream is split into reads. Shells call it through [`super::Decoder::read`].

use super::{Content, WebSocketEvent, WebSocketLimits};
use crate::websocket::frame_reader::Step;
use crate::websocket::{CodecError, FrameReading, Part};

/// A read that is being decoded. The caller polls until [`Self::next_event`] returns `None`, or takes the rest of the
/// read with [`Self::into_rest`] and decodes it later.
#[derive(Debug)]
pub struct Reading<'a> {
    frames: FrameReading<'a>,
    /// The buffer of the decoder.
    buffer: &'a mut Vec<u8>,
    limits: WebSocketLimits,
    /// The open message is above the limits.
    is_skipping: &'a mut bool,
}

/// What is done with a part of a message.
enum Taken {
    /// It was added to the buffer; the message is incomplete.
    Kept,
    /// The message is complete, and in the buffer.
    Complete,
    /// The message is above the limits: this part, after what the buffer has of it.
    Skipped,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(
        frames: FrameReading<'a>,
        buffer: &'a mut Vec<u8>,
        limits: WebSocketLimits,
        is_skipping: &'a mut bool,
    ) -> Self {
        Self {
            frames,
            buffer,
            limits,
            is_skipping,
        }
    }

    /// Returns the next event, or `None` when the input is consumed; an incomplete frame is kept for the next read. A decoder
    /// that skips messages above its limit returns nothing of them here.
    ///
    /// # Errors
    ///
    /// The first protocol violation of the peer. After it, and after a close event, there is no further event or error.
    pub fn next_event(&mut self) -> Result<Option<WebSocketEvent<'_>>, CodecError> {
        self.release();
        loop {
            match self.advance()? {
                Some(Step::Part { kind, part }) => match self.take(part) {
                    Taken::Complete => {
                        let payload = self.complete(part);
                        return Ok(Some(WebSocketEvent::Message { kind, payload }));
                    }
                    Taken::Skipped => self.release(),
                    Taken::Kept => {}
                },
                Some(Step::Control { kind, in_place }) => {
                    return self.frames.control(kind, in_place).map(Some);
                }
                None => return Ok(None),
            }
        }
    }

    /// As [`Self::next_event`], with the parts of messages that are skipped.
    ///
    /// # Errors
    ///
    /// As for [`Self::next_event`].
    pub fn next_content(&mut self) -> Result<Option<WebSocketEvent<'_, Content<'_>>>, CodecError> {
        self.release();
        loop {
            match self.advance()? {
                Some(Step::Part { kind, part }) => {
                    let payload = match self.take(part) {
                        Taken::Kept => continue,
                        Taken::Complete => Content::Whole(self.complete(part)),
                        Taken::Skipped => {
                            let bytes = self.complete(part);
                            let is_last = part.is_last;
                            Content::Skipped(Part { bytes, is_last })
                        }
                    };
                    return Ok(Some(WebSocketEvent::Message { kind, payload }));
                }
                Some(Step::Control { kind, in_place }) => {
                    return self.frames.control(kind, in_place).map(Some);
                }
                None => return Ok(None),
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Step<'a>>, CodecError> {
        let step = self.frames.advance();
        step.inspect_err(|_| *self.buffer = Vec::new())
    }

    /// Keeps a part of the open message in the buffer, unless it is the whole message or nothing precedes what is skipped.
    fn take(&mut self, part: Part<'_>) -> Taken {
        let is_alone = self.buffer.is_empty();
        let missing = self.frames.reader().frame_bytes_missing();
        let needed = self.buffer.len() + part.bytes.len();
        let is_over = u64::try_from(needed).map_or(true, |needed| {
            needed.saturating_add(missing) > u64::from(self.limits.message_bytes_max)
        });
        if *self.is_skipping || is_over {
            *self.is_skipping = !part.is_last;
            if !is_alone {
                self.buffer.extend_from_slice(part.bytes);
            }
            return Taken::Skipped;
        }
        if part.is_last && is_alone {
            return Taken::Complete;
        }
        let bytes_to_end = if part.is_last {
            Some(0)
        } else {
            self.frames.reader().bytes_to_end()
        };
        self.push(part.bytes, bytes_to_end);
        if part.is_last {
            Taken::Complete
        } else {
            Taken::Kept
        }
    }

    /// The part with what precedes it in the buffer.
    const fn complete<'b>(&'b self, part: Part<'b>) -> &'b [u8] {
        if self.buffer.is_empty() {
            part.bytes
        } else {
            self.buffer.as_slice()
        }
    }

    /// Stops decoding, and returns the input after the last event: it is decoded by a later read, before anything else.
    pub fn into_rest(mut self) -> &'a mut [u8] {
        self.release();
        self.frames.into_rest()
    }

    /// Frees the memory of the message that the previous event borrowed.
    #[inline]
    fn release(&mut self) {
        let reader = self.frames.reader();
        let is_free = reader.is_finished() || !reader.is_within_message() || *self.is_skipping;
        if self.buffer.capacity() > 0 && is_free {
            *self.buffer = Vec::new();
        }
    }

    /// Adds a part of the open message. Reserves memory for received bytes, never for declared bytes: doubles the
    /// capacity up to what the message may still need.
    fn push(&mut self, part: &[u8], bytes_to_end: Option<u64>) {
        let needed = self.buffer.len() + part.len();
        if needed > self.buffer.capacity() {
            let limit = widen(u64::from(self.limits.message_bytes_max));
            let ceiling = bytes_to_end.map_or(limit, |missing| needed + widen(missing));
            let target = needed.max(ceiling.min(self.buffer.capacity() * 2));
            self.buffer.reserve_exact(target - self.buffer.len());
        }
        self.buffer.extend_from_slice(part);
    }
}

fn widen(length: u64) -> usize {
    usize::try_from(length).expect("a message is below its 32-bit limit")
}
