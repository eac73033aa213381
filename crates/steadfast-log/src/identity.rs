//! The random values that a driver draws for the log from the operating system.
//!
//! The log draws nothing: these values arrive in inputs. The identity of a data directory and the secrets of its
//! segments are stored in the headers of the segments.

use std::fmt;

/// The identity of a data directory, drawn once and stored in each of its segments.
///
/// A segment of another directory is detected by its identity, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub [u8; Self::BYTES]);

impl DirectoryId {
    /// The length of an identity.
    pub const BYTES: usize = 16;
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The secret of one segment, drawn for this segment alone.
///
/// It is the key of all checks of the segment's records. A publisher who knows the format but not the secret cannot
/// build a payload that passes as a record, nor one whose damage is not noticed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SegmentSecret([u8; Self::BYTES]);

impl SegmentSecret {
    /// The length of a secret: each word of the key of XXH3 is random, not derived from a shorter key.
    pub const BYTES: usize = 192;

    /// Accepts random bytes from the operating system.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for SegmentSecret {
    /// Shows nothing of the secret, so that no log line contains it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentSecret(..)")
    }
}

/// The random values of one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartValues {
    /// Distinguishes this start from all others; part of the epochs that begin with it.
    pub incarnation: u64,
    /// The identity of the data directory, if it has no segment yet.
    pub directory: DirectoryId,
    /// The secret of the first segment that is reserved.
    pub secret: SegmentSecret,
}
