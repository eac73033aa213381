//! Why a log cannot be opened: the links between its segments, and which corruptions count.

use super::Opening;
use crate::io::SegmentNumber;
use crate::open::{Corruption, CorruptionKind};
use crate::segment::header::RECORDS_AT;

/// The first segment of a log.
const FIRST_SEGMENT: SegmentNumber = SegmentNumber(1);

impl Opening {
    /// Every corruption, in order of segments; segments that no longer belong to the log do not count. When another
    /// version wrote a segment or a record, only that is reported: nothing else is known.
    pub(crate) fn corruptions(&self) -> Vec<Corruption> {
        let oldest = self.replay.oldest;
        let counts = |corruption: &&Corruption| corruption.segment >= oldest;
        let of_version: Vec<Corruption> = self
            .corruptions
            .iter()
            .filter(|corruption| match corruption.kind {
                CorruptionKind::UnsupportedVersion { .. } => true,
                CorruptionKind::UnsupportedRecord => counts(corruption),
                CorruptionKind::InvalidRecord
                | CorruptionKind::InvalidHeader
                | CorruptionKind::WrongSize { .. }
                | CorruptionKind::OtherDirectory { .. }
                | CorruptionKind::MissingSegment
                | CorruptionKind::Inconsistent
                | CorruptionKind::StorageFailed { .. } => false,
            })
            .copied()
            .collect();
        if !of_version.is_empty() {
            return of_version;
        }
        // A segment of another directory is never removed, so it counts whatever its number.
        let mut corruptions = self.identities.corruptions();
        corruptions.extend(self.corruptions.iter().filter(counts));
        corruptions.sort_by_key(|corruption| (corruption.segment, corruption.at));
        corruptions.dedup_by_key(|corruption| (corruption.segment, corruption.at));
        if let Some(first) = self.replay.state.segments.oldest()
            && first.number != oldest
            && corruptions.is_empty()
        {
            corruptions.push(self.lost(oldest, Some((first.number, RECORDS_AT))));
        }
        if let Some(next) = self.tail.and_then(|tail| tail.outcome.next_segment)
            && self.unused_segment(next).is_none()
            && corruptions.is_empty()
        {
            corruptions.push(self.lost(next, None));
        }
        // A segment is reserved when the one before it is in use, and a log without records begins with the first one.
        if self.tail.is_none()
            && let Some(unused) = self.unused_segments.first()
            && unused.number > FIRST_SEGMENT
            && corruptions.is_empty()
        {
            let before = SegmentNumber(unused.number.0.saturating_sub(1));
            corruptions.push(self.lost(before, Some((unused.number, 0))));
        }
        corruptions
    }

    /// A segment with valid content proves that the segment before it was sealed, and that no segment is missing
    /// between the two.
    pub(super) fn check_link(&mut self, later: (SegmentNumber, u64)) {
        let Some(tail) = self.tail else { return };
        let corruption = match tail.outcome.next_segment {
            Some(next) if next == later.0 || self.is_corrupt(next) => return,
            Some(next) => self.lost(next, Some(later)),
            None => Corruption {
                segment: tail.segment.number,
                at: tail.outcome.end,
                kind: CorruptionKind::InvalidRecord,
                evidence: Some(later),
            },
        };
        self.corruptions.push(corruption);
        self.replay.skip_check();
    }

    /// The corruption of a segment that does not exist, or has no record left.
    fn lost(&self, number: SegmentNumber, evidence: Option<(SegmentNumber, u64)>) -> Corruption {
        let (at, kind) = match self.unused_segment(number) {
            Some(_) => (RECORDS_AT, CorruptionKind::InvalidRecord),
            None => (0, CorruptionKind::MissingSegment),
        };
        Corruption {
            evidence,
            ..bad(number, at, kind)
        }
    }

    /// Whether a corruption of this segment is known.
    fn is_corrupt(&self, number: SegmentNumber) -> bool {
        self.corruptions
            .iter()
            .any(|corruption| corruption.segment == number)
    }
}

/// A corruption without evidence in another place.
pub(super) const fn bad(segment: SegmentNumber, at: u64, kind: CorruptionKind) -> Corruption {
    Corruption {
        segment,
        at,
        kind,
        evidence: None,
    }
}
