//! Which segments exist, where the next record is written, and whether the next segment is ready.
//!
//! Segment numbers are never reused; within a process segments are counted by ordinals, which fit an index entry. The
//! module requests no operations; the commit and the checkpoint do.

use std::collections::VecDeque;

use steadfast_machine::convert;

use crate::identity::SegmentSecret;
use crate::io::{SegmentNumber, StorageError};
use crate::record::Stamp;
use crate::segment::header::RECORDS_AT;

pub(crate) mod clean_end;
pub(crate) mod header;
pub(crate) mod shares;

/// A segment that belongs to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: SegmentNumber,
    /// The full size in bytes.
    pub(crate) size: u64,
    /// The key of the checks of its records.
    pub(crate) secret: SegmentSecret,
}

/// The segments of the log, oldest first; the last one is written to.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: VecDeque<Segment>,
    first: u32,
}

impl Segments {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The size of all segments in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|segment| segment.size).sum()
    }

    /// The ordinal of the oldest segment.
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// The ordinal of the current segment.
    pub(crate) fn last(&self) -> u32 {
        let count = u32::try_from(self.list.len()).expect("32-bit ordinals number the segments");
        self.first + count.saturating_sub(1)
    }

    pub(crate) fn by_ordinal(&self, ordinal: u32) -> Option<Segment> {
        let index = ordinal.checked_sub(self.first)?;
        self.list.get(convert::to_usize(index)).copied()
    }

    pub(crate) fn oldest(&self) -> Option<Segment> {
        self.list.front().copied()
    }

    /// The segment that is written to.
    pub(crate) fn current(&self) -> Option<Segment> {
        self.list.back().copied()
    }

    /// All segments with their ordinals, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Segment)> {
        (self.first..).zip(self.list.iter().copied())
    }

    /// Adds a segment to write to and returns its ordinal.
    pub(crate) fn push(&mut self, segment: Segment) -> u32 {
        self.list.push_back(segment);
        self.last()
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Segment> {
        let oldest = self.list.pop_front()?;
        self.first += 1;
        Some(oldest)
    }
}

/// Where the next record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything below this byte of the current segment was written.
    pub(crate) end: u64,
    /// Everything below this byte of the current segment is durable.
    pub(crate) synced: u64,
    /// The write generation of the next record.
    pub(crate) write_generation: u32,
}

impl Cursor {
    /// The beginning of a segment: its header is durable before the segment has a name.
    pub(crate) const fn at_start(write_generation: u32) -> Self {
        Self {
            end: RECORDS_AT,
            synced: RECORDS_AT,
            write_generation,
        }
    }

    /// True when the segment has no record yet.
    pub(crate) const fn is_at_start(&self) -> bool {
        self.end == RECORDS_AT
    }

    /// The stamp of the records that are written next.
    pub(crate) fn stamp(&self) -> Stamp {
        let synced = u32::try_from(self.synced).expect("a segment is smaller than 4 GiB");
        Stamp {
            write_generation: self.write_generation,
            synced,
        }
    }
}

/// The segment that comes after the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextSegment {
    /// Not requested yet; it will have this number.
    Absent(SegmentNumber),
    Requested(Segment),
    /// The reservation failed; it is retried.
    Failed(Segment, StorageError),
    Ready(Segment),
}

impl NextSegment {
    pub(crate) const fn number(&self) -> SegmentNumber {
        match self {
            Self::Absent(number) => *number,
            Self::Requested(segment) => segment.number,
            Self::Failed(segment, _) => segment.number,
            Self::Ready(segment) => segment.number,
        }
    }

    /// The segment, if it is ready.
    pub(crate) const fn ready(&self) -> Option<Segment> {
        match self {
            Self::Absent(_) => None,
            Self::Requested(_) => None,
            Self::Failed(..) => None,
            Self::Ready(segment) => Some(*segment),
        }
    }
}
