//! Reads the records of one segment from its bytes, which arrive in chunks, and determines where the records end.
//!
//! ```text
//! Records --invalid record--> Search --end of bytes--> done
//!    `------SegmentEnd record--> Sealed
//! ```
//!
//! Records are passed on up to the first invalid record. From there on, each byte is tried as the head of a record,
//! because a head whose `synced` is above an invalid range proves that the range was durable once: such a range is
//! corruption. Without such evidence the rest is a torn write. A head is evidence even if its body is torn. The scan
//! changes no state; the replay does.
//!
//! A payload cannot imitate a record, whatever its bytes are: a head is checked with the secret of the segment and with
//! its byte position. So the search costs one check of a head for each byte, whatever publishers store.

use steadfast_machine::convert;

use crate::identity::SegmentSecret;
use crate::io::SegmentNumber;
use crate::record::{self, BodyError, HEAD_BYTES, RecordHead, Stamp, Stored};
use crate::segment::header::{RECORDS_AT, SegmentHeader, records_end};

/// Bytes of the next chunk that are first appended to an incomplete record, which completes most records.
const SEAM_BYTES: usize = 16 << 10;

/// Whether more bytes follow a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkPosition {
    /// More bytes may follow.
    Inner,
    /// The records end with this chunk.
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
    /// The byte position of the first valid head, which may be after the end.
    pub(crate) first: Option<u64>,
    /// The first evidence of those that cover the most bytes: the number of bytes that were durable, and its byte position.
    pub(crate) synced: Option<(u32, u64)>,
    /// The highest write generation of a valid head.
    pub(crate) write_generation: u32,
    /// True when bytes after the end are not zero.
    pub(crate) has_trailing_bytes: bool,
    /// The byte position of a record whose checks are valid and whose content is unknown; the records end there.
    pub(crate) unsupported: Option<u64>,
}

impl ScanOutcome {
    /// The byte position of the evidence that the bytes from `end` on had been durable.
    pub(crate) fn evidence(&self, end: u64) -> Option<u64> {
        self.synced
            .and_then(|(synced, at)| (u64::from(synced) > end).then_some(at))
    }

    /// Adds evidence at byte position `at` that everything below `synced` was durable.
    pub(crate) fn add_evidence(&mut self, synced: u32, at: u64) {
        self.first.get_or_insert(at);
        if self.synced.is_none_or(|(known, _)| synced > known) {
            self.synced = Some((synced, at));
        }
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
    secret: SegmentSecret,
    /// The byte position at which the records end at the latest.
    records_end: u64,
    phase: ScanPhase,
    /// An incomplete record at the end of the chunks so far.
    rest: Vec<u8>,
    /// The byte position of the first byte that is not processed.
    at: u64,
    write_generation: u32,
    outcome: ScanOutcome,
}

impl Scan {
    /// A scan of the records of this segment, which have at least this write generation.
    pub(crate) fn new(header: &SegmentHeader, write_generation: u32) -> Self {
        Self {
            secret: header.secret,
            records_end: records_end(header.size),
            phase: ScanPhase::Records,
            rest: Vec::new(),
            at: RECORDS_AT,
            write_generation,
            outcome: ScanOutcome {
                end: RECORDS_AT,
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
            let Some(used_of_chunk) = used.checked_sub(before) else {
                rest.drain(..used);
                self.rest = rest;
                return;
            };
            chunk = chunk.get(used_of_chunk..).unwrap_or_default();
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
            match self.next_record(rest, position) {
                NextRecord::Valid(head, stored) => {
                    on_record(&self.accept(&head, &stored));
                    rest = rest.get(head.len..).unwrap_or_default();
                }
                NextRecord::Invalid => self.begin_search(),
                NextRecord::Unsupported => {
                    self.outcome.unsupported = Some(self.at);
                    self.begin_search();
                }
                NextRecord::Incomplete => return view.len() - rest.len(),
            }
        }
        let left = match self.phase {
            ScanPhase::Records => rest.len(),
            ScanPhase::Search => self.search(rest, position),
            ScanPhase::Sealed => self.skip(rest, rest.len()).len(),
        };
        view.len() - left
    }

    /// The record at the beginning of the rest.
    fn next_record<'a>(&self, rest: &'a [u8], position: ChunkPosition) -> NextRecord<'a> {
        let unfinished = match position {
            ChunkPosition::Inner => NextRecord::Incomplete,
            ChunkPosition::Last => NextRecord::Invalid,
        };
        if rest.len() < HEAD_BYTES {
            return unfinished;
        }
        let Some(head) = self.head(rest) else {
            return NextRecord::Invalid;
        };
        // An earlier write generation was rolled back or truncated here.
        if head.stamp.write_generation < self.write_generation {
            return NextRecord::Invalid;
        }
        if rest.len() < head.len {
            return unfinished;
        }
        match record::decode(&self.secret, &head, rest) {
            Ok(stored) => NextRecord::Valid(head, stored),
            Err(BodyError::Invalid) => NextRecord::Invalid,
            Err(BodyError::Unsupported) => NextRecord::Unsupported,
        }
    }

    fn accept<'a>(&mut self, head: &RecordHead, stored: &'a Stored<'a>) -> FoundRecord<'a> {
        let at = self.at;
        self.track(head.stamp, at);
        self.write_generation = head.stamp.write_generation;
        self.outcome.records += 1;
        self.at += convert::to_u64(head.len);
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

    /// Tries each byte as the beginning of a head, and returns how many bytes are left for the next chunk.
    fn search(&mut self, mut rest: &[u8], position: ChunkPosition) -> usize {
        self.outcome.has_trailing_bytes |= !is_zero(rest);
        while let Some(candidate) = next_candidate(rest) {
            rest = self.skip(rest, candidate);
            if let Some(head) = self.head(rest) {
                self.track(head.stamp, self.at);
            }
            rest = self.skip(rest, 1);
        }
        // A head may begin in the last bytes of a chunk.
        let kept = match position {
            ChunkPosition::Inner => HEAD_BYTES,
            ChunkPosition::Last => 0,
        };
        self.skip(rest, rest.len().saturating_sub(kept)).len()
    }

    /// The head at the beginning of the rest, if it is valid at this byte position.
    fn head(&self, rest: &[u8]) -> Option<RecordHead> {
        let head = RecordHead::read(&self.secret, self.at, rest)?;
        let left = self.records_end.saturating_sub(self.at);
        let fits = convert::to_u64(head.len) <= left;
        (fits && u64::from(head.stamp.synced) <= self.at).then_some(head)
    }

    fn track(&mut self, stamp: Stamp, at: u64) {
        self.outcome.write_generation = self.outcome.write_generation.max(stamp.write_generation);
        self.outcome.add_evidence(stamp.synced, at);
    }

    /// Skips bytes; returns what follows them.
    fn skip<'a>(&mut self, rest: &'a [u8], len: usize) -> &'a [u8] {
        let (skipped, rest) = rest.split_at(len.min(rest.len()));
        self.at += convert::to_u64(skipped.len());
        rest
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "one value exists at a time, and a box would be an allocation for each record"
)]
enum NextRecord<'a> {
    Valid(RecordHead, Stored<'a>),
    Invalid,
    /// The record is as it was written, but has content that this version does not know.
    Unsupported,
    /// More bytes are needed.
    Incomplete,
}

/// The next byte at which a complete head may begin.
fn next_candidate(bytes: &[u8]) -> Option<usize> {
    const ZEROS_BYTES: usize = 64;
    let kinds = bytes.get(HEAD_BYTES - 1..)?;
    let chunks = (0..).step_by(ZEROS_BYTES).zip(kinds.chunks(ZEROS_BYTES));
    // Most of a new segment is zeros, which are skipped many at a time.
    let mut candidates = chunks.filter(|(_, chunk)| !is_zero(chunk));
    candidates.find_map(|(at, chunk)| {
        let first = chunk.iter().position(|byte| RecordHead::is_kind(*byte))?;
        Some(at + first)
    })
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
    use crate::identity::DirectoryId;
    use crate::segment::header::OVERHEAD_BYTES;
    use steadfast_engine::RetentionClass;
    use steadfast_protocol::message::PayloadKind;

    const SECRET: SegmentSecret = SegmentSecret::new([3; SegmentSecret::BYTES]);

    #[test]
    fn records_are_found_however_the_segment_is_split_into_chunks() {
        for corrupt_at in [None, Some(80_000)] {
            let mut bytes = segment();
            if let Some(at) = corrupt_at {
                bytes[at] ^= 1;
            }
            let reference = scan(&bytes, bytes.len());
            let outcome = &reference.1;
            assert_eq!(outcome.records, convert::to_u64(reference.0.len()));
            assert_eq!(outcome.next_segment.is_none(), corrupt_at.is_some());
            assert_eq!(
                outcome.evidence(outcome.end).is_some(),
                corrupt_at.is_some()
            );
            let lens = [1_000, 4096, SEAM_BYTES, SEAM_BYTES + 1];
            for chunk in lens.into_iter().chain((5_011..120_000).step_by(5_009)) {
                let (positions, outcome) = scan(&bytes, chunk);
                assert_eq!(positions, reference.0, "chunks of {chunk}");
                assert_eq!(outcome, reference.1, "chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_record_after_a_corrupt_one_is_evidence_however_its_head_is_split_into_chunks() {
        let mut bytes = Vec::new();
        push(&mut bytes, &publication(b"corrupt"));
        let valid_at = RECORDS_AT + u64::try_from(bytes.len()).unwrap();
        push(&mut bytes, &publication(b"valid"));
        bytes[HEAD_BYTES] ^= 1;

        for chunk in 1..bytes.len() {
            let (positions, outcome) = scan(&bytes, chunk);

            assert_eq!(positions, [], "chunks of {chunk}");
            assert_eq!(
                outcome.evidence(RECORDS_AT),
                Some(valid_at),
                "chunks of {chunk}"
            );
        }
    }

    #[test]
    fn the_evidence_is_the_first_of_those_that_cover_the_most_bytes() {
        let mut outcome = ScanOutcome::default();

        for (synced, at) in [(5, 300), (7, 400), (7, 500), (6, 600)] {
            outcome.add_evidence(synced, at);
        }

        assert_eq!((outcome.first, outcome.synced), (Some(300), Some((7, 400))));
    }

    #[test]
    fn zeros_are_no_candidate_for_a_head_so_that_an_empty_segment_is_not_checked_byte_by_byte() {
        let mut bytes = [0; 1_000];
        assert_eq!(next_candidate(&bytes), None);

        bytes[700] = 3;

        assert_eq!(next_candidate(&bytes), Some(700 - (HEAD_BYTES - 1)));
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
        let at = RECORDS_AT + u64::try_from(bytes.len()).unwrap();
        let stamp = Stamp {
            write_generation: 1,
            synced: u32::try_from(at).unwrap(),
        };
        record::encode(bytes, &SECRET, at, stamp, stored);
    }

    fn publication(data: &[u8]) -> Stored<'_> {
        Stored::Publication(record::Publication {
            channel: 0,
            offset: 1,
            at: Timestamp::default(),
            user: b"",
            client: b"",
            key: None,
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            data,
        })
    }

    fn scan(bytes: &[u8], chunk: usize) -> (Vec<(u64, usize)>, ScanOutcome) {
        let header = SegmentHeader {
            number: SegmentNumber(3),
            size: u64::try_from(bytes.len()).unwrap() + OVERHEAD_BYTES,
            directory: DirectoryId([0; DirectoryId::BYTES]),
            incarnation: 0,
            secret: SECRET,
        };
        let mut scan = Scan::new(&header, 0);
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
