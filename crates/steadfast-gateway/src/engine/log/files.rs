//! Segments as files of one data directory.
//!
//! Owns the directory's lock and the threads that execute operations: one writes with `pwrite` and syncs with
//! `fdatasync`, one reads with `pread`, and the segment worker's thread creates and deletes files.

pub(super) mod directory;
mod io_worker;
mod segment_worker;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use steadfast_log::io::{Place, SegmentFound, SegmentNumber};

use self::directory::{Directory, foreign, instance, marker};
use self::io_worker::{IoOperation, IoWorker, SegmentFiles};
use self::segment_worker::SegmentWorker;
use super::disk::Disk;
use super::error::LogError;
use super::storage::{Completion, Reservation};

/// Called by the threads when a completion is available.
pub(super) type WakeFn = Arc<dyn Fn() + Send + Sync>;

/// All segments of one data directory.
#[derive(Debug)]
pub(super) struct Files {
    // The directory is declared last, so that the segment worker has stopped before the lock is released.
    segment_worker: SegmentWorker,
    writes: IoWorker,
    reads: IoWorker,
    /// The completions of both I/O workers.
    completions: Receiver<Completion>,
    directory: Directory,
}

impl Files {
    /// Locks the directory for this process. `wake` is called whenever a completion is available.
    pub(super) fn open(path: &Path, disk: &Arc<dyn Disk>, wake: &WakeFn) -> Result<Self, LogError> {
        foreign::check(path)?;
        let directory = Directory::open(path)?;
        marker::check_usable(path, directory.names())?;
        directory
            .remove_partial()
            .map_err(|error| LogError::from_io(path, error))?;
        let not_started = |source| LogError::ThreadNotStarted { source };
        let names = || directory.names().try_clone();
        let segment_worker = SegmentWorker::start(names().map_err(not_started)?, Arc::clone(wake));
        let (sender, completions) = channel();
        let start = |name| {
            let files = SegmentFiles::new(names()?, Arc::clone(disk));
            IoWorker::start(name, files, sender.clone(), Arc::clone(wake))
        };
        Ok(Self {
            segment_worker: segment_worker.map_err(not_started)?,
            writes: start("log-writes").map_err(not_started)?,
            reads: start("log-reads").map_err(not_started)?,
            completions,
            directory,
        })
    }

    /// Lists the segments in order of their numbers.
    pub(super) fn list(&self) -> io::Result<Vec<SegmentFound>> {
        self.directory.segments()
    }

    /// Returns whether the log was opened in this directory last.
    pub(super) fn place(&self) -> io::Result<Place> {
        instance::place(self.directory.names())
    }

    /// Starts to record that the directory is the place of its log. A failure is only logged.
    pub(super) fn claim(&self) {
        // A thread that has exited has failed, which the next write reports.
        drop(self.writes.start_operation(IoOperation::Claim));
    }

    /// Starts to create a segment. Returns the completion, or `None` if `poll_completion` returns it later.
    pub(super) fn reserve(&self, reservation: Reservation) -> Option<Completion> {
        // A new file replaces the old one under this name: the file that is open must not be written to.
        self.close(reservation.segment);
        self.segment_worker.reserve(reservation)
    }

    /// Starts to check that the directory is still at its path, for a log that is idle. Returns the completion as `reserve`
    /// does.
    pub(super) fn check(&self) -> Option<Completion> {
        let started = self.writes.start_operation(IoOperation::Check);
        started
            .err()
            .map(|_| Completion::Checked(Err(thread_exited())))
    }

    /// Starts to write the bytes at this offset, and to make the segment durable if `sync` is set. Returns the completion
    /// as `reserve` does.
    pub(super) fn write(
        &self,
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
        sync: bool,
    ) -> Option<Completion> {
        let operation = IoOperation::Write {
            segment,
            at,
            bytes,
            sync,
        };
        let started = self.writes.start_operation(operation);
        started
            .err()
            .map(|_| Completion::NotWritten(thread_exited()))
    }

    /// Starts to make everything that was written to the segment durable.
    pub(super) fn sync(&self, segment: SegmentNumber) -> Option<Completion> {
        let started = self.writes.start_operation(IoOperation::Sync(segment));
        started
            .err()
            .map(|_| Completion::NotSynced(thread_exited()))
    }

    /// Starts to read bytes; fewer than `len` are read only at the end of the segment.
    pub(super) fn read(
        &self,
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    ) -> Option<Completion> {
        let operation = IoOperation::Read {
            read,
            segment,
            at,
            len,
        };
        let started = self.reads.start_operation(operation);
        started
            .err()
            .map(|_| Completion::NotRead(read, thread_exited()))
    }

    /// Starts to delete a segment. Returns a failure, or `None`; `poll_completion` may return a failure later.
    pub(super) fn remove(&self, segment: SegmentNumber) -> Option<Completion> {
        self.close(segment);
        self.segment_worker.remove(segment)
    }

    /// Returns the next completion that is available.
    pub(super) fn poll_completion(&self) -> Option<Completion> {
        let completion = self.completions.try_recv().ok();
        completion.or_else(|| self.segment_worker.poll_completion())
    }

    fn close(&self, segment: SegmentNumber) {
        for worker in [&self.writes, &self.reads] {
            // A thread that has exited has closed its files.
            drop(worker.start_operation(IoOperation::Close(segment)));
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nothing is written after the lock is released. A read that is stuck changes nothing, and is not waited for.
        self.writes.stop();
    }
}

fn thread_exited() -> io::Error {
    io::Error::other("the I/O thread of the log has exited")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::directory::place::Misplaced;
    use super::directory::segment_path;
    use super::*;
    use crate::engine::log::disk::SystemDisk;

    const SEGMENT: SegmentNumber = SegmentNumber(1);

    #[test]
    fn writes_to_a_segment_that_was_reserved_again_are_in_the_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (files, woken) = open(directory.path());
        reserve(&files, &woken, 4096);
        assert!(files.read(1, SEGMENT, 0, 4096).is_none());
        assert!(matches!(
            next_completion(&files, &woken),
            Completion::Read(1, _)
        ));
        write(&files, &woken, Bytes::from_static(b"old"));

        reserve(&files, &woken, 8192);
        write(&files, &woken, Bytes::from_static(b"acknowledged"));

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
        let (files, woken) = open(directory.path());

        reserve(&files, &woken, 4096);

        let stored = std::fs::read(segment_path(directory.path(), SEGMENT)).unwrap();
        assert_eq!(stored.len(), 4096);
        assert!(stored.starts_with(b"first") && stored.ends_with(b"last"));
        assert!(stored[5..4092].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_segment_or_a_directory_that_is_no_longer_at_its_path_is_not_written_or_synced() {
        type Change = fn(&Path, &Path);
        let changes: [(bool, Change); 4] = [
            (true, |data, _| {
                std::fs::remove_file(segment_path(data, SEGMENT)).unwrap();
            }),
            (false, |data, other| std::fs::rename(data, other).unwrap()),
            (false, |data, _| std::fs::remove_dir_all(data).unwrap()),
            (false, |data, other| {
                std::fs::rename(data, other).unwrap();
                std::fs::create_dir(data).unwrap();
                std::fs::write(segment_path(data, SEGMENT), "of another log").unwrap();
            }),
        ];
        for (is_directory_in_place, change) in changes {
            let parent = tempfile::tempdir().unwrap();
            let (data, other) = (parent.path().join("data"), parent.path().join("other"));
            let (files, woken) = open(&data);
            reserve(&files, &woken, 4096);
            write(&files, &woken, Bytes::from_static(b"in place"));

            change(&data, &other);

            for sync in [false, true] {
                assert!(
                    files
                        .write(SEGMENT, 0, Bytes::from_static(b"lost"), sync)
                        .is_none()
                );
                let completion = next_completion(&files, &woken);
                assert!(
                    matches!(&completion, Completion::NotWritten(error) if Misplaced::is(error)),
                    "{completion:?}"
                );
            }
            assert!(files.sync(SEGMENT).is_none());
            let completion = next_completion(&files, &woken);
            assert!(
                matches!(&completion, Completion::NotSynced(error) if Misplaced::is(error)),
                "{completion:?}"
            );
            assert!(files.check().is_none());
            let Completion::Checked(checked) = next_completion(&files, &woken) else {
                panic!("not a check")
            };
            assert_eq!(checked.is_ok(), is_directory_in_place);
        }
    }

    fn reserve(files: &Files, woken: &Receiver<()>, bytes: u64) {
        let reservation = Reservation {
            segment: SEGMENT,
            bytes,
            first: Bytes::from_static(b"first"),
            last: Bytes::from_static(b"last"),
        };
        assert!(files.reserve(reservation).is_none());
        assert!(matches!(
            next_completion(files, woken),
            Completion::Reserved(SEGMENT)
        ));
    }

    fn write(files: &Files, woken: &Receiver<()>, bytes: Bytes) {
        assert!(files.write(SEGMENT, 0, bytes, true).is_none());
        assert!(matches!(next_completion(files, woken), Completion::Synced));
    }

    fn next_completion(files: &Files, woken: &Receiver<()>) -> Completion {
        woken.recv_timeout(Duration::from_secs(30)).unwrap();
        files.poll_completion().unwrap()
    }

    fn open(directory: &Path) -> (Files, Receiver<()>) {
        let (wake, woken) = channel();
        let wake: WakeFn = Arc::new(move || wake.send(()).unwrap());
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        (Files::open(directory, &disk, &wake).unwrap(), woken)
    }
}
