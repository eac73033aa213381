//! The segments of a directory at one moment, also while a gateway writes to them and removes the oldest.
//!
//! All segments are opened before any is read, so a segment that retention removes later is still read. Sealed segments
//! do not change any more; of the others, which are read first and newest first, `steadfast_log::snapshot` keeps what is
//! consistent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use bytes::Bytes;
use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_log::snapshot::{SegmentCopy, SegmentSnapshot, SnapshotStep};
use steadfast_log::verify::ReadRequest;
use steadfast_machine::convert;

use crate::engine::log::disk::read_at;
use crate::engine::log::files::directory::Names;

/// How often the directory is listed again, if a gateway removes or seals segments at the same time.
const ATTEMPTS_MAX: u32 = 100;

/// The segments at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    found: Vec<SegmentFound>,
    files: BTreeMap<SegmentNumber, File>,
    /// The segments that may be written to, as they were.
    copies: BTreeMap<SegmentNumber, Bytes>,
}

impl Snapshot {
    /// Opens the segments of a directory.
    pub(super) fn take(names: &Names) -> io::Result<Self> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(files) = open_all(names)?
                && let Some(snapshot) = Self::read_unsealed(files)?
            {
                return Ok(snapshot);
            }
        }
        Err(io::Error::other(
            "the segments changed too often while they were read; try again",
        ))
    }

    /// Lists the segments in order of their numbers.
    pub(super) fn segments(&self) -> &[SegmentFound] {
        &self.found
    }

    /// Reads bytes; returns fewer than requested only at the end of the segment.
    pub(super) fn read(&self, request: &ReadRequest) -> io::Result<Bytes> {
        if let Some(copy) = self.copies.get(&request.segment) {
            let at = convert::saturating::<usize>(request.at).min(copy.len());
            let end = at.saturating_add(request.len).min(copy.len());
            return Ok(copy.slice(at..end));
        }
        let file = self.files.get(&request.segment);
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        read_at(file, request.at, request.len)
    }

    /// Reads the segments that may be written to. Returns `None` if a later segment was begun before all were read.
    fn read_unsealed(files: BTreeMap<SegmentNumber, File>) -> io::Result<Option<Self>> {
        let mut found = Vec::new();
        for (number, file) in &files {
            let bytes = file.metadata()?.len();
            let number = *number;
            found.push(SegmentFound { number, bytes });
        }
        let mut copies = BTreeMap::new();
        for (number, file) in files.iter().rev() {
            let copy = copy(*number, file)?;
            let is_newest = copies.is_empty();
            if is_newest && copy.next.is_some_and(|next| !files.contains_key(&next)) {
                return Ok(None);
            }
            copies.insert(*number, Bytes::from(copy.bytes));
            if copy.has_records {
                break;
            }
        }
        Ok(Some(Self {
            found,
            files,
            copies,
        }))
    }
}

/// Opens all segments; `None` if one was removed after they were listed.
fn open_all(names: &Names) -> io::Result<Option<BTreeMap<SegmentNumber, File>>> {
    let mut files = BTreeMap::new();
    for segment in names.segments()? {
        match names.read_segment(segment.number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => files.insert(segment.number, file?),
        };
    }
    Ok(Some(files))
}

fn copy(number: SegmentNumber, file: &File) -> io::Result<SegmentCopy> {
    let mut snapshot = SegmentSnapshot::new(number);
    loop {
        let len = convert::saturating(file.metadata()?.len());
        match snapshot.on_read(read_at(file, 0, len)?.into()) {
            SnapshotStep::ReadAgain => {}
            SnapshotStep::Done(copy) => return Ok(copy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::path::Path;
    use std::time::Duration;

    use steadfast_clock::Clock;
    use steadfast_engine::{Append, Publisher, Request, RequestId, RetentionClass};
    use steadfast_log::Log;
    use steadfast_log::policy::{LogPolicy, LogSettings};
    use steadfast_machine::ByteSize;
    use steadfast_protocol::message::{ChannelName, PayloadKind};

    use super::*;
    use crate::engine::{EngineSetup, RING_LIMITS, log};

    #[test]
    fn the_segments_are_listed_again_if_the_log_continued_in_one_that_was_not_listed() {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path());
        let names = Names::open(directory.path()).unwrap();
        let files = || open_all(&names).unwrap().unwrap();
        let mut listed_before = files();
        listed_before.pop_last().unwrap();
        let newest = listed_before.pop_last().unwrap();

        assert!(Snapshot::read_unsealed(files()).unwrap().is_some());
        assert!(
            Snapshot::read_unsealed(listed_before).unwrap().is_none(),
            "segment {newest:?} is missing"
        );
    }

    /// Fills several segments; the last one is reserved and empty.
    fn fill(path: &Path) {
        let clock = Clock::start();
        let setup = EngineSetup {
            shards: NonZeroU16::MIN,
            ring: RING_LIMITS,
            clock,
        };
        let policy = LogPolicy::new(LogSettings {
            segment_bytes: ByteSize::from_kib(64),
            ..LogSettings::for_tests()
        });
        let machine = Log::new(policy.unwrap(), clock.now());
        let (service, mut shards, _) = log::start(&setup, path, machine).unwrap();
        let shard = shards.first_mut().unwrap();
        for number in 0..200 {
            shard.request(Request::Append(Append {
                request_id: RequestId { shard: 0, number },
                channel: ChannelName::from("news"),
                data: Bytes::from(vec![b'1'; 1000]),
                kind: PayloadKind::Json,
                retention: RetentionClass::Kept,
                publisher: Publisher::default(),
                idempotency_key: None,
                may_create_channel: true,
            }));
        }
        shard.flush();
        service.close(Duration::from_mins(1)).unwrap();
    }
}
