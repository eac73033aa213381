//! Starts and closes the log, and reports its health.
//!
//! Owns the writer thread. Opening blocks until the log is open or found to be corrupt; the server starts no event loop
//! before that.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::order::OrderLimits;
use steadfast_engine::{Engine, Health};
use steadfast_log::io::{Input, Output};
use steadfast_log::open::OpenReport;

use super::error::LogError;
use super::files::Files;
use super::memory::Memory;
use super::ring_buffer::RingBuffer;
use super::shard_log::ShardLog;
use super::storage::Storage;
use super::writer::{MESSAGES_MAX, ShutdownOutcome, Writer, WriterMessage};

/// Where a log stores its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory: nothing survives the process.
    Memory,
    /// In files of this directory, which is created if it does not exist.
    Directory(PathBuf),
}

/// The parameters for starting a log.
#[derive(Clone, Debug)]
pub struct LogSetup {
    /// Where the log stores its segments.
    pub store: Store,
    /// The number of shards that receive the log's events.
    pub shards: NonZeroU16,
    /// The capacity of the ring buffer to the shards.
    pub ring: OrderLimits,
    /// The clock with which the state machine was created.
    pub clock: Clock,
}

/// Why a log was not closed cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The timeout expired; the writer continues until the process exits.
    #[error("timed out waiting for the log to close")]
    TimedOut,
    /// The clean shutdown could not be recorded, for example because the disk is full.
    #[error("the log was not closed cleanly; the next start runs crash recovery")]
    Unclean,
    /// The writer thread had already exited.
    #[error("the log's thread exited before the log was closed")]
    WriterExited,
}

/// State that the writer and the shards share.
#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) ring: RingBuffer,
    /// The health that the log reported last.
    health: Mutex<Health>,
    close: AtomicBool,
}

impl SharedState {
    pub(super) fn new(ring: RingBuffer) -> Self {
        Self {
            ring,
            health: Mutex::new(Health::Opening),
            close: AtomicBool::new(false),
        }
    }

    pub(super) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    pub(super) fn close_requested(&self) -> bool {
        self.close.load(Ordering::Acquire)
    }
}

/// The log of a process. Dropping it requests the close and does not wait for it.
#[derive(Debug)]
pub struct LogService {
    report: OpenReport,
    shared: Arc<SharedState>,
    writer: SyncSender<WriterMessage>,
    ended: Receiver<ShutdownOutcome>,
}

impl LogService {
    /// Opens the log and starts its thread; blocks until the log is open, at most a few seconds per GiB.
    ///
    /// `machine` is a `steadfast_log::Log` created with `setup.clock`, or a wrapper around it. The handles are in
    /// order of shards.
    ///
    /// # Errors
    ///
    /// When the directory cannot be used or the log is corrupt; [`LogError::help`] returns what to do.
    pub fn start<M>(setup: &LogSetup, machine: M) -> Result<(Self, Vec<ShardLog>), LogError>
    where
        M: Engine<Input = Input, Output = Output> + Send + 'static,
    {
        let (writer, inbox) = sync_channel(MESSAGES_MAX);
        let shards = setup.shards.get();
        let shared = Arc::new(SharedState::new(RingBuffer::new(shards, setup.ring)));
        let wake = writer.clone();
        let (report, ended) = match &setup.store {
            Store::Memory => Self::spawn(setup, machine, Memory::default(), inbox, &shared)?,
            Store::Directory(path) => {
                // A full channel means that the writer is awake anyway.
                let wake = Box::new(move || drop(wake.try_send(WriterMessage::Wake)));
                Self::spawn(setup, machine, Files::open(path, wake)?, inbox, &shared)?
            }
        };
        let handles =
            (0..shards).map(|shard| ShardLog::new(shard, writer.clone(), Arc::clone(&shared)));
        let handles = handles.collect();
        Ok((
            Self {
                report,
                shared,
                writer,
                ended,
            },
            handles,
        ))
    }

    fn spawn<M, S>(
        setup: &LogSetup,
        machine: M,
        storage: S,
        inbox: Receiver<WriterMessage>,
        shared: &Arc<SharedState>,
    ) -> Result<(OpenReport, Receiver<ShutdownOutcome>), LogError>
    where
        M: Engine<Input = Input, Output = Output> + Send + 'static,
        S: Storage + Send + 'static,
    {
        let directory = match &setup.store {
            Store::Memory => None,
            Store::Directory(path) => Some(path.clone()),
        };
        let writer = Writer::new(machine, storage, inbox, Arc::clone(shared), setup.clock);
        let (opened_sender, opened) = sync_channel(1);
        let (ended_sender, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer.run(directory.as_deref(), &opened_sender, &ended_sender))
            .map_err(|source| LogError::ThreadNotStarted { source })?;
        match opened.recv() {
            Ok(opened) => Ok((opened?, ended)),
            Err(_) => Err(LogError::WriterExited),
        }
    }

    /// Returns what was found when the log was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Returns what the log can do now. After a panic of the writer, nothing is acknowledged until a restart, as after a
    /// failed write.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Completes pending requests, records the clean shutdown and releases the directory. Blocks for at most `timeout`,
    /// so it must not be called on an event loop.
    ///
    /// # Errors
    ///
    /// When the shutdown is not clean or the timeout expires. Nothing that was acknowledged is lost in either case.
    pub fn close(self, timeout: Duration) -> Result<(), CloseError> {
        self.request_close();
        match self.ended.recv_timeout(timeout) {
            Ok(ShutdownOutcome::Clean) => Ok(()),
            Ok(ShutdownOutcome::Unclean) => Err(CloseError::Unclean),
            Err(RecvTimeoutError::Timeout) => Err(CloseError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(CloseError::WriterExited),
        }
    }

    fn request_close(&self) {
        self.shared.close.store(true, Ordering::Release);
        // A full channel means that the writer is awake anyway; a closed channel means that the writer has
        // exited.
        drop(self.writer.try_send(WriterMessage::Wake));
    }
}

impl Drop for LogService {
    fn drop(&mut self) {
        self.request_close();
    }
}
