//! How the space of a segment is divided, so that every checkpoint fits and the size of the log stays bounded.
//!
//! A checkpoint holds all channels, and copies of idempotency keys that are still in the window. Keys are copied before
//! the segments that hold them are removed. Each checkpoint copies a share of a segment at most; a log of more segments
//! has more checkpoints in which to copy, so it holds more keys. The module only calculates; `retention` decides what is
//! copied and removed.

use crate::segment::header::records_len;

/// Bytes that checkpoints and appends leave to control records: the start of the checkpoint, the opening, the clock, the
/// channels that one append replaces, and the end of the segment.
const CONTROL_BYTES: u64 = 1024;

/// The maximum number of bytes of each kind of records in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// The records of all channels in a checkpoint: three eighths.
    pub(crate) channels: u64,
    /// The copies of keys in a checkpoint: an eighth. The last key may exceed it.
    pub(crate) copied_keys: u64,
    /// One copied key: a sixteenth.
    pub(crate) key: u64,
    /// A publication with its channel: a quarter of the segment, or what the other shares leave of a small one.
    pub(crate) record: u64,
}

impl Shares {
    /// The shares of a segment of this size.
    pub(crate) fn of(size: u64) -> Self {
        let available = records_len(size).saturating_sub(CONTROL_BYTES);
        let (channels, copied_keys, key) = (available / 8 * 3, available / 8, available / 16);
        Self {
            channels,
            copied_keys,
            key,
            record: (size / 4).min(available - channels - copied_keys - key),
        }
    }

    /// The size of a segment whose checkpoint has this many bytes of channels, and that can hold a copied key of this
    /// length. It is the size to which the shares belong, unless a larger setting was in effect before.
    pub(crate) fn needed(&self, channels: u64, key: u64) -> u64 {
        let records = channels + self.copied_keys + key.max(self.key) + self.record;
        records + CONTROL_BYTES + super::header::OVERHEAD_BYTES
    }

    /// The maximum number of bytes of all keys in the window, as copies.
    ///
    /// A segment is removed when `segments - 1` others were begun after it, and each of their checkpoints can copy a
    /// share of the keys.
    pub(crate) const fn keys(&self, segments: u64) -> u64 {
        self.copied_keys.saturating_mul(segments.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_fit_into_a_segment_of_any_size() {
        for size in [4 << 10, 5_000, 8 << 10, 64 << 10, 64 << 20, 256 << 20] {
            let shares = Shares::of(size);

            assert!(shares.needed(shares.channels, shares.key) <= size, "{size}");
            assert!(shares.key > 100, "{size}: {shares:?}");
        }
    }

    #[test]
    fn a_record_may_take_a_quarter_of_a_segment_that_is_not_tiny() {
        assert_eq!(Shares::of(8 << 10).record, 2 << 10);
        assert_eq!(Shares::of(64 << 20).record, 16 << 20);
        assert!(Shares::of(4 << 10).record > 600);
    }

    #[test]
    fn a_segment_for_more_channels_or_a_longer_key_is_larger() {
        let shares = Shares::of(64 << 10);

        assert!(shares.needed(shares.channels + 20_000, 0) > 70 << 10);
        assert!(shares.needed(0, 64 << 10) > 64 << 10);
    }
}
