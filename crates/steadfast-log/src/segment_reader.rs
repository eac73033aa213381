//! Reads the records and the end of one segment from its bytes, which arrive in chunks.
//!
//! The scan decides where the records end, and the opening what all segments together mean.

use steadfast_machine::convert;

use crate::scan::{ChunkPosition, FoundRecord, Scan, ScanOutcome};
use crate::segment::header::{RECORDS_AT, SegmentHeader, clean_end_at, copy_at, records_end};
use crate::segment::{Segment, clean_end};

/// A segment that is being read; its header is read and valid.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    header: SegmentHeader,
    scan: Scan,
    /// The byte position of the first byte that is not read.
    at: u64,
    /// The bytes after the records.
    trailer: Vec<u8>,
}

/// What was read of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentContent {
    pub(crate) segment: Segment,
    pub(crate) outcome: ScanOutcome,
    /// True when the copy of the header is as the header.
    pub(crate) has_copy: bool,
}

impl SegmentReader {
    /// A reader of the segment with this header, whose records have at least this write generation.
    pub(crate) fn new(header: SegmentHeader, write_generation: u32) -> Self {
        Self {
            header,
            scan: Scan::new(&header, write_generation),
            at: 0,
            trailer: Vec::new(),
        }
    }

    pub(crate) const fn segment(&self) -> Segment {
        self.header.segment()
    }

    /// Accepts the next bytes, and passes on every record that they complete. `is_last` says that no bytes follow.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        on_record: impl FnMut(&FoundRecord<'_>),
    ) {
        let (from, size) = (self.at, self.header.size);
        self.at += convert::to_u64(bytes.len());
        let has_records = from < records_end(size);
        if has_records {
            let position = if is_last || self.at >= records_end(size) {
                ChunkPosition::Last
            } else {
                ChunkPosition::Inner
            };
            let records = part(bytes, from, RECORDS_AT, records_end(size));
            self.scan.feed(records, position, on_record);
        }
        self.trailer
            .extend_from_slice(part(bytes, from, copy_at(size), size));
    }

    /// What was found; complete once the last bytes were fed.
    pub(crate) fn content(&self) -> SegmentContent {
        let mut outcome = *self.scan.outcome();
        let size = self.header.size;
        let clean_end = part(&self.trailer, copy_at(size), clean_end_at(size), size);
        if let Some(end) = clean_end::decode(&self.header.secret, clean_end)
            && u64::from(end) <= records_end(size)
        {
            outcome.add_evidence(end, clean_end_at(size));
        }
        let (first, _) = self.header.encode();
        SegmentContent {
            segment: self.segment(),
            outcome,
            has_copy: self.trailer.starts_with(&first),
        }
    }
}

/// The part of bytes, which begin at byte position `at`, that is from `start` to `end`.
fn part(bytes: &[u8], at: u64, start: u64, end: u64) -> &[u8] {
    let index =
        |position: u64| convert::saturating::<usize>(position.saturating_sub(at)).min(bytes.len());
    bytes.get(index(start)..index(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{DirectoryId, SegmentSecret};
    use crate::io::SegmentNumber;
    use crate::segment::header::OVERHEAD_BYTES;

    #[test]
    fn the_content_is_the_same_however_the_segment_is_split() {
        let header = SegmentHeader {
            number: SegmentNumber(3),
            // Less space for records than the head of one: no byte of it is searched before the last is there.
            size: OVERHEAD_BYTES + 20,
            directory: DirectoryId([0; DirectoryId::BYTES]),
            incarnation: 0,
            secret: SegmentSecret::new([3; SegmentSecret::BYTES]),
        };
        let (first, last) = header.encode();
        let mut bytes = first.to_vec();
        bytes.extend_from_slice(&[7; 20]);
        bytes.extend_from_slice(&last);
        assert_eq!(bytes.len(), index(header.size));

        for len in 1..=bytes.len() {
            let mut reader = SegmentReader::new(header, 0);
            let mut chunks = bytes.chunks(len).peekable();
            while let Some(chunk) = chunks.next() {
                reader.feed(chunk, chunks.peek().is_none(), |record| {
                    panic!("not a record: {record:?}")
                });
            }

            let content = reader.content();
            assert!(content.has_copy, "chunks of {len}");
            assert!(content.outcome.has_trailing_bytes, "chunks of {len}");
            assert_eq!(content.outcome.end, RECORDS_AT, "chunks of {len}");
        }
    }

    fn index(position: u64) -> usize {
        convert::saturating(position)
    }
}
