//! Detects operations of the storage that do not return: reports them, and says when the log is stalled.
//!
//! A disk that is stuck fails nothing, so no result says what the log waits for: its deadlines do. Reads count from the
//! last one that completed, because the storage may execute them one after the other.

use std::time::Duration;

use steadfast_engine::{Health, StorageOperation};
use steadfast_machine::Instant;

use crate::Log;
use crate::event::Event;

/// An operation is reported after this time, and again each time its duration has doubled: a disk completes a write with
/// a sync within milliseconds, and a busy one within a fraction of a second.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// After this time the log is stalled: clients do not wait longer for a reply, and should use another gateway.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// Operations of one kind that are in flight.
#[derive(Clone, Copy, Debug)]
struct Watch {
    operation: StorageOperation,
    in_flight: usize,
    /// When the oldest of them began, or the one before it completed.
    since: Instant,
    /// The duration after which the operation is reported next.
    report_after: Duration,
    is_stalled: bool,
}

impl Watch {
    const fn new(operation: StorageOperation) -> Self {
        Self {
            operation,
            in_flight: 0,
            since: Instant::START,
            report_after: REPORT_AFTER,
            is_stalled: false,
        }
    }

    const fn restart(&mut self, now: Instant) {
        self.since = now;
        self.report_after = REPORT_AFTER;
        self.is_stalled = false;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let report = self.since + self.report_after;
        let stalled = self.since + STALLED_AFTER;
        (self.in_flight > 0).then_some(if self.is_stalled {
            report
        } else {
            report.min(stalled)
        })
    }
}

/// All operations in flight that the log may wait for.
#[derive(Debug)]
pub(crate) struct Watchdog([Watch; 4]);

impl Default for Watchdog {
    fn default() -> Self {
        Self([
            Watch::new(StorageOperation::Write),
            Watch::new(StorageOperation::Sync),
            Watch::new(StorageOperation::Reserve),
            Watch::new(StorageOperation::Read),
        ])
    }
}

impl Watchdog {
    fn watch(&mut self, operation: StorageOperation) -> &mut Watch {
        let watch = self.0.iter_mut().find(|watch| watch.operation == operation);
        watch.expect("each kind of operation has its watch")
    }

    fn begin(&mut self, now: Instant, operation: StorageOperation) {
        let watch = self.watch(operation);
        if watch.in_flight == 0 {
            watch.restart(now);
        }
        watch.in_flight += 1;
    }

    /// Returns how long an operation has taken, if it was reported.
    fn end(&mut self, now: Instant, operation: StorageOperation) -> Option<Duration> {
        let watch = self.watch(operation);
        if watch.in_flight == 0 {
            return None;
        }
        let was_reported = watch.report_after > REPORT_AFTER;
        let duration = now.saturating_since(watch.since);
        watch.in_flight -= 1;
        watch.restart(now);
        was_reported.then_some(duration)
    }

    /// Returns the operations whose duration is to be reported now.
    fn take_due(&mut self, now: Instant) -> Vec<(StorageOperation, Duration)> {
        let mut due = Vec::new();
        for watch in self.0.iter_mut().filter(|watch| watch.in_flight > 0) {
            let duration = now.saturating_since(watch.since);
            watch.is_stalled = duration >= STALLED_AFTER;
            if duration >= watch.report_after {
                due.push((watch.operation, duration));
            }
            while watch.report_after <= duration {
                watch.report_after *= 2;
            }
        }
        due
    }

    /// The time at which an operation is to be reported, or stalls the log.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(Watch::next_deadline).min()
    }

    /// The health of a log that waits for an operation for a long time; the one that began first, if several do.
    pub(crate) fn stalled(&self) -> Option<Health> {
        let stalled = self.0.iter().filter(|watch| watch.is_stalled);
        let first = stalled.min_by_key(|watch| watch.since)?;
        Some(Health::Stalled {
            operation: first.operation,
            since: first.since,
        })
    }
}

impl Log {
    /// Watches an operation from now on.
    pub(crate) fn begin_operation(&mut self, operation: StorageOperation) {
        self.watchdog.begin(self.now, operation);
    }

    /// Watches the reservation that everything else waits for, which began earlier.
    pub(crate) fn wait_for_reserve(&mut self) {
        if self.watchdog.watch(StorageOperation::Reserve).in_flight == 0 {
            self.begin_operation(StorageOperation::Reserve);
        }
    }

    /// An operation has completed or failed.
    pub(crate) fn end_operation(&mut self, operation: StorageOperation) {
        if let Some(duration) = self.watchdog.end(self.now, operation) {
            self.notify(Event::SlowOperationEnded {
                operation,
                duration,
            });
        }
    }

    /// Reports the operations that have been in flight for a long time.
    pub(crate) fn report_slow_operations(&mut self) {
        for (operation, duration) in self.watchdog.take_due(self.now) {
            self.notify(Event::OperationSlow {
                operation,
                duration,
            });
        }
    }
}
