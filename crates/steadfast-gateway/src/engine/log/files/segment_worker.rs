//! The segment worker: a thread that creates and deletes segment files, so that the writer does not wait
//! for either operation.
//!
//! Creating a segment writes zeros: blocks that are only allocated need a file system journal entry at each sync, and
//! such a sync takes twice as long. A segment gets its final name only when it is complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use steadfast_log::io::SegmentNumber;
use steadfast_machine::convert;

use super::WakeFn;
use super::directory::Names;
use crate::engine::log::storage::{Completion, Reservation};

/// The number of zeros that are written at a time; before each chunk the worker checks whether it must stop.
const CHUNK_BYTES: usize = 1 << 20;

/// The maximum number of queued operations. The state machine reserves one segment at a time and removes a few after
/// it; when it removes more than this at once, the writer waits for the worker, which never waits for another thread.
const OPERATIONS_MAX: usize = 1024;

/// The writer's handle of the segment worker. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub(super) struct SegmentWorker {
    operations: Option<SyncSender<SegmentOperation>>,
    completion: Receiver<Completion>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum SegmentOperation {
    Reserve(Reservation),
    Remove(SegmentNumber),
}

impl SegmentWorker {
    pub(super) fn start(directory: Names, wake: WakeFn) -> io::Result<Self> {
        let (operations, inbox) = sync_channel(OPERATIONS_MAX);
        // Each operation has at most one completion, so the bound on operations also bounds this channel.
        let (outbox, completion) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("log-segments".into())
            .spawn(move || run(&directory, &inbox, &outbox, &stopped, &wake))?;
        Ok(Self {
            operations: Some(operations),
            completion,
            stop,
            thread: Some(thread),
        })
    }

    pub(super) fn reserve(&self, reservation: Reservation) -> Option<Completion> {
        let segment = reservation.segment;
        self.operation(SegmentOperation::Reserve(reservation))
            .err()
            .map(|error| Completion::NotReserved(segment, error))
    }

    pub(super) fn remove(&self, segment: SegmentNumber) -> Option<Completion> {
        self.operation(SegmentOperation::Remove(segment))
            .err()
            .map(|error| Completion::NotRemoved(segment, error))
    }

    pub(super) fn poll_completion(&self) -> Option<Completion> {
        self.completion.try_recv().ok()
    }

    fn operation(&self, operation: SegmentOperation) -> io::Result<()> {
        let sent = self
            .operations
            .as_ref()
            .map(|operations| operations.send(operation));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(io::Error::other("the segment worker's thread has exited")),
        }
    }
}

impl Drop for SegmentWorker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.operations = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("segment worker thread panicked");
        }
    }
}

fn run(
    directory: &Names,
    inbox: &Receiver<SegmentOperation>,
    outbox: &Sender<Completion>,
    stop: &AtomicBool,
    wake: &WakeFn,
) {
    while let Ok(operation) = inbox.recv() {
        let completion = match operation {
            SegmentOperation::Reserve(reservation) => {
                let segment = reservation.segment;
                match create(directory, &reservation, stop) {
                    Ok(()) => Some(Completion::Reserved(segment)),
                    Err(error) => Some(Completion::NotReserved(segment, error)),
                }
            }
            SegmentOperation::Remove(segment) => remove(directory, segment)
                .err()
                .map(|error| Completion::NotRemoved(segment, error)),
        };
        if let Some(completion) = completion {
            if outbox.send(completion).is_err() {
                return;
            }
            wake();
        }
    }
}

/// Creates the complete segment or nothing.
fn create(directory: &Names, reservation: &Reservation, stop: &AtomicBool) -> io::Result<()> {
    let segment = reservation.segment;
    // A segment of a directory that was moved would be lost, even if it holds hard links of the segments at the path.
    directory.check()?;
    let made = directory
        .create_partial(segment)
        .and_then(|file| fill(&file, reservation, stop))
        .and_then(|()| directory.complete(segment));
    if let Err(error) = made {
        // The partial file uses space that is needed; if it cannot be deleted now, the next start deletes it.
        if let Err(error) = directory.remove_partial(segment)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, segment = segment.0, "failed to delete an incomplete segment");
        }
        return Err(error);
    }
    directory.sync()
}

fn fill(file: &File, reservation: &Reservation, stop: &AtomicBool) -> io::Result<()> {
    write_zeros(file, reservation.bytes, stop)?;
    let last_len = convert::to_u64(reservation.last.len());
    file.write_all_at(&reservation.first, 0)?;
    file.write_all_at(
        &reservation.last,
        reservation.bytes.saturating_sub(last_len),
    )?;
    file.sync_all()
}

fn write_zeros(file: &File, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
    let chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other(
                "the log was closed while the segment was being created",
            ));
        }
        let len = convert::saturating::<usize>(bytes - at).min(CHUNK_BYTES);
        file.write_all_at(chunk.get(..len).unwrap_or_default(), at)?;
        at += convert::to_u64(len);
    }
    Ok(())
}

fn remove(directory: &Names, segment: SegmentNumber) -> io::Result<()> {
    match directory.remove_segment(segment) {
        // An earlier attempt deleted the file but could not make the deletion durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    directory.sync()
}

#[cfg(test)]
mod tests {
    use super::super::directory::{Directory, segment_path};
    use super::*;

    #[test]
    fn a_removal_that_is_repeated_because_it_was_not_durable_yet_succeeds() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path()).unwrap();
        let path = segment_path(parent.path(), SegmentNumber(1));
        std::fs::write(&path, "old").unwrap();

        for _ in 0..2 {
            remove(directory.names(), SegmentNumber(1)).unwrap();
        }

        assert!(!path.exists());
    }
}
