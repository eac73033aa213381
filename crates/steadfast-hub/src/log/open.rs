//! What opening a log found: a report, or the damage that forbids it.
//!
//! Types only; the work is done in `opening`.

use crate::log::io::{SegmentNumber, StorageFault};

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments that hold records.
    pub segments: u64,
    /// Valid records of every kind.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Channels that are known.
    pub channels: u64,
    /// Keys in the window.
    pub keys: u64,
    /// The torn tail that was cut, if there was one.
    pub torn: Option<Torn>,
    /// True when the log had ended cleanly, or is new.
    pub clean: bool,
    /// True when every channel epoch changed, because acknowledged publications may be gone.
    pub epochs_changed: bool,
}

/// A torn tail: an unfinished write of the run before, of which nothing was acknowledged under `always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// In which segment.
    pub segment: SegmentNumber,
    /// The log goes on from this byte.
    pub at: u64,
}

/// Why a log cannot be opened without losing what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In which segment.
    pub segment: SegmentNumber,
    /// The first byte that is not what was written.
    pub at: u64,
    /// What is wrong.
    pub why: DamageKind,
    /// A valid record behind it that proves it: its segment and place.
    pub proof: Option<(SegmentNumber, u64)>,
}

/// What is wrong with a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// A record is not what was written, although it had been synced.
    BadRecord,
    /// A segment that should be here is not.
    MissingSegment,
    /// The records are valid but contradict each other.
    Contradiction,
    /// The format is of another version.
    ForeignVersion {
        /// The version that was found.
        version: u32,
    },
    /// The storage could not be read, or the first write failed.
    Unusable {
        /// What the storage said.
        fault: StorageFault,
    },
}
