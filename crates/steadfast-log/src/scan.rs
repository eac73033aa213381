//! Reads the records of one segment from its bytes, which arrive in chunks, and determines where the records end.
//!
//! ```text
//! Records --invalid record--> Search --end of bytes--> done
//!    `------SegmentEnd record--> Sealed
//! ```
//!
//! Records are passed on up to the first invalid record. From there on, each byte is tried as the beginning of a
//! record, because a record whose `synced` is above an invalid range proves that the range was durable once: such a
//! range is corruption. Without such evidence the rest is a torn write. The scan changes no state; the replay does.
//!
//! A payload cannot imitate a record: payloads are JSON, which has no NUL byte, and each record's head has NUL bytes.

use crate::io::SegmentNumber;
use crate::record::{self, HEAD_BYTES, RecordHead, Stamp, Stored};

/// Checksums of candidates may cover the segment at most this many times before the search ends.
const SEARCH_EFFORT: usize = 8;

/// Bytes of the next chunk that are first appended to an incomplete record, which completes most records.
const SEAM_BYTES: usize = 16 << 10;

/// Whether more bytes follow a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkPosition {
    /// More bytes may follow.
    Inner,
    /// The segment ends with this chunk.
    Last,
}

/// A valid record and its location.
#[derive(Debug)]
pub(crate) struct FoundRecord<'a> {
    /// The byte position of the record.
    pub(crate) at: u64,
    /// The length of the complete record.
    pub(crate) len: usize,
    pub(crate) stored: &'a Stored<'a>,
}

/// What is known about a segment once its bytes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanOutcome {
    /// The byte position at which the records end.
    pub(crate) end: u64,
    /// The next segment, when this segment is sealed.
    pub(crate) next_segment: Option<SegmentNumber>,
    /// Number of valid records up to the end.
    pub(crate) records: u64,
    /// The byte position of the first valid record, which may be after the end.
    pub(crate) first: Option<u64>,
    /// The valid record that claims the most bytes as durable: the number of these bytes, and the record's byte
    /// position.
    pub(crate) synced: Option<(u32, u64)>,
    /// The highest write generation of a valid record.
    pub(crate) write_generation: u32,
    /// True when bytes after the end are not zero.
    pub(crate) has_trailing_bytes: bool,
    /// True when the search ended early: too many bytes resembled records.
    pub(crate) is_inconclusive: bool,
}

impl ScanOutcome {
    /// The byte position of a record that proves that the bytes from `end` on had been durable.
    pub(crate) fn evidence(&self, end: u64) -> Option<u64> {
        self.synced
            .and_then(|(synced, at)| (u64::from(synced) > end).then_some(at))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScanPhase {
    Records,
    Search,
    Sealed,
}

#[derive(Debug)]
pub(crate) struct Scan {
    segment: SegmentNumber,
    size: u64,
    phase: ScanPhase,
    /// An incomplete record at the end of the chunks so far.
    rest: Vec<u8>,
    /// The byte position of the first byte that is not processed.
    at: u64,
    write_generation: u32,
    effort: usize,
    outcome: ScanOutcome,
}

impl Scan {
    /// A scan of a segment of this size, whose records have at least this write generation.
    pub(crate) fn new(segment: SegmentNumber, size: u64, write_generation: u32) -> Self {
        Self {
            segment,
            size,
            phase: ScanPhase::Records,
            rest: Vec::new(),
            at: 0,
            write_generation,
            effort: usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_mul(SEARCH_EFFORT),
            outcome: ScanOutcome {
                write_generation,
                ..ScanOutcome::default()
            },
        }
    }

    /// Accepts the next bytes, and passes on every record that they complete.
    ///
    /// Records are decoded in place in the chunk; only records that span two chunks are copied.
    pub(crate) fn feed(
        &mut self,
        mut chunk: &[u8],
        position: ChunkPosition,
        mut on_record: impl FnMut(&FoundRecord<'_>),
    ) {
        let mut rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            let before = rest.len();
            let (seam, after_seam) = chunk.split_at(chunk.len().min(SEAM_BYTES));
            rest.extend_from_slice(seam);
            let seam_position = if after_seam.is_empty() {
                position
            } else {
                ChunkPosition::Inner
            };
            let mut used = self.walk(&rest, seam_position, &mut on_record);
            if used < before && !after_seam.is_empty() {
                rest.extend_from_slice(after_seam);
                let joined = rest.get(used..).unwrap_or_default();
                used += self.walk(joined, position, &mut on_record);
            }
            if used < before {
                rest.drain(..used);
                self.rest = rest;
                return;
            }
            chunk = chunk.get(used - before..).unwrap_or_default();
        }
        let used = self.walk(chunk, position, &mut on_record);
        rest.clear();
        rest.extend_from_slice(chunk.get(used..).unwrap_or_default());
        self.rest = rest;
    }

    /// What was found; complete once the last chunk was fed.
    pub(crate) const fn outcome(&self) -> &ScanOutcome {
        &self.outcome
    }

    /// Processes as much of the view as possible, and returns the number of processed bytes.
    fn walk(
        &mut self,
        view: &[u8],
        position: ChunkPosition,
        on_record: &mut impl FnMut(&FoundRecord<'_>),
    ) -> usize {
        let mut rest = view;
        while self.phase == ScanPhase::Records {
            match self.check_head(rest, position) {
                HeadCheck::Complete(head) => match &record::decode(&head, rest) {
                    Some(stored) if head.stamp.write_generation >= self.write_generation => {
                        on_record(&self.accept(&head, stored));
                        rest = rest.get(head.len..).unwrap_or_default();
                    }
                    Some(_) => self.begin_search(),
                    None => self.begin_search(),
                },
                HeadCheck::Invalid => self.begin_search(),
                HeadCheck::Incomplete => return view.len() - rest.len(),
            }
        }
        let left = match self.phase {
            ScanPhase::Records => rest.len(),
            ScanPhase::Search => self.search(rest, position),
            ScanPhase::Sealed => self.skip(rest, rest.len()).len(),
        };
        view.len() - left
    }

    fn accept<'a>(&mut self, head: &RecordHead, stored: &'a Stored<'a>) -> FoundRecord<'a> {
        let at = self.at;
        self.track(head.stamp, at);
        self.write_generation = head.stamp.write_generation;
        self.outcome.records += 1;
        self.at += u64::try_from(head.len).unwrap_or(u64::MAX);
        self.outcome.end = self.at;
        if let Stored::SegmentEnd { next } = stored {
            self.phase = ScanPhase::Sealed;
            self.outcome.next_segment = Some(*next);
        }
        FoundRecord {
            at,
            len: head.len,
            stored,
        }
    }

    fn begin_search(&mut self) {
        self.phase = ScanPhase::Search;
        self.outcome.end = self.at;
    }

    /// Tries each byte as the beginning of a record, and returns how many bytes are left for the next chunk.
    fn search(&mut self, mut rest: &[u8], position: ChunkPosition) -> usize {
        self.outcome.has_trailing_bytes |= !is_zero(rest);
        while let Some(candidate) = self.next_candidate(rest) {
            rest = self.skip(rest, candidate);
            let Some(head) = RecordHead::read(rest) else {
                break;
            };
            let effort = if self.is_plausible(&head) {
                head.len
            } else {
                0
            };
            if self.effort < effort {
                self.outcome.is_inconclusive = true;
                return self.skip(rest, rest.len()).len();
            }
            match self.check_head(rest, position) {
                HeadCheck::Complete(head) => {
                    // The content of a valid record is searched too: a record inside it would also be found if the
                    // outer head were overwritten.
                    if record::decode(&head, rest).is_some() {
                        self.track(head.stamp, self.at);
                    }
                    self.effort -= effort;
                    rest = self.skip(rest, 1);
                }
                HeadCheck::Invalid => {
                    self.effort -= effort;
                    rest = self.skip(rest, 1);
                }
                HeadCheck::Incomplete => return rest.len(),
            }
        }
        let kept = match position {
            ChunkPosition::Inner => HEAD_BYTES - 1,
            ChunkPosition::Last => 0,
        };
        self.skip(rest, rest.len().saturating_sub(kept)).len()
    }

    /// The next byte that may begin a record of this segment: the segment's number is at the right distance after this
    /// byte.
    fn next_candidate(&self, rest: &[u8]) -> Option<usize> {
        const NUMBER_AT: usize = 8;
        let number = self.segment.0.to_le_bytes();
        // Segment numbers begin at 1, so at least one byte of a number is not zero: searching for that byte skips zeros
        // quickly.
        let mark = number.iter().position(|byte| *byte != 0)?;
        let needle = number.get(mark).copied()?;
        let mut from = NUMBER_AT + mark;
        loop {
            let found = from + memchr::memchr(needle, rest.get(from..)?)?;
            let candidate = found - NUMBER_AT - mark;
            if candidate + HEAD_BYTES > rest.len() {
                return None;
            }
            let is_match = rest.get(candidate + NUMBER_AT..)?.starts_with(&number);
            if is_match {
                return Some(candidate);
            }
            from = found + 1;
        }
    }

    /// Checks the head of the record at the beginning of the rest.
    fn check_head(&self, rest: &[u8], position: ChunkPosition) -> HeadCheck {
        let unfinished = match position {
            ChunkPosition::Inner => HeadCheck::Incomplete,
            ChunkPosition::Last => HeadCheck::Invalid,
        };
        let Some(head) = RecordHead::read(rest) else {
            return unfinished;
        };
        if !self.is_plausible(&head) {
            HeadCheck::Invalid
        } else if rest.len() < head.len {
            unfinished
        } else {
            HeadCheck::Complete(head)
        }
    }

    /// Whether a record at this byte position can have such a head; only then is its checksum worth computing.
    fn is_plausible(&self, head: &RecordHead) -> bool {
        let left = self.size.saturating_sub(self.at);
        let fits = u64::try_from(head.len).is_ok_and(|len| len <= left);
        fits && head.stamp.segment == self.segment && u64::from(head.stamp.synced) <= self.at
    }

    fn track(&mut self, stamp: Stamp, at: u64) {
        self.outcome.first.get_or_insert(at);
        self.outcome.write_generation = self.outcome.write_generation.max(stamp.write_generation);
        if self
            .outcome
            .synced
            .is_none_or(|(synced, _)| stamp.synced > synced)
        {
            self.outcome.synced = Some((stamp.synced, at));
        }
    }

    /// Skips bytes; returns what follows them.
    fn skip<'a>(&mut self, rest: &'a [u8], len: usize) -> &'a [u8] {
        let (skipped, rest) = rest.split_at(len.min(rest.len()));
        self.at += u64::try_from(skipped.len()).unwrap_or(u64::MAX);
        rest
    }
}

enum HeadCheck {
    /// All bytes of a record are available; the checksum is not verified yet.
    Complete(RecordHead),
    Invalid,
    Incomplete,
}

/// Checks many bytes at a time, since most of a new segment is zeros.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(64)
        .all(|chunk| chunk.iter().fold(0, |seen, byte| seen | byte) == 0)
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Timestamp;

    use super::*;

    const SEGMENT: SegmentNumber = SegmentNumber(3);

    #[test]
    fn records_are_found_however_the_segment_is_split_into_chunks() {
        for corrupt_at in [None, Some(80_000)] {
            let mut bytes = segment();
            if let Some(at) = corrupt_at {
                bytes[at] ^= 1;
            }
            let reference = scan(&bytes, bytes.len());
            let outcome = &reference.1;
            assert_eq!(outcome.next_segment.is_none(), corrupt_at.is_some());
            assert_eq!(
                outcome.evidence(outcome.end).is_some(),
                corrupt_at.is_some()
            );
            for chunk in [1_000, 4096, SEAM_BYTES, SEAM_BYTES + 1, 20_011, 70_001] {
                let (positions, outcome) = scan(&bytes, chunk);
                assert_eq!(positions, reference.0, "chunks of {chunk}");
                assert_eq!(outcome, reference.1, "chunks of {chunk}");
            }
        }
    }

    /// Small records, and some that are longer than several chunks; each record claims all bytes before it as durable.
    fn segment() -> Vec<u8> {
        let mut bytes = Vec::new();
        for len in [1, 300, 40_000, 7, 16_384, 3, 3, 90_000, 20] {
            let data = vec![b'7'; len];
            push(&mut bytes, &publication(&data));
        }
        push(
            &mut bytes,
            &Stored::SegmentEnd {
                next: SegmentNumber(4),
            },
        );
        bytes.resize(bytes.len() + 50_000, 0);
        bytes
    }

    fn push(bytes: &mut Vec<u8>, stored: &Stored<'_>) {
        let stamp = Stamp {
            segment: SEGMENT,
            write_generation: 1,
            synced: u32::try_from(bytes.len()).unwrap(),
        };
        let mut encoded = Vec::new();
        record::encode(&mut encoded, stamp, stored);
        bytes.extend(encoded);
    }

    fn publication(data: &[u8]) -> Stored<'_> {
        Stored::Publication(record::Publication {
            channel: 0,
            offset: 1,
            at: Timestamp::default(),
            user: b"",
            client: b"",
            key: None,
            data,
        })
    }

    fn scan(bytes: &[u8], chunk: usize) -> (Vec<(u64, usize)>, ScanOutcome) {
        let mut scan = Scan::new(SEGMENT, u64::try_from(bytes.len()).unwrap(), 0);
        let mut positions = Vec::new();
        let mut chunks = bytes.chunks(chunk).peekable();
        while let Some(chunk) = chunks.next() {
            let position = if chunks.peek().is_some() {
                ChunkPosition::Inner
            } else {
                ChunkPosition::Last
            };
            scan.feed(chunk, position, |found| {
                positions.push((found.at, found.len));
            });
        }
        (positions, *scan.outcome())
    }
}
