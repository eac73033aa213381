//! The end of the last clean shutdown of a segment, byte for byte.
//!
//! Little endian: `end u64 | check u64`, at a fixed byte position far from the records. It is written and synced after
//! the record of the clean shutdown is durable, and repeats where that record ends. So corrupt records at the end of a
//! log that was closed cleanly are not taken for a torn write. It is evidence, like the `synced` of a record: the bytes
//! below it were durable once, and are never truncated. So it stays true when a later start continues the segment, and
//! an incomplete one, which a crash during the shutdown leaves, proves nothing.

use crate::check;
use crate::identity::SegmentSecret;

/// The end and its check.
const BYTES: usize = 16;

/// Encodes the byte position below which everything was durable.
pub(crate) fn encode(secret: &SegmentSecret, end: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(&end.to_le_bytes());
    bytes.extend_from_slice(&check::keyed(secret, &bytes).to_le_bytes());
    bytes
}

/// Decodes the byte position; `None` when there was no clean shutdown, or its end is not completely written.
pub(crate) fn decode(secret: &SegmentSecret, bytes: &[u8]) -> Option<u32> {
    let (end, rest) = bytes.split_first_chunk::<8>()?;
    let check = rest.first_chunk::<8>()?;
    if check::keyed(secret, end) != u64::from_le_bytes(*check) {
        return None;
    }
    u32::try_from(u64::from_le_bytes(*end)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_back_and_no_changed_byte_passes() {
        let secret = SegmentSecret::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let bytes = encode(&secret, 777);

        assert_eq!(decode(&secret, &bytes), Some(777));
        assert_eq!(decode(&secret, &[0; BYTES]), None);
        let other = SegmentSecret::new(std::array::from_fn(|at| u8::try_from(at / 3).unwrap()));
        assert_eq!(decode(&other, &bytes), None);
        for at in 0..bytes.len() {
            for change in 1..=255 {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert_eq!(decode(&secret, &changed), None, "byte {at} ^ {change}");
            }
        }
    }
}
