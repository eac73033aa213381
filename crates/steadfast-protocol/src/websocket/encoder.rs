//! Encodes messages into frames. A server's frame depends only on its message, so it is encoded once and shared.
//!
//! [`encode_server`] creates a shareable [`Bytes`]; [`Frame::append_server`] and [`Frame::append_client`] append to the
//! memory of a caller. The encoder has no state: the caller keeps the order of fragments, and sends nothing after a
//! close frame.

use bytes::{BufMut, Bytes};

use super::header::{FrameHeader, HEADER_BYTES_MAX};
use super::mask::{self, MaskKey};
use super::{Opcode, Role};

/// The longest header of an unmasked frame.
const SERVER_HEADER_BYTES_MAX: usize = 10;

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
pub fn encode_server(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(SERVER_HEADER_BYTES_MAX + payload.len());
    Frame::unfragmented(opcode, payload).append_server(&mut out);
    Bytes::from(out)
}

/// Returns the length of the server's frame at the start of `bytes`, header included; `None` if its header is incomplete
/// or invalid. The payload may be incomplete.
pub fn server_frame_len(bytes: &[u8]) -> Option<usize> {
    let (header, header_len) = FrameHeader::parse(Role::Client, bytes).ok()??;
    let payload_len = usize::try_from(header.payload_bytes).ok()?;
    payload_len.checked_add(header_len)
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

fn put_header(out: &mut impl BufMut, header: FrameHeader) {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let start = header.write_before_end(&mut bytes);
    out.put_slice(bytes.split_at(start).1);
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits into 64 bits")
}
