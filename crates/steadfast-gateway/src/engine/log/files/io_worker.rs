//! The I/O workers: threads that write, sync and read segments, so that the log's thread waits for none of these.
//!
//! One thread writes and syncs, and another one reads: a read does not wait for a sync. Each opens its own files and
//! executes its operations in order. A stuck disk stops only what needs the disk.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use steadfast_log::io::SegmentNumber;

use super::WakeFn;
use super::directory::place::FileId;
use super::directory::{Names, instance};
use crate::engine::log::disk::Disk;
use crate::engine::log::storage::Completion;

/// The maximum number of segments that one thread has open. At the limit, the open segment with the lowest number that
/// needs no sync is closed; it is opened again when needed.
const OPEN_MAX: usize = 32;

/// An operation of one thread. All but the last two have one completion.
#[derive(Debug)]
pub(super) enum IoOperation {
    /// Writes the bytes at this offset, and makes the segment durable if `sync` is set.
    Write {
        segment: SegmentNumber,
        at: u64,
        bytes: Bytes,
        sync: bool,
    },
    /// Makes everything that was written to the segment durable.
    Sync(SegmentNumber),
    /// Reads bytes; fewer than `len` only at the end of the segment.
    Read {
        read: u64,
        segment: SegmentNumber,
        at: u64,
        len: usize,
    },
    /// Checks that the directory is still at its path.
    Check,
    /// Records that the directory is the place of its log.
    Claim,
    /// Closes the file of a segment that is created again or deleted.
    Close(SegmentNumber),
}

/// The handle of one thread.
#[derive(Debug)]
pub(super) struct IoWorker {
    /// Unbounded, because the state machine has few operations in flight.
    operations: Option<Sender<IoOperation>>,
    thread: Option<JoinHandle<()>>,
}

impl IoWorker {
    /// Starts the thread, which sends the completions and calls `wake` after each.
    pub(super) fn start(
        name: &str,
        files: SegmentFiles,
        completions: Sender<Completion>,
        wake: WakeFn,
    ) -> io::Result<Self> {
        let (operations, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run(files, &inbox, &completions, &wake))?;
        Ok(Self {
            operations: Some(operations),
            thread: Some(thread),
        })
    }

    /// Starts an operation. Returns it if the thread has exited.
    pub(super) fn start_operation(&self, operation: IoOperation) -> Result<(), IoOperation> {
        match &self.operations {
            Some(operations) => operations.send(operation).map_err(|error| error.0),
            None => Err(operation),
        }
    }

    /// Stops the thread after its operations, and waits for it.
    pub(super) fn stop(&mut self) {
        self.operations = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("I/O thread of the log panicked");
        }
    }
}

fn run(
    mut files: SegmentFiles,
    inbox: &Receiver<IoOperation>,
    completions: &Sender<Completion>,
    wake: &WakeFn,
) {
    while let Ok(operation) = inbox.recv() {
        if let Some(completion) = files.execute(operation) {
            if completions.send(completion).is_err() {
                return;
            }
            wake();
        }
    }
}

/// An open segment.
#[derive(Debug)]
struct OpenSegment {
    file: File,
    id: FileId,
}

/// The segments that one thread has open.
#[derive(Debug)]
pub(super) struct SegmentFiles {
    names: Names,
    disk: Arc<dyn Disk>,
    open: BTreeMap<SegmentNumber, OpenSegment>,
    /// Segments with bytes that no sync covers yet; they stay open, so that a failure of write-back is detected.
    unsynced: BTreeSet<SegmentNumber>,
}

impl SegmentFiles {
    pub(super) fn new(names: Names, disk: Arc<dyn Disk>) -> Self {
        Self {
            names,
            disk,
            open: BTreeMap::new(),
            unsynced: BTreeSet::new(),
        }
    }

    fn execute(&mut self, operation: IoOperation) -> Option<Completion> {
        Some(match operation {
            IoOperation::Write {
                segment,
                at,
                bytes,
                sync,
            } => match self.write(segment, at, &bytes) {
                Err(error) => Completion::NotWritten(error),
                Ok(()) if sync => self.complete_sync(segment),
                Ok(()) => Completion::Written,
            },
            IoOperation::Sync(segment) => self.complete_sync(segment),
            IoOperation::Read {
                read,
                segment,
                at,
                len,
            } => match self.read(segment, at, len) {
                Ok(bytes) => Completion::Read(read, bytes),
                Err(error) => Completion::NotRead(read, error),
            },
            IoOperation::Check => Completion::Checked(self.names.check()),
            IoOperation::Claim => {
                claim(&self.names);
                return None;
            }
            IoOperation::Close(segment) => {
                self.open.remove(&segment);
                self.unsynced.remove(&segment);
                return None;
            }
        })
    }

    /// Succeeds only if the segment is still at its path.
    fn write(&mut self, segment: SegmentNumber, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.unsynced.insert(segment);
        let disk = Arc::clone(&self.disk);
        let open = self.open_segment(segment)?;
        disk.write(&open.file, at, bytes)?;
        let id = open.id;
        self.names.check_segment(segment, id)
    }

    fn complete_sync(&mut self, segment: SegmentNumber) -> Completion {
        match self.sync(segment) {
            Ok(()) => Completion::Synced,
            Err(error) => Completion::NotSynced(error),
        }
    }

    /// Succeeds only if the segment is still at its path then: nothing is acknowledged that the next start would not find.
    fn sync(&mut self, segment: SegmentNumber) -> io::Result<()> {
        let disk = Arc::clone(&self.disk);
        let open = self.open_segment(segment)?;
        disk.sync(&open.file)?;
        let id = open.id;
        self.unsynced.remove(&segment);
        self.names.check_segment(segment, id)
    }

    fn read(&mut self, segment: SegmentNumber, at: u64, len: usize) -> io::Result<Bytes> {
        let disk = Arc::clone(&self.disk);
        disk.read(&self.open_segment(segment)?.file, at, len)
    }

    fn open_segment(&mut self, segment: SegmentNumber) -> io::Result<&OpenSegment> {
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
                let file = self.names.open_segment(segment)?;
                let id = FileId::of(&file.metadata()?);
                Ok(entry.insert(OpenSegment { file, id }))
            }
        }
    }
}

fn claim(names: &Names) {
    if let Err(error) = instance::claim(names) {
        tracing::warn!(
            %error,
            "failed to record that the data directory is in use here; the next start takes it for a copy, and changes \
             all channel epochs"
        );
    }
}
