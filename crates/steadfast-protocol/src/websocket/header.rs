//! The header of a frame (RFC 6455, section 5.2), encoded and decoded, at most 14 bytes.
//!
//! This module checks each header alone, byte by byte, so that the result does not depend on how many bytes are
//! available. The decoder checks the header against the open message.

use super::mask::MaskKey;
use super::{CodecError, Opcode, Role};

/// The longest header: two bytes, a 64-bit length, a masking key.
pub(super) const HEADER_BYTES_MAX: usize = 14;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// The longest payload of a control frame, and the longest length that fits into seven bits.
const SHORT_BYTES_MAX: u8 = 125;

/// The header of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// `true` for the last frame of its message.
    pub(super) is_final: bool,
    /// Kind of the frame.
    pub(super) opcode: Opcode,
    /// Length of the payload.
    pub(super) payload_bytes: u64,
    /// Masking key of a client's frame.
    pub(super) mask: Option<MaskKey>,
}

impl FrameHeader {
    /// Decodes a header from the start of `bytes` and returns it with its length; `None` when more bytes are needed.
    #[inline]
    pub(super) fn parse(role: Role, bytes: &[u8]) -> Result<Option<(Self, usize)>, CodecError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let opcode = check_first(first)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        check_second(role, opcode, second)?;
        let Some((payload_bytes, rest)) = parse_length(second & LENGTH, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            match rest.split_first_chunk::<4>() {
                Some((key, rest)) => (Some(*key), rest),
                None => return Ok(None),
            }
        };
        let header = Self {
            is_final: first & FINAL != 0,
            opcode,
            payload_bytes,
            mask,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// Writes the header at the end of `target` and returns the index of its first byte.
    pub(super) fn write_before_end(self, target: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let first = self.opcode.bits() | if self.is_final { FINAL } else { 0 };
        let mut writer = BackWriter {
            target,
            start: HEADER_BYTES_MAX,
        };
        if let Some(key) = self.mask {
            writer.put(&key);
        }
        if let Ok(short @ 0..=SHORT_BYTES_MAX) = u8::try_from(self.payload_bytes) {
            writer.put(&[first, masked | short]);
        } else if let Ok(medium) = u16::try_from(self.payload_bytes) {
            writer.put(&medium.to_be_bytes());
            writer.put(&[first, masked | LENGTH_16]);
        } else {
            writer.put(&self.payload_bytes.to_be_bytes());
            writer.put(&[first, masked | LENGTH_64]);
        }
        writer.start
    }
}

/// Checks final bit, reserved bits and opcode.
fn check_first(first: u8) -> Result<Opcode, CodecError> {
    // The first reserved bit marks a compressed message once RFC 7692 is negotiated; until then all three bits are
    // errors.
    if first & RESERVED != 0 {
        return Err(CodecError::ReservedBit);
    }
    let opcode = Opcode::from_bits(first & OPCODE).ok_or(CodecError::ReservedOpcode)?;
    if opcode.is_control() && first & FINAL == 0 {
        return Err(CodecError::ControlFragmented);
    }
    Ok(opcode)
}

/// Checks the mask bit and the seven bits of length.
fn check_second(role: Role, opcode: Opcode, second: u8) -> Result<(), CodecError> {
    let is_masked = second & MASKED != 0;
    match role {
        Role::Server if !is_masked => return Err(CodecError::MaskMissing),
        Role::Client if is_masked => return Err(CodecError::MaskForbidden),
        Role::Server | Role::Client => {}
    }
    if opcode.is_control() && second & LENGTH > SHORT_BYTES_MAX {
        return Err(CodecError::ControlTooLong);
    }
    Ok(())
}

/// Decodes the length and returns it with the bytes after it; `None` when more bytes are needed.
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, CodecError> {
    match short {
        LENGTH_16 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u16::from_be_bytes(*length);
            if length <= u16::from(SHORT_BYTES_MAX) {
                return Err(CodecError::LengthNotMinimal);
            }
            Ok(Some((u64::from(length), rest)))
        }
        LENGTH_64 => {
            let Some((length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*length);
            if length >> 63 != 0 {
                return Err(CodecError::LengthTopBit);
            }
            if u16::try_from(length).is_ok() {
                return Err(CodecError::LengthNotMinimal);
            }
            Ok(Some((length, rest)))
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

/// Fills an array from its end, because the length of a header is known only after writing it.
struct BackWriter<'a> {
    target: &'a mut [u8; HEADER_BYTES_MAX],
    start: usize,
}

impl BackWriter<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.start;
        self.start = end.saturating_sub(bytes.len());
        if let Some(free) = self.target.get_mut(self.start..end) {
            free.copy_from_slice(bytes);
        }
    }
}
