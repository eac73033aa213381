//! A consistent copy of a segment that a gateway may be writing to while it is read.
//!
//! Records are only ever added after the valid ones, but a read of a growing file may see a later write and miss an
//! earlier one, which looks like corruption. So the valid records at the beginning are kept and the rest is cut off,
//! unless the first read has proved that more had been durable than the second read finds: that is corruption, which the
//! copy keeps, so that its verification reports it. This module does no I/O: the caller reads the file.

use steadfast_machine::convert;

use crate::check;
use crate::io::SegmentNumber;
use crate::segment::clean_end;
use crate::segment::header::{SegmentHeader, clean_end_at, records_end};
use crate::segment_reader::{SegmentContent, SegmentReader};

/// A segment that is being copied.
///
/// ```
/// use steadfast_log::io::SegmentNumber;
/// use steadfast_log::snapshot::{SegmentSnapshot, SnapshotStep};
///
/// let mut snapshot = SegmentSnapshot::new(SegmentNumber(1));
/// let SnapshotStep::Done(copy) = snapshot.on_read(b"not a segment".to_vec()) else {
///     unreachable!("nothing of it could be written concurrently");
/// };
/// assert_eq!(copy.bytes, b"not a segment");
/// ```
#[derive(Debug)]
pub struct SegmentSnapshot {
    number: SegmentNumber,
    first: Option<FirstRead>,
}

/// What the first read has found.
#[derive(Clone, Copy, Debug)]
struct FirstRead {
    /// The byte position below which everything was durable.
    proven: u64,
    /// The check of all bytes.
    check: u64,
}

/// What to do after a read.
#[derive(Debug)]
pub enum SnapshotStep {
    /// Read the complete segment again.
    ReadAgain,
    /// The copy is complete.
    Done(SegmentCopy),
}

/// The copy of a segment.
#[derive(Debug)]
pub struct SegmentCopy {
    /// The complete segment.
    pub bytes: Vec<u8>,
    /// True when it has a record: then no earlier segment is written to any more.
    pub has_records: bool,
    /// The segment that follows, if the segment accepts no more records.
    pub next: Option<SegmentNumber>,
}

impl SegmentSnapshot {
    /// Begins with the segment of this number.
    pub const fn new(number: SegmentNumber) -> Self {
        Self {
            number,
            first: None,
        }
    }

    /// Accepts the bytes of the complete segment. At most one more read follows.
    pub fn on_read(&mut self, mut bytes: Vec<u8>) -> SnapshotStep {
        let Ok(header) = SegmentHeader::decode(self.number, &bytes) else {
            return SnapshotStep::Done(SegmentCopy {
                bytes,
                has_records: false,
                next: None,
            });
        };
        let content = content(header, &bytes);
        let outcome = content.outcome;
        let synced = outcome.synced.map_or(0, |(synced, _)| u64::from(synced));
        let has_rest = outcome.has_trailing_bytes || synced > outcome.end;
        let check = check::plain(&bytes);
        match self.first {
            None if has_rest => {
                let proven = synced;
                self.first = Some(FirstRead { proven, check });
                return SnapshotStep::ReadAgain;
            }
            // Unless the segment has changed, it is not written to, and is kept as it is.
            Some(first) if first.check != check && outcome.end >= first.proven => {
                cut(&header, outcome.end, &mut bytes);
            }
            None | Some(_) => {}
        }
        SnapshotStep::Done(SegmentCopy {
            bytes,
            has_records: outcome.first.is_some(),
            next: outcome.next_segment,
        })
    }
}

fn content(header: SegmentHeader, bytes: &[u8]) -> SegmentContent {
    let mut reader = SegmentReader::new(header, 0);
    reader.feed(bytes, true, |_| {});
    reader.content()
}

/// Removes everything after the records, and the end of a clean shutdown that comes after them.
fn cut(header: &SegmentHeader, end: u64, bytes: &mut [u8]) {
    let index = |position: u64| convert::saturating::<usize>(position).min(bytes.len());
    let rest = index(end)..index(records_end(header.size));
    let trailer = index(clean_end_at(header.size))..bytes.len();
    let clean_end = bytes.get(trailer.clone()).unwrap_or_default();
    let is_later =
        clean_end::decode(&header.secret, clean_end).is_some_and(|at| u64::from(at) > end);
    if let Some(rest) = bytes.get_mut(rest) {
        rest.fill(0);
    }
    if is_later && let Some(trailer) = bytes.get_mut(trailer) {
        trailer.fill(0);
    }
}
