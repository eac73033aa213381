//! Encodes messages into frames. A server's frame depends only on its message, so it is encoded once and shared.
//!
//! [`FrameBuilder`] and [`encode_server`] create a shareable [`Bytes`]; [`Frame::append_server`] and
//! [`Frame::append_client`] append to the send buffer of one socket. The encoder has no state: the caller keeps the
//! order of fragments, and sends nothing after a close frame.

use bytes::{Buf as _, BufMut, Bytes};

use super::Opcode;
use super::header::{FrameHeader, HEADER_BYTES_MAX};
use super::mask::{self, MaskKey};

/// The longest header of an unmasked frame, which [`FrameBuilder`] reserves.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

/// Number of bytes that are masked at a time.
const MASK_CHUNK_BYTES: usize = 512;

/// One frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `true` for the last frame of its message; always `true` for control frames.
    pub is_final: bool,
    /// Kind of the frame.
    pub opcode: Opcode,
    /// Payload before masking; at most 125 bytes in control frames.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Returns a frame that is a complete message or a control frame.
    pub const fn unfragmented(opcode: Opcode, payload: &'a [u8]) -> Self {
        Self {
            is_final: true,
            opcode,
            payload,
        }
    }

    /// Appends the frame as a server sends it, unmasked.
    pub fn append_server(&self, out: &mut impl BufMut) {
        put_header(out, self.header(None));
        out.put_slice(self.payload);
    }

    /// Appends the frame as a client sends it, masked. The key must be unpredictable, and new for each frame.
    pub fn append_client(&self, out: &mut impl BufMut, key: MaskKey) {
        put_header(out, self.header(Some(key)));
        let mut key = key;
        let mut chunk = [0; MASK_CHUNK_BYTES];
        for source in self.payload.chunks(MASK_CHUNK_BYTES) {
            let (masked, _) = chunk.split_at_mut(source.len());
            masked.copy_from_slice(source);
            key = mask::apply(key, masked);
            out.put_slice(masked);
        }
    }

    fn header(&self, mask: Option<MaskKey>) -> FrameHeader {
        FrameHeader {
            is_final: self.is_final,
            opcode: self.opcode,
            payload_bytes: widen(self.payload.len()),
            mask,
        }
    }
}

/// Encodes a server's frame once, to be shared by all its receivers.
///
/// This function copies the payload; [`FrameBuilder`] does not.
pub fn encode_server(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + payload.len());
    Frame::unfragmented(opcode, payload).append_server(&mut out);
    Bytes::from(out)
}

/// Splits a message into frames with at most `size` bytes each; an empty message is one empty frame.
///
/// # Panics
///
/// If `size` is 0.
pub fn fragments(opcode: Opcode, payload: &[u8], size: usize) -> impl Iterator<Item = Frame<'_>> {
    assert!(size > 0, "a fragment holds at least one byte");
    let mut rest = Some(payload);
    let mut opcode = opcode;
    std::iter::from_fn(move || {
        let all = rest.take()?;
        let (part, tail) = all.split_at(size.min(all.len()));
        let is_final = tail.is_empty();
        if !is_final {
            rest = Some(tail);
        }
        let frame = Frame {
            is_final,
            opcode,
            payload: part,
        };
        opcode = Opcode::Continuation;
        Some(frame)
    })
}

/// Builds one shareable server frame whose payload is written in place, for example by a JSON encoder.
///
/// ```
/// use steadfast_protocol::websocket::{FrameBuilder, Opcode};
///
/// let mut builder = FrameBuilder::with_capacity(64);
/// builder.buffer().extend_from_slice(b"{}");
/// assert_eq!(&builder.finish(Opcode::Text)[..], b"\x81\x02{}");
/// ```
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    /// Reserved space for the longest header, then the payload.
    buffer: Vec<u8>,
}

impl FrameBuilder {
    /// Creates an empty frame with capacity for a payload of this many bytes; it grows as needed.
    pub fn with_capacity(payload_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + payload_bytes);
        buffer.extend_from_slice(&[0; SERVER_HEADER_BYTES_MAX]);
        Self { buffer }
    }

    /// Returns the buffer to which the payload is appended. The bytes that the buffer already contains must stay.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Returns the current length of the payload.
    pub fn payload_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(SERVER_HEADER_BYTES_MAX)
    }

    /// Returns the frame: the header is written before the payload, which is not copied.
    ///
    /// # Panics
    ///
    /// If bytes of the reserved header were removed from [`Self::buffer`].
    pub fn finish(self, opcode: Opcode) -> Bytes {
        let mut buffer = self.buffer;
        let (reserved, payload) = buffer
            .split_first_chunk_mut::<SERVER_HEADER_BYTES_MAX>()
            .expect("the reserved header is never removed from the buffer");
        let header = FrameHeader {
            is_final: true,
            opcode,
            payload_bytes: widen(payload.len()),
            mask: None,
        };
        let mut bytes = [0; HEADER_BYTES_MAX];
        let start = header.write_before_end(&mut bytes);
        // The scratch buffer is longer than the reserved space, but an unmasked header uses only its last ten bytes.
        let (_, tail) = bytes.split_at(HEADER_BYTES_MAX - SERVER_HEADER_BYTES_MAX);
        reserved.copy_from_slice(tail);
        let mut frame = Bytes::from(buffer);
        // `slice` is not used: it temporarily adds a second owner and allocates memory for that owner.
        frame.advance(start - (HEADER_BYTES_MAX - SERVER_HEADER_BYTES_MAX));
        frame
    }
}

fn put_header(out: &mut impl BufMut, header: FrameHeader) {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let start = header.write_before_end(&mut bytes);
    out.put_slice(bytes.split_at(start).1);
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits into 64 bits")
}
