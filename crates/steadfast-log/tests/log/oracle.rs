//! An oracle for opening a log: what must be found on a disk, from what was written and synced.
//!
//! It is independent of the code under test: it knows only the layout (where headers, records and the end of a clean
//! shutdown are, and the length in each head), and the operations that the disk executed. It compares bytes with what
//! was written, and computes no check.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::disk::{Disk, RECORDS_AT, TRAILER};
use crate::harness::Operation;

/// Length of the head of a record.
const HEAD: usize = 29;
/// The kind of the record that seals a segment, and of the record of a clean shutdown.
const SEGMENT_END: u8 = 9;
const CLEAN_SHUTDOWN: u8 = 8;

/// What must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The log opens with this many records; the last of them ends here.
    Opens {
        records: usize,
        segment: u64,
        end: usize,
        is_clean: bool,
    },
    /// The log is corrupt from this byte on.
    Corrupt { segment: u64, at: usize },
}

/// What was written to a data directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    segments: BTreeMap<u64, Segment>,
}

#[derive(Clone, Debug, Default)]
struct Segment {
    /// The complete header, and the copy after the records.
    header: Vec<u8>,
    size: usize,
    /// Everything below this byte was written.
    written: usize,
    /// Everything below this byte was synced.
    synced: usize,
    /// The records that count, in order.
    chain: Vec<Record>,
    /// Every record that was ever written.
    all: Vec<Record>,
    /// The end of the last clean shutdown, as it was written.
    clean_end: Option<(Bytes, usize)>,
}

#[derive(Clone, Debug)]
struct Record {
    at: usize,
    bytes: Bytes,
    /// What was synced when the record was written.
    synced: usize,
}

impl History {
    /// Replays what was done to the disk; `disk` shows the headers.
    pub(crate) fn of(operations: &[Operation], disk: &Disk) -> Self {
        let mut history = Self::default();
        for operation in operations {
            history.add(operation, disk);
        }
        history
    }

    fn add(&mut self, operation: &Operation, disk: &Disk) {
        {
            match operation {
                Operation::Reserve { segment, bytes } => {
                    let header = disk
                        .numbers()
                        .contains(segment)
                        .then(|| disk.bytes(*segment));
                    let reserved = Segment {
                        header: header.map_or(Vec::new(), |bytes| bytes[..RECORDS_AT].to_vec()),
                        size: usize::try_from(*bytes).unwrap(),
                        written: RECORDS_AT,
                        synced: RECORDS_AT,
                        ..Segment::default()
                    };
                    self.segments.insert(*segment, reserved);
                }
                Operation::Write { segment, at, bytes } => {
                    let at = usize::try_from(*at).unwrap();
                    self.segments.get_mut(segment).unwrap().write(at, bytes);
                }
                Operation::Sync { segment } => {
                    let segment = self.segments.get_mut(segment).unwrap();
                    segment.synced = segment.written;
                }
            }
        }
    }

    /// What must be found on this disk.
    pub(crate) fn expected(&self, disk: &Disk) -> Expected {
        let mut last = None;
        let mut corrupt = Vec::new();
        let last_number = disk.numbers().into_iter().rev().find(|number| {
            let segment = &self.segments[number];
            let bytes = disk.bytes(*number);
            segment.corrupt_outside_records(bytes).is_none() && segment.has_content(bytes)
        });
        for number in disk.numbers() {
            let (segment, bytes) = (&self.segments[&number], disk.bytes(number));
            if let Some(at) = segment.corrupt_outside_records(bytes) {
                corrupt.push((number, at));
                continue;
            }
            if !segment.has_content(bytes) && Some(number) < last_number {
                corrupt.push((number, RECORDS_AT));
            }
            // A segment is written to only after the previous one was sealed and synced.
            if segment.has_content(bytes)
                && let Some((number, found)) = last.replace((number, segment.found(bytes)))
                && !found.is_sealed
            {
                corrupt.push((number, found.end));
            }
        }
        if let Some((number, found)) = &last
            && found.is_proven
        {
            corrupt.push((*number, found.end));
        }
        if let Some((segment, at)) = corrupt.iter().min() {
            return Expected::Corrupt {
                segment: *segment,
                at: *at,
            };
        }
        let (segment, found) = last.expect("a log that was opened has a record");
        let numbers = disk.numbers().into_iter();
        let count = numbers.map(|number| self.segments[&number].found(disk.bytes(number)).records);
        Expected::Opens {
            records: count.sum(),
            segment,
            end: found.end,
            is_clean: found.is_clean,
        }
    }
}

/// The records of a segment that are as they were written.
#[derive(Debug)]
struct Found {
    records: usize,
    /// Where they end.
    end: usize,
    /// True when something that is as it was written proves that more was synced.
    is_proven: bool,
    is_sealed: bool,
    is_clean: bool,
}

impl Segment {
    fn write(&mut self, at: usize, bytes: &Bytes) {
        if at >= self.size - TRAILER {
            self.clean_end = Some((bytes.clone(), self.synced));
            return;
        }
        self.chain.retain(|record| record.at < at);
        let mut rest = bytes.clone();
        while rest.len() >= HEAD {
            let body = u32::from_le_bytes(rest[16..20].try_into().unwrap());
            let len = rest.len().min(HEAD + usize::try_from(body).unwrap());
            let record = Record {
                at: at + bytes.len() - rest.len(),
                bytes: rest.split_to(len),
                synced: self.synced,
            };
            self.all.push(record.clone());
            self.chain.push(record);
        }
        self.written = at + bytes.len();
    }

    /// The first corrupt byte outside the records, if the header, its copy or the size is not as it was.
    fn corrupt_outside_records(&self, bytes: &[u8]) -> Option<usize> {
        if !bytes.starts_with(&self.header) {
            return Some(0);
        }
        if bytes.len() != self.size {
            return Some(bytes.len().min(self.size));
        }
        let copy_at = self.size - TRAILER;
        (!bytes[copy_at..].starts_with(&self.header)).then_some(copy_at)
    }

    /// What is as it was written and proves that everything below a byte was synced.
    fn evidence<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let heads = self.all.iter().filter(|record| {
            record.bytes.len() >= HEAD && bytes[record.at..].starts_with(&record.bytes[..HEAD])
        });
        let at = self.size - TRAILER / 2;
        let clean_end = self.clean_end.iter();
        let clean_end = clean_end.filter(move |(written, _)| bytes[at..].starts_with(written));
        heads
            .map(|record| record.synced)
            .chain(clean_end.map(|(_, synced)| *synced))
    }

    fn has_content(&self, bytes: &[u8]) -> bool {
        self.evidence(bytes).next().is_some()
    }

    fn found(&self, bytes: &[u8]) -> Found {
        let is_intact = |record: &&Record| bytes[record.at..].starts_with(&record.bytes);
        let intact: Vec<&Record> = self.chain.iter().take_while(is_intact).collect();
        let last = intact.last();
        let is_last = |kind: u8| last.is_some_and(|record| record.bytes[HEAD - 1] == kind);
        let has_checkpoint = intact.first().is_some_and(|first| {
            let count = |at: usize| {
                let bytes = first.bytes[HEAD + at..][..4].try_into().unwrap();
                usize::try_from(u32::from_le_bytes(bytes)).unwrap()
            };
            intact.len() > count(21) + count(25)
        });
        let end = last
            .filter(|_| has_checkpoint)
            .map_or(RECORDS_AT, |record| record.at + record.bytes.len());
        Found {
            records: intact.len(),
            end,
            is_proven: self.evidence(bytes).any(|synced| synced > end),
            is_sealed: has_checkpoint && is_last(SEGMENT_END),
            is_clean: has_checkpoint && is_last(CLEAN_SHUTDOWN),
        }
    }
}
