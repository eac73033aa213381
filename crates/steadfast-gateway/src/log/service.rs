//! Starting and ending the log, and how it is.
//!
//! Owns the writer thread's life. Opening blocks until the log is open or known to be damaged; the server starts no
//! event loop before.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{Input, Output, Timer};
use steadfast_hub::log::open::OpenReport;
use steadfast_machine::Machine;

use super::error::LogError;
use super::files::Files;
use super::handle::CoreLog;
use super::memory::Memory;
use super::ring::{Ring, RingLimits};
use super::storage::Storage;
use super::writer::{Ended, MESSAGES_MAX, Message, Writer};
use crate::clock::Clock;

/// Where a log keeps its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory: nothing outlives the process.
    Memory,
    /// In files of this directory, which is created when it does not exist.
    Directory(PathBuf),
}

/// How a log is to be started.
#[derive(Clone, Debug)]
pub struct LogSetup {
    /// Where it keeps its segments.
    pub store: Store,
    /// How many cores are shown the log.
    pub cores: NonZeroU16,
    /// How far a core may fall behind.
    pub ring: RingLimits,
    /// The clock whose instants the machine was made with.
    pub clock: Clock,
}

/// What the log can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStatus {
    /// Takes publications and reads.
    Ready,
    /// No room: reads only, until it heals by itself.
    NoSpace,
    /// A write or a sync failed, or the writer is gone: nothing is acknowledged any more until a restart.
    Poisoned,
    /// Ends, or has ended.
    Closing,
}

/// Why a log did not end cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Not within the deadline; the writer goes on until the process ends.
    #[error("the log did not end in time")]
    TimedOut,
    /// It ended without its clean mark, for example because the disk is full; the next start counts as unclean.
    #[error("the log ended without a clean mark")]
    Unclean,
    /// The writer was gone already.
    #[error("the log's thread was gone before the log was closed")]
    WriterGone,
}

/// What the writer and the cores share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ring: Ring,
    status: Mutex<LogStatus>,
    close: AtomicBool,
}

impl Shared {
    pub(super) fn new(ring: Ring) -> Self {
        Self {
            ring,
            status: Mutex::new(LogStatus::Ready),
            close: AtomicBool::new(false),
        }
    }

    pub(super) fn status(&self) -> LogStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close_requested(&self) -> bool {
        self.close.load(Ordering::Acquire)
    }

    /// Takes the machine's word about what it can do. Poison and the end are final.
    pub(super) fn on_event(&self, event: Event) {
        match event {
            Event::DiskFull { .. } => self.change(LogStatus::NoSpace),
            Event::DiskRecovered => self.change(LogStatus::Ready),
            Event::WriteFailed { .. } => self.change(LogStatus::Poisoned),
            Event::SegmentCreated { .. }
            | Event::SegmentRemoved { .. }
            | Event::RecordUnreadable { .. }
            | Event::RemoveFailed { .. }
            | Event::LimitReached { .. }
            | Event::ChannelsExpired { .. }
            | Event::UncleanShutdown => {}
        }
    }

    pub(super) fn change(&self, to: LogStatus) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match (*status, to) {
            (LogStatus::Ready | LogStatus::NoSpace, _)
            | (LogStatus::Closing, LogStatus::Poisoned) => *status = to,
            (LogStatus::Poisoned | LogStatus::Closing, _) => {}
        }
    }
}

/// The one log of a process. Dropping it asks the log to end and does not wait for it.
#[derive(Debug)]
pub struct LogService {
    report: OpenReport,
    shared: Arc<Shared>,
    writer: SyncSender<Message>,
    ended: Receiver<Ended>,
}

impl LogService {
    /// Opens the log and starts its thread; blocks until it is open, at most a few seconds per GiB.
    ///
    /// `machine` is `steadfast_hub::log::Log` made with `setup.clock`, or something around it. The handles are in order
    /// of cores.
    ///
    /// # Errors
    ///
    /// When the directory cannot be used or the log is damaged; [`LogError::advice`] says what to do.
    pub fn start<M>(setup: &LogSetup, machine: M) -> Result<(Self, Vec<CoreLog>), LogError>
    where
        M: Machine<Input = Input, Output = Output, Timer = Timer> + Send + 'static,
    {
        let (writer, inbox) = sync_channel(MESSAGES_MAX);
        let cores = setup.cores.get();
        let shared = Arc::new(Shared::new(Ring::new(cores, setup.ring)));
        let wake = writer.clone();
        let (report, ended) = match &setup.store {
            Store::Memory => Self::spawn(setup, machine, Memory::default(), inbox, &shared)?,
            Store::Directory(path) => {
                // A full channel means that the writer is awake anyway.
                let wake = Box::new(move || drop(wake.try_send(Message::Wake)));
                Self::spawn(setup, machine, Files::open(path, wake)?, inbox, &shared)?
            }
        };
        let handles =
            (0..cores).map(|core| CoreLog::new(core, writer.clone(), Arc::clone(&shared)));
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
        inbox: Receiver<Message>,
        shared: &Arc<Shared>,
    ) -> Result<(OpenReport, Receiver<Ended>), LogError>
    where
        M: Machine<Input = Input, Output = Output, Timer = Timer> + Send + 'static,
        S: Storage + Send + 'static,
    {
        let directory = match &setup.store {
            Store::Memory => None,
            Store::Directory(path) => Some(path.clone()),
        };
        let writer = Writer::new(machine, storage, inbox, Arc::clone(shared), setup.clock);
        let (tell_opened, opened) = sync_channel(1);
        let (tell_ended, ended) = sync_channel(1);
        std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer.run(directory.as_deref(), &tell_opened, &tell_ended))
            .map_err(|source| LogError::NoThread { source })?;
        match opened.recv() {
            Ok(opened) => Ok((opened?, ended)),
            Err(_) => Err(LogError::WriterGone),
        }
    }

    /// What was found when the log was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// What the log can do now.
    pub fn status(&self) -> LogStatus {
        self.shared.status()
    }

    /// Finishes what is under way, marks the end as clean and gives the directory back. Blocks at most for `deadline`,
    /// so it must not be called on an event loop.
    ///
    /// # Errors
    ///
    /// When the end is not clean or not in time. Nothing that was acknowledged is lost by either.
    pub fn close(self, deadline: Duration) -> Result<(), CloseError> {
        self.request_close();
        match self.ended.recv_timeout(deadline) {
            Ok(Ended::Clean) => Ok(()),
            Ok(Ended::Unclean) => Err(CloseError::Unclean),
            Err(RecvTimeoutError::Timeout) => Err(CloseError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(CloseError::WriterGone),
        }
    }

    fn request_close(&self) {
        self.shared.change(LogStatus::Closing);
        self.shared.close.store(true, Ordering::Release);
        // A full channel means that the writer is awake anyway; a closed one that it is gone.
        drop(self.writer.try_send(Message::Wake));
    }
}

impl Drop for LogService {
    fn drop(&mut self) {
        self.request_close();
    }
}
