//! The results of opening a log: a report, or the corruption that prevents it.
//!
//! Types and their texts only; the work is done in `opening`.

use std::fmt;

use crate::identity::DirectoryId;
use crate::io::{SegmentNumber, StorageError};

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Number of segments that hold records.
    pub segments: u64,
    /// Number of valid records of every kind.
    pub records: u64,
    /// Number of bytes that were read.
    pub bytes: u64,
    /// Number of known channels.
    pub channels: u64,
    /// Number of idempotency keys in the deduplication window.
    pub idempotency_keys: u64,
    /// The torn write that was truncated, if there was one.
    pub torn_write: Option<TornWrite>,
    /// True when the log was closed cleanly, or is new.
    pub is_clean: bool,
    /// True when the segments come from another directory, or from an earlier state of this one: the log may have
    /// continued there.
    pub is_copy: bool,
    /// True when every channel epoch changed, because acknowledged publications may be lost or the log is a copy.
    pub has_new_epochs: bool,
}

/// A torn write: the last write of an earlier run is incomplete. Under `always`, none of it was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct TornWrite {
    pub segment: SegmentNumber,
    /// The byte position at which the log continues.
    pub at: u64,
}

/// Why a log cannot be opened without losing acknowledged publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Corruption {
    pub segment: SegmentNumber,
    /// The byte position of the first corrupt byte.
    pub at: u64,
    pub kind: CorruptionKind,
    /// Segment and byte position of the evidence that the corrupt bytes had been durable: a later valid record, or the
    /// recorded end of a clean shutdown.
    pub evidence: Option<(SegmentNumber, u64)>,
}

/// The kind of a corruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum CorruptionKind {
    /// A record is invalid, although it had been synced.
    InvalidRecord,
    /// The header of a segment, or its copy at the end of the segment, is invalid or incomplete.
    InvalidHeader,
    /// A segment has another size than its header says.
    WrongSize {
        /// The size that the header says.
        expected: u64,
    },
    /// The segment belongs to another data directory than most segments.
    OtherDirectory {
        /// The identity in the segment.
        found: DirectoryId,
        /// The identity in most segments.
        expected: DirectoryId,
    },
    /// A record is as it was written, but this version does not know its content: a later version wrote it.
    UnsupportedRecord,
    /// A segment of the log does not exist.
    MissingSegment,
    /// The records are valid but contradict each other.
    Inconsistent,
    /// The format has an unsupported version.
    UnsupportedVersion {
        /// The version that was found.
        version: u32,
    },
    /// The storage could not be read, or the first write failed.
    StorageFailed { error: StorageError },
}

impl fmt::Display for Corruption {
    /// Writes a fragment: where the corruption is, what it is, and the evidence for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, at) = (self.segment.0, self.at);
        write!(f, "segment {segment} at byte {at}: {}", self.kind)?;
        match self.evidence {
            Some((segment, at)) => write!(
                f,
                ", although segment {} at byte {at} proves that it had been durable",
                segment.0
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRecord => f.write_str("corrupt record"),
            Self::InvalidHeader => f.write_str("corrupt header"),
            Self::WrongSize { expected } => {
                write!(f, "wrong size of the file, instead of {expected} bytes")
            }
            Self::OtherDirectory { found, expected } => write!(
                f,
                "the segment belongs to data directory {found}, not to {expected}"
            ),
            Self::UnsupportedRecord => f.write_str("a record of a later version"),
            Self::MissingSegment => f.write_str("missing segment"),
            Self::Inconsistent => f.write_str("inconsistent records"),
            Self::UnsupportedVersion { version } => {
                write!(f, "unsupported format version {version}")
            }
            Self::StorageFailed { error } => f.write_str(match error {
                StorageError::NoSpace => "no space left to open it",
                StorageError::Misplaced => "the directory was moved, replaced or removed",
                StorageError::Io => "storage I/O failed",
            }),
        }
    }
}
