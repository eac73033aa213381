//! Decodes one read into whole messages: collects what the reader of frames returns.
//!
//! The result does not depend on how the stream is split into reads. Shells call it through [`super::Decoder::read`].

use super::{WebSocketEvent, WebSocketLimits};
use crate::websocket::frame_reader::Step;
use crate::websocket::{CodecError, FrameReading};

/// A read that is being decoded. The caller polls until [`Self::next_event`] returns `None`, or takes the rest of the
/// read with [`Self::into_rest`] and decodes it later.
#[derive(Debug)]
pub struct Reading<'a> {
    frames: FrameReading<'a>,
    /// The buffer of the decoder.
    buffer: &'a mut Vec<u8>,
    limits: WebSocketLimits,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(
        frames: FrameReading<'a>,
        buffer: &'a mut Vec<u8>,
        limits: WebSocketLimits,
    ) -> Self {
        Self {
            frames,
            buffer,
            limits,
        }
    }

    /// Returns the next event, or `None` when the input is consumed; an incomplete frame is kept for the next read.
    ///
    /// # Errors
    ///
    /// The first protocol violation of the peer. After it, and after a close event, there is no further event or error.
    pub fn next_event(&mut self) -> Result<Option<WebSocketEvent<'_>>, CodecError> {
        self.release();
        loop {
            let step = self.frames.advance();
            match step.inspect_err(|_| *self.buffer = Vec::new())? {
                Some(Step::Part { kind, part }) => {
                    if part.is_last && self.buffer.is_empty() {
                        let payload = part.bytes;
                        return Ok(Some(WebSocketEvent::Message { kind, payload }));
                    }
                    let bytes_to_end = if part.is_last {
                        Some(0)
                    } else {
                        self.frames.reader().bytes_to_end()
                    };
                    self.push(part.bytes, bytes_to_end);
                    if part.is_last {
                        let payload = self.buffer.as_slice();
                        return Ok(Some(WebSocketEvent::Message { kind, payload }));
                    }
                }
                Some(Step::Control { kind, in_place }) => {
                    return self.frames.control(kind, in_place).map(Some);
                }
                None => return Ok(None),
            }
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
        if self.buffer.capacity() > 0 && (reader.is_finished() || !reader.is_within_message()) {
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
