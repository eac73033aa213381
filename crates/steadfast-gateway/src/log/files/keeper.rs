//! The keeper: a thread that creates and deletes segment files, so that the writer never waits for either.
//!
//! Creating means writing zeros: blocks that are only promised cost a journal entry at each sync, and such a sync takes
//! twice as long. A segment gets its name only when it is complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use steadfast_hub::log::io::SegmentNumber;

use super::directory::{new_file, partial_path, segment_path, sync_names};
use crate::log::storage::Done;

/// Zeros written at a time; after each piece the keeper looks whether it shall stop.
const PIECE_BYTES: usize = 1 << 20;

/// Orders that may wait. The machine reserves one segment at a time and removes a few after it; when it removes more
/// than this at once, the writer waits for the keeper, which waits for nobody.
const ORDERS_MAX: usize = 1024;

/// Called when something has ended.
pub(in crate::log) type Wake = Box<dyn Fn() + Send>;

/// The writer's end of the keeper. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: Option<SyncSender<Order>>,
    done: Receiver<Done>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Reserve(SegmentNumber, u64),
    Remove(SegmentNumber),
}

impl Keeper {
    pub(super) fn start(directory: PathBuf, wake: Wake) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        // Each order gives at most one answer, so the orders bound this channel too.
        let (outbox, done) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("log-keeper".into())
            .spawn(move || run(&directory, &inbox, &outbox, &stopped, &wake))?;
        Ok(Self {
            orders: Some(orders),
            done,
            stop,
            thread: Some(thread),
        })
    }

    pub(super) fn reserve(&self, segment: SegmentNumber, bytes: u64) -> Option<Done> {
        self.order(Order::Reserve(segment, bytes))
            .err()
            .map(|error| Done::NotReserved(segment, error))
    }

    pub(super) fn remove(&self, segment: SegmentNumber) -> Option<Done> {
        self.order(Order::Remove(segment))
            .err()
            .map(|error| Done::NotRemoved(segment, error))
    }

    pub(super) fn finished(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(io::Error::other("the keeper's thread is gone")),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the log's keeper thread panicked");
        }
    }
}

fn run(
    directory: &Path,
    inbox: &Receiver<Order>,
    outbox: &Sender<Done>,
    stop: &AtomicBool,
    wake: &Wake,
) {
    while let Ok(order) = inbox.recv() {
        let done = match order {
            Order::Reserve(segment, bytes) => match create(directory, segment, bytes, stop) {
                Ok(()) => Some(Done::Reserved(segment)),
                Err(error) => Some(Done::NotReserved(segment, error)),
            },
            Order::Remove(segment) => remove(directory, segment)
                .err()
                .map(|error| Done::NotRemoved(segment, error)),
        };
        if let Some(done) = done {
            if outbox.send(done).is_err() {
                return;
            }
            wake();
        }
    }
}

/// Creates the whole segment or nothing.
fn create(
    directory: &Path,
    segment: SegmentNumber,
    bytes: u64,
    stop: &AtomicBool,
) -> io::Result<()> {
    let partial = partial_path(directory, segment);
    let made = fill(&partial, bytes, stop)
        .and_then(|()| std::fs::rename(&partial, segment_path(directory, segment)));
    if let Err(error) = made {
        // What is there takes room that is needed; if it cannot be deleted now, the next start does it.
        if let Err(error) = std::fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, segment = segment.0, "cannot delete an incomplete segment");
        }
        return Err(error);
    }
    sync_names(directory)
}

fn fill(path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
    let file = new_file().open(path)?;
    write_zeros(&file, bytes, stop)?;
    file.sync_all()
}

fn write_zeros(file: &File, bytes: u64, stop: &AtomicBool) -> io::Result<()> {
    let piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the log was closed meanwhile"));
        }
        let len = usize::try_from(bytes - at)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        file.write_all_at(piece.get(..len).unwrap_or_default(), at)?;
        at += u64::try_from(len).unwrap_or(u64::MAX);
    }
    Ok(())
}

fn remove(directory: &Path, segment: SegmentNumber) -> io::Result<()> {
    match std::fs::remove_file(segment_path(directory, segment)) {
        // An earlier try deleted it and could not make that durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    sync_names(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_is_repeated_because_its_name_was_not_durable_yet_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let path = segment_path(directory.path(), SegmentNumber(1));
        std::fs::write(&path, "old").unwrap();

        for _ in 0..2 {
            remove(directory.path(), SegmentNumber(1)).unwrap();
        }

        assert!(!path.exists());
    }
}
