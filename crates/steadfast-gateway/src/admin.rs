//! How the process is, for probes. Every core's HTTP server reads it; the server's owner writes it.

use std::sync::atomic::{AtomicBool, Ordering};
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

/// What the cores' HTTP servers tell about the process.
#[derive(Debug)]
pub(crate) struct Admin {
    /// None once it is closed.
    log: Mutex<Option<LogService>>,
    is_shutting_down: AtomicBool,
}

impl Admin {
    pub(crate) const fn new(log: LogService) -> Self {
        Self {
            log: Mutex::new(Some(log)),
            is_shutting_down: AtomicBool::new(false),
        }
    }

    /// Whether the gateway should get new clients.
    pub(crate) fn readiness(&self) -> Readiness {
        if self.is_shutting_down.load(Ordering::Acquire) {
            return Readiness::NotReady("shutting down");
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.as_ref().map(LogService::status) {
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
