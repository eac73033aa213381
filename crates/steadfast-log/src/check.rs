//! The checks over stored bytes: XXH3 with 64 bits, keyed or not.
//!
//! A decision record gives the reasons for the algorithm. The module knows no layout: records, headers and the end of a
//! clean shutdown choose what they cover.

use twox_hash::XxHash3_64;

use crate::identity::SegmentSecret;

/// The check of bytes that a publisher may have chosen, keyed with the segment's secret.
pub(crate) fn keyed(secret: &SegmentSecret, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_secret(secret.as_bytes(), bytes)
        .expect("the secret is longer than the shortest key")
}

/// The check of bytes that no publisher can choose, and that are read before the secret is known.
pub(crate) fn plain(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The hash of bytes that must be the same in every segment; different seeds give unrelated hashes.
pub(crate) fn seeded(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}
