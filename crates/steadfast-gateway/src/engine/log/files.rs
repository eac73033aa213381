//! Segments as files of one data directory.
//!
//! Owns the directory's lock and the open files. Writes with `pwrite`, syncs with `fdatasync`, reads with `pread`, all
//! on the writer thread; the segment worker's thread creates and deletes files.

pub(super) mod directory;
mod segment_worker;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use steadfast_log::io::{SegmentFound, SegmentNumber};
use steadfast_machine::convert;

use self::directory::{Directory, DirectoryAccess, segment_path};
use self::segment_worker::SegmentWorker;
pub(super) use self::segment_worker::WakeFn;
use super::error::LogError;
use super::storage::{Completion, Reservation};

/// The maximum number of open segments. At the limit, the open segment with the lowest number that needs no sync is
/// closed; it is opened again when needed.
const OPEN_MAX: usize = 64;

/// The size from which a read is worth a second system call, which avoids filling the buffer with zeros first.
const STREAMED_MIN: usize = 64 << 10;

/// All segments of one data directory.
#[derive(Debug)]
pub(super) struct Files {
    // This field is declared first, so that the segment worker has stopped before the lock is released.
    segment_worker: SegmentWorker,
    open: BTreeMap<SegmentNumber, File>,
    /// Segments with bytes that no sync covers yet; they stay open, so that a failure of write-back is detected.
    unsynced: BTreeSet<SegmentNumber>,
    directory: Directory,
}

impl Files {
    /// Locks the directory for this process. `wake` is called whenever a completion is available.
    pub(super) fn open(path: &Path, wake: WakeFn) -> Result<Self, LogError> {
        let directory = Directory::open(path, DirectoryAccess::Write)?;
        directory
            .remove_partial()
            .map_err(|error| LogError::from_io(path, error))?;
        let segment_worker = SegmentWorker::start(path.to_path_buf(), wake)
            .map_err(|source| LogError::ThreadNotStarted { source })?;
        Ok(Self {
            segment_worker,
            open: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            directory,
        })
    }

    /// Lists the segments in order of their numbers.
    pub(super) fn list(&self) -> io::Result<Vec<SegmentFound>> {
        self.directory.segments()
    }

    /// Starts to create a segment. Returns the completion, or `None` if `poll_completion` returns it later.
    pub(super) fn reserve(&mut self, reservation: Reservation) -> Option<Completion> {
        // A new file replaces the old one under this name: the file that is open must not be written to.
        self.open.remove(&reservation.segment);
        self.segment_worker.reserve(reservation)
    }

    /// Writes the bytes at this offset.
    pub(super) fn write(
        &mut self,
        segment: SegmentNumber,
        at: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.unsynced.insert(segment);
        self.file(segment)?.write_all_at(bytes, at)
    }

    /// Makes everything that was written to the segment durable.
    pub(super) fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.file(segment)?.sync_data()?;
        self.unsynced.remove(&segment);
        Ok(())
    }

    /// Reads bytes; returns fewer than `len` only at the end of the segment.
    pub(super) fn read(
        &mut self,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    ) -> io::Result<Bytes> {
        read_at(self.file(segment)?, at, len)
    }

    /// Starts to delete a segment. Returns a failure, or `None`; `poll_completion` may return a failure later.
    pub(super) fn remove(&mut self, segment: SegmentNumber) -> Option<Completion> {
        self.open.remove(&segment);
        self.unsynced.remove(&segment);
        self.segment_worker.remove(segment)
    }

    /// Returns the next completion that is available.
    pub(super) fn poll_completion(&self) -> Option<Completion> {
        self.segment_worker.poll_completion()
    }

    fn file(&mut self, segment: SegmentNumber) -> io::Result<&File> {
        if self.open.len() >= OPEN_MAX && !self.open.contains_key(&segment) {
            let spare = self
                .open
                .keys()
                .find(|number| !self.unsynced.contains(number))
                .copied();
            spare.and_then(|number| self.open.remove(&number));
        }
        match self.open.entry(segment) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let path = segment_path(self.directory.path(), segment);
                Ok(entry.insert(OpenOptions::new().read(true).write(true).open(path)?))
            }
        }
    }
}

/// Reads until `len` bytes have been read or the file ends.
pub(super) fn read_at(file: &File, at: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(len);
    if len < STREAMED_MIN {
        bytes.resize(len, 0);
        let filled = fill_at(file, at, &mut bytes)?;
        bytes.truncate(filled);
    } else {
        let mut file = file;
        file.seek(SeekFrom::Start(at))?;
        file.take(convert::to_u64(len)).read_to_end(&mut bytes)?;
    }
    Ok(Bytes::from(bytes))
}

fn fill_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read_at(rest, at + convert::to_u64(filled)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    const SEGMENT: SegmentNumber = SegmentNumber(1);

    #[test]
    fn writes_to_a_segment_that_was_reserved_again_are_in_the_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (wake, woken) = channel();
        let wake = Box::new(move || wake.send(()).unwrap());
        let mut files = Files::open(directory.path(), wake).unwrap();
        reserve(&mut files, &woken, 4096);
        files.read(SEGMENT, 0, 4096).unwrap();

        reserve(&mut files, &woken, 8192);
        files.write(SEGMENT, 0, b"acknowledged").unwrap();
        files.sync(SEGMENT).unwrap();

        let stored = std::fs::read(segment_path(directory.path(), SEGMENT)).unwrap();
        assert_eq!(stored.len(), 8192);
        assert!(
            stored.starts_with(b"acknowledged"),
            "lost with the old file"
        );
    }

    #[test]
    fn a_segment_begins_and_ends_as_requested_with_zeros_between() {
        let directory = tempfile::tempdir().unwrap();
        let (wake, woken) = channel();
        let wake = Box::new(move || wake.send(()).unwrap());
        let mut files = Files::open(directory.path(), wake).unwrap();

        reserve(&mut files, &woken, 4096);

        let stored = std::fs::read(segment_path(directory.path(), SEGMENT)).unwrap();
        assert_eq!(stored.len(), 4096);
        assert!(stored.starts_with(b"first") && stored.ends_with(b"last"));
        assert!(stored[5..4092].iter().all(|byte| *byte == 0));
    }

    fn reserve(files: &mut Files, woken: &Receiver<()>, bytes: u64) {
        let reservation = Reservation {
            segment: SEGMENT,
            bytes,
            first: Bytes::from_static(b"first"),
            last: Bytes::from_static(b"last"),
        };
        assert!(files.reserve(reservation).is_none());
        woken.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(matches!(
            files.poll_completion(),
            Some(Completion::Reserved(SEGMENT))
        ));
    }
}
