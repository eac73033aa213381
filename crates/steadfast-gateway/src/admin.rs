//! How the process is, for probes. Every core's HTTP server reads it; the server's owner writes it.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::log::{CloseError, LogService, LogStatus};

/// Whether the gateway should get new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It should.
    Ready,
    /// It should not, for this reason.
    NotReady(&'static str),
}

/// Whether a core takes further clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It does.
    Some,
    /// It refuses them.
    None,
}

/// What the cores' HTTP servers tell about the process.
#[derive(Debug)]
pub(crate) struct Admin {
    /// None once it is closed.
    log: Mutex<Option<LogService>>,
    is_shutting_down: AtomicBool,
    /// Cores that take further clients.
    cores_with_room: AtomicU16,
}

impl Admin {
    pub(crate) const fn new(log: LogService, cores: u16) -> Self {
        Self {
            log: Mutex::new(Some(log)),
            is_shutting_down: AtomicBool::new(false),
            cores_with_room: AtomicU16::new(cores),
        }
    }

    /// Whether the gateway should get new clients.
    pub(crate) fn readiness(&self) -> Readiness {
        if self.is_shutting_down.load(Ordering::Acquire) {
            return Readiness::NotReady("shutting down");
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.as_ref().map(LogService::status) {
            Some(LogStatus::Ready) if self.cores_with_room.load(Ordering::Relaxed) == 0 => {
                Readiness::NotReady("full; new clients are told to come back later")
            }
            Some(LogStatus::Ready) => Readiness::Ready,
            Some(LogStatus::NoSpace) => {
                Readiness::NotReady("no space left for the log; publishing is refused")
            }
            Some(LogStatus::Poisoned) => Readiness::NotReady(
                "a write of the log failed; nothing is acknowledged until a restart",
            ),
            Some(LogStatus::Closing) | None => Readiness::NotReady("the log is closed"),
        }
    }

    /// A core is full, or is not any more.
    pub(crate) fn on_core(&self, room: Room) {
        // One writer for each core, which reports only changes: the count stays between zero and all.
        match room {
            Room::Some => self.cores_with_room.fetch_add(1, Ordering::Relaxed),
            Room::None => self.cores_with_room.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// The end has begun.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    /// Closes the log; blocks at most for `deadline`.
    pub(crate) fn close_log(&self, deadline: Duration) -> Result<(), CloseError> {
        let log = self
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        log.map_or(Ok(()), |log| log.close(deadline))
    }
}
