//! The layout of a segment, and its header, byte for byte.
//!
//! ```text
//! 0            the header
//! 256          records
//! size - 1024  a copy of the header
//! size - 512   the end of the last clean shutdown
//! ```
//!
//! Little endian: `magic [8] | version u32 | check u32 | number u64 | size u64 | directory [16] | incarnation u64 |
//! secret [192] | check u64`. The first check covers magic and version, so that every version of the format can be
//! recognised; the second covers everything before itself. A segment gets its name only when it is complete, so a named
//! segment without its header, without the copy, or of another size is corrupt. The header is never written again.

use steadfast_machine::convert;

use crate::check;
use crate::identity::{DirectoryId, SegmentSecret};
use crate::io::SegmentNumber;
use crate::segment::Segment;

/// The version of the format that the log writes, and the only version that it reads.
pub const FORMAT_VERSION: u32 = 3;

/// The byte position of the first record: the length of the header.
pub(crate) const RECORDS_AT: u64 = convert::to_u64(HEADER_BYTES);
/// Bytes at the end of a segment that hold no records.
const TRAILER_BYTES: usize = 1024;
/// Bytes of a segment that hold no records.
pub(crate) const OVERHEAD_BYTES: u64 = RECORDS_AT + convert::to_u64(TRAILER_BYTES);
/// The largest segment: byte positions in a segment fit in 32 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// Not text in any encoding, and changed by a transfer that converts line ends.
const MAGIC: [u8; 8] = *b"\x89SFLOG\r\n";
pub(crate) const HEADER_BYTES: usize = 256;
const PROLOGUE_BYTES: usize = 16;
const CHECKED_BYTES: usize = HEADER_BYTES - 8;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: SegmentNumber,
    /// The size of the segment in bytes.
    pub(crate) size: u64,
    /// The data directory to which the segment belongs.
    pub(crate) directory: DirectoryId,
    /// The start that reserved the segment.
    pub(crate) incarnation: u64,
    pub(crate) secret: SegmentSecret,
}

/// Why bytes are not the header of this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Invalid,
    /// The segment has another version of the format.
    UnsupportedVersion(u32),
}

/// The byte position of the copy of the header in a segment of this size.
pub(crate) const fn copy_at(size: u64) -> u64 {
    size.saturating_sub(convert::to_u64(TRAILER_BYTES))
}

/// The byte position of the end of the last clean shutdown in a segment of this size.
pub(crate) const fn clean_end_at(size: u64) -> u64 {
    size.saturating_sub(convert::to_u64(TRAILER_BYTES / 2))
}

/// The byte position at which the records of a segment of this size end.
pub(crate) const fn records_end(size: u64) -> u64 {
    copy_at(size)
}

/// The bytes of a segment of this size that hold records.
pub(crate) const fn records_len(size: u64) -> u64 {
    size.saturating_sub(OVERHEAD_BYTES)
}

impl SegmentHeader {
    /// The segment that has this header.
    pub(crate) const fn segment(&self) -> Segment {
        Segment {
            number: self.number,
            size: self.size,
            secret: self.secret,
        }
    }

    /// The first bytes of the segment, and the last, which hold the copy.
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], Vec<u8>) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&prologue_check(&bytes).to_le_bytes());
        bytes.extend_from_slice(&self.number.0.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.directory.0);
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&check::plain(&bytes).to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes);
        bytes.resize(TRAILER_BYTES, 0);
        (header, bytes)
    }

    /// Decodes the header of a segment from its first bytes, or from the copy.
    pub(crate) fn decode(number: SegmentNumber, bytes: &[u8]) -> Result<Self, HeaderError> {
        if is_format_1(number, bytes) {
            return Err(HeaderError::UnsupportedVersion(1));
        }
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(HeaderError::Invalid)?;
        check_version(header)?;
        Self::decode_fields(header)
            .filter(|decoded| decoded.number == number)
            .ok_or(HeaderError::Invalid)
    }

    fn decode_fields(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (checked, check) = header.split_at_checked(CHECKED_BYTES)?;
        let check = u64::from_le_bytes(check.try_into().ok()?);
        if check::plain(checked) != check {
            return None;
        }
        let rest = checked.get(PROLOGUE_BYTES..)?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (directory, rest) = rest.split_first_chunk::<{ DirectoryId::BYTES }>()?;
        let (incarnation, rest) = rest.split_first_chunk::<8>()?;
        let (secret, _) = rest.split_first_chunk::<{ SegmentSecret::BYTES }>()?;
        let size = u64::from_le_bytes(*size);
        (OVERHEAD_BYTES..=SEGMENT_BYTES_MAX)
            .contains(&size)
            .then_some(Self {
                number: SegmentNumber(u64::from_le_bytes(*number)),
                size,
                directory: DirectoryId(*directory),
                incarnation: u64::from_le_bytes(*incarnation),
                secret: SegmentSecret::new(*secret),
            })
    }

    /// The header of a complete segment: the copy counts if the header is corrupt.
    pub(crate) fn find(number: SegmentNumber, segment: &[u8]) -> Option<Self> {
        let len = convert::to_u64(segment.len());
        let copy = segment.get(usize::try_from(copy_at(len)).ok()?..)?;
        Self::decode(number, segment)
            .or_else(|_| Self::decode(number, copy))
            .ok()
    }
}

fn check_version(header: &[u8; HEADER_BYTES]) -> Result<(), HeaderError> {
    let (prologue, rest) = header
        .split_first_chunk::<12>()
        .ok_or(HeaderError::Invalid)?;
    let check = rest.first_chunk::<4>().ok_or(HeaderError::Invalid)?;
    let version = prologue.last_chunk::<4>().ok_or(HeaderError::Invalid)?;
    if !prologue.starts_with(&MAGIC) || prologue_check(prologue) != u32::from_le_bytes(*check) {
        return Err(HeaderError::Invalid);
    }
    match u32::from_le_bytes(*version) {
        FORMAT_VERSION => Ok(()),
        version => Err(HeaderError::UnsupportedVersion(version)),
    }
}

fn prologue_check(magic_and_version: &[u8]) -> u32 {
    let [a, b, c, d, ..] = check::plain(magic_and_version).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Whether a segment begins as a segment of format 1 does: with a record of 33 bytes that holds the segment's number,
/// the kind of a header, and version 1. Damage of a later format cannot have this form.
fn is_format_1(number: SegmentNumber, bytes: &[u8]) -> bool {
    let field =
        |at: usize, expected: &[u8]| bytes.get(at..).is_some_and(|at| at.starts_with(expected));
    field(4, &33_u32.to_le_bytes())
        && field(8, &number.0.to_le_bytes())
        && field(24, &[1])
        && field(25, &1_u32.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: SegmentNumber = SegmentNumber(3);

    fn header() -> SegmentHeader {
        SegmentHeader {
            number: NUMBER,
            size: 4096,
            directory: DirectoryId([7; 16]),
            incarnation: 9,
            secret: SegmentSecret::new(std::array::from_fn(|at| u8::try_from(at).unwrap())),
        }
    }

    #[test]
    fn a_header_and_its_copy_are_read_back_and_no_changed_byte_passes() {
        let (first, last) = header().encode();

        assert_eq!(SegmentHeader::decode(NUMBER, &first), Ok(header()));
        assert_eq!(SegmentHeader::decode(NUMBER, &last), Ok(header()));
        assert_eq!(last.len(), TRAILER_BYTES);
        for at in 0..first.len() {
            for change in 1..=255 {
                let mut changed = first;
                changed[at] ^= change;
                assert_eq!(
                    SegmentHeader::decode(NUMBER, &changed),
                    Err(HeaderError::Invalid),
                    "byte {at} ^ {change}"
                );
            }
        }
        for len in 0..first.len() {
            let found = SegmentHeader::decode(NUMBER, &first[..len]);
            assert_eq!(found, Err(HeaderError::Invalid), "the first {len} bytes");
        }
    }

    #[test]
    fn a_segment_under_the_name_of_another_is_invalid() {
        let (first, _) = header().encode();

        assert_eq!(
            SegmentHeader::decode(SegmentNumber(4), &first),
            Err(HeaderError::Invalid)
        );
    }

    #[test]
    fn other_versions_are_recognised_whatever_follows_their_version() {
        let mut later = [0xee; HEADER_BYTES];
        later[..8].copy_from_slice(&MAGIC);
        later[8..12].copy_from_slice(&7_u32.to_le_bytes());
        let check = prologue_check(&later[..12]);
        later[12..16].copy_from_slice(&check.to_le_bytes());
        let first = |number: u64| {
            let mut bytes = vec![0xcc; 4];
            bytes.extend_from_slice(&33_u32.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 1]);
            bytes.extend_from_slice(&1_u32.to_le_bytes());
            bytes
        };

        assert_eq!(
            SegmentHeader::decode(NUMBER, &later),
            Err(HeaderError::UnsupportedVersion(7))
        );
        assert_eq!(
            SegmentHeader::decode(NUMBER, &first(3)),
            Err(HeaderError::UnsupportedVersion(1))
        );
        assert_eq!(
            SegmentHeader::decode(NUMBER, &first(2)),
            Err(HeaderError::Invalid)
        );
    }
}
