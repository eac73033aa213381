//! The state of the process, for probes. The HTTP server of each shard reads it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::Health;
use tokio::sync::watch;

use crate::diagnostics::DroppedLogLines;
use crate::engine::{CloseError, EngineService};

/// Whether a load balancer should send new clients to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// Not ready, for this reason.
    NotReady(Cow<'static, str>),
}

/// Returns why the storage of an engine failed, in words.
fn failure_of(engine: Option<&EngineService>) -> String {
    if engine.is_some_and(EngineService::has_panicked) {
        return "the thread of the store panicked".to_owned();
    }
    let failure = engine.and_then(EngineService::failure);
    failure.unwrap_or_else(|| "log write failed".to_owned())
}

/// Whether a shard accepts further clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    Available,
    Exhausted,
}

/// What the HTTP servers of the shards report about the process.
#[derive(Debug)]
pub(crate) struct Admin {
    clock: Clock,
    /// `None` as soon as the close of the engine has begun.
    engine: Mutex<Option<EngineService>>,
    is_shutting_down: AtomicBool,
    /// Shards that accept further clients.
    shards_with_capacity: AtomicU16,
    dropped_lines: DroppedLogLines,
}

impl Admin {
    /// `clock` is the one of the engine.
    pub(crate) const fn new(
        engine: EngineService,
        shards: u16,
        clock: Clock,
        dropped_lines: DroppedLogLines,
    ) -> Self {
        Self {
            clock,
            engine: Mutex::new(Some(engine)),
            is_shutting_down: AtomicBool::new(false),
            shards_with_capacity: AtomicU16::new(shards),
            dropped_lines,
        }
    }

    /// Returns whether the gateway is ready for new clients.
    pub(crate) fn readiness(&self) -> Readiness {
        if self.is_shutting_down.load(Ordering::Acquire) {
            return not_ready("shutting down");
        }
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = || failure_of(engine.as_ref());
        match engine.as_ref().map(EngineService::health) {
            Some(Health::Serving) if self.shards_with_capacity.load(Ordering::Relaxed) == 0 => {
                not_ready("full: connect commands are rejected with error 111 and a retry delay")
            }
            Some(Health::Serving) => Readiness::Ready,
            Some(Health::Stalled { operation, since }) => {
                let seconds = self.clock.now().saturating_since(since).as_secs();
                let operation = operation.name();
                Readiness::NotReady(
                    format!("{operation} of the log has taken {seconds} s; publications wait")
                        .into(),
                )
            }
            Some(Health::Full) => Readiness::NotReady(
                format!(
                    "{}; publications are rejected until there is space",
                    failure()
                )
                .into(),
            ),
            Some(Health::Unavailable) => Readiness::NotReady(
                format!("{}; publications are rejected until it succeeds", failure()).into(),
            ),
            Some(Health::Misplaced) => Readiness::NotReady(
                format!(
                    "{}; publishing is disabled until it is back and the gateway is restarted",
                    failure()
                )
                .into(),
            ),
            Some(Health::WriteFailed) => Readiness::NotReady(
                format!(
                    "{}; publishing is disabled until the gateway is restarted",
                    failure()
                )
                .into(),
            ),
            Some(Health::Opening) => not_ready("the store is opening"),
            Some(Health::Closing | Health::Closed) | None => not_ready("the store is closed"),
        }
    }

    /// Returns how many log lines were dropped since the start.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.dropped_lines.count()
    }

    /// Returns a receiver that becomes true when nothing can be acknowledged until a restart.
    pub(crate) fn storage_failed(&self) -> Option<watch::Receiver<bool>> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.as_ref().map(EngineService::failed)
    }

    /// Returns why the storage failed, in words.
    pub(crate) fn storage_failure(&self) -> String {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        failure_of(engine.as_ref())
    }

    /// Reports that a shard's capacity is exhausted or available again.
    pub(crate) fn on_shard(&self, capacity: Capacity) {
        // Each shard reports only changes, so the count stays between zero and the number of shards.
        match capacity {
            Capacity::Available => self.shards_with_capacity.fetch_add(1, Ordering::Relaxed),
            Capacity::Exhausted => self.shards_with_capacity.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Reports that the shutdown has begun.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shutting_down.store(true, Ordering::Release);
    }

    /// Closes the engine; blocks for at most `timeout`.
    pub(crate) fn close_engine(&self, timeout: Duration) -> Result<(), CloseError> {
        let engine = self
            .engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        engine.map_or(Ok(()), |engine| engine.close(timeout))
    }
}

fn not_ready(reason: &'static str) -> Readiness {
    Readiness::NotReady(reason.into())
}
