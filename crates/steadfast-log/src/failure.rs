//! How the log handles failed operations of the storage.
//!
//! A full disk is temporary: the batch is rolled back, publications are rejected, and the operation is retried. After
//! any other error of a write, and after any error of a sync, the content of the disk is unknown: publishing is
//! disabled until a restart reads the disk again. Reads continue.
//!
//! A log that has no space for the record of its opening opens for readers: everything that they can read was durable
//! before, and epochs that this start changes are changed again by the next start if they never become durable. After
//! any other error, and without anything to read, the log refuses to start: the operator who starts it can act on the
//! error.

use steadfast_engine::{Rejection, StorageOperation};

use crate::batch::{Batch, BatchEffect, BatchItem};
use crate::commit::{StorageState, Work};
use crate::event::Event;
use crate::identity::SegmentSecret;
use crate::io::{Output, SegmentNumber, StorageError};
use crate::log::LogPhase;
use crate::open::{Corruption, CorruptionKind};
use crate::segment::NextSegment;
use crate::{Log, append};

impl Log {
    /// Handles a failed write.
    pub(crate) fn on_write_failed(&mut self, error: StorageError) {
        self.end_operation(StorageOperation::Write);
        match std::mem::replace(&mut self.writer.work, Work::Idle) {
            Work::Writing(batch) | Work::WritingAndSyncing(batch) => match error {
                StorageError::NoSpace => self.roll_back_for_space(*batch),
                StorageError::Io | StorageError::Misplaced => {
                    self.fail_writes(Some(*batch), error);
                }
            },
            Work::WritingCleanEnd(segment) => self.close_without_clean_end(segment, error),
            other @ (Work::Idle | Work::Syncing) => self.writer.work = other,
        }
    }

    /// Handles a failed sync. The written bytes may or may not be on the disk, even if the reason was a full disk.
    pub(crate) fn on_sync_failed(&mut self, error: StorageError) {
        self.end_operation(self.writer.work.operation());
        match std::mem::replace(&mut self.writer.work, Work::Idle) {
            Work::WritingAndSyncing(batch) => self.fail_writes(Some(*batch), error),
            Work::Syncing => self.fail_writes(None, error),
            Work::WritingCleanEnd(segment) => self.close_without_clean_end(segment, error),
            other @ (Work::Idle | Work::Writing(_)) => self.writer.work = other,
        }
    }

    /// The record of the clean shutdown is durable, and only the repetition of its end is missing: the next start still
    /// finds a clean shutdown, unless its record is damaged until then.
    fn close_without_clean_end(&mut self, segment: SegmentNumber, error: StorageError) {
        match error {
            StorageError::NoSpace => {}
            StorageError::Io | StorageError::Misplaced => {
                self.notify(Event::WriteFailed { segment, error });
            }
        }
        self.close_uncleanly();
    }

    /// Handles a failed reservation of the next segment.
    pub(crate) fn on_reserve_failed(&mut self, number: SegmentNumber, error: StorageError) {
        let NextSegment::Requested(segment) = self.writer.next else {
            return;
        };
        if segment.number != number {
            return;
        }
        self.end_operation(StorageOperation::Reserve);
        self.writer.next = NextSegment::Failed(segment, error);
        if error == StorageError::Misplaced {
            return self.on_check_failed(error);
        }
        self.report_full(number, segment.size, error);
        self.schedule_retry();
        self.advance();
    }

    /// Handles a misplaced directory that no write or sync has found yet. One in flight finds it too, and its batch is
    /// rolled back then.
    pub(crate) fn on_check_failed(&mut self, error: StorageError) {
        let is_running = matches!(self.phase, LogPhase::Running);
        let is_failed = matches!(self.writer.storage_state, StorageState::Failed(_));
        if is_running && !is_failed && matches!(self.writer.work, Work::Idle) {
            self.fail_writes(None, error);
        }
    }

    /// The next segment is needed now; if it could not be reserved, nothing more can be written.
    pub(crate) fn on_next_segment_missing(&mut self) {
        if matches!(self.writer.next, NextSegment::Requested(_)) {
            self.wait_for_reserve();
        }
        let NextSegment::Failed(segment, error) = self.writer.next else {
            return;
        };
        if self.writer.is_opening() && !self.open_for_readers(error) {
            return self.refuse_to_start(segment.number, 0, error);
        }
        self.writer.storage_state = StorageState::NoSegment(error);
        if let Some(reason) = self.writer.storage_state.rejection() {
            self.reject_queue(reason);
        }
    }

    /// Handles the reservation of the next segment.
    pub(crate) fn on_reserved(&mut self, number: SegmentNumber, next_secret: SegmentSecret) {
        let NextSegment::Requested(segment) = self.writer.next else {
            return;
        };
        if segment.number != number {
            return;
        }
        self.end_operation(StorageOperation::Reserve);
        self.writer.next = NextSegment::Ready(segment);
        self.writer.next_secret = Some(next_secret);
        if matches!(self.writer.storage_state, StorageState::NoSegment(_)) {
            self.writer.storage_state = StorageState::Available;
        }
        self.report_recovered();
        self.advance();
    }

    pub(crate) fn on_remove_failed(&mut self, segment: SegmentNumber) {
        self.notify(Event::RemoveFailed { segment });
        self.writer.failed_removals.push(segment);
        self.schedule_retry();
    }

    /// Retries the operations that failed.
    pub(crate) fn retry(&mut self) {
        for segment in std::mem::take(&mut self.writer.failed_removals) {
            self.outputs.push_back(Output::Remove { segment });
        }
        if let NextSegment::Failed(segment, _) = self.writer.next {
            self.reserve_segment(segment);
        }
        if self.writer.storage_state == (StorageState::NoSpace { is_probing: false }) {
            self.writer.storage_state = StorageState::NoSpace { is_probing: true };
        }
    }

    /// Accepts publications again: the disk has space.
    pub(crate) fn recover(&mut self) {
        self.writer.storage_state = StorageState::Available;
        self.report_recovered();
    }

    /// Rolls back a batch whose write found no space. Part of the batch may be on the disk, so the log starts a new
    /// write generation, and crash recovery ignores older records after this point.
    fn roll_back_for_space(&mut self, mut batch: Batch) {
        let (segment, effect) = (batch.segment, batch.effect);
        if let Some(opened) = batch.opened.take() {
            self.writer.opened = Some(opened);
        }
        if self.writer.is_opening() && !self.open_for_readers(StorageError::NoSpace) {
            return self.refuse_to_start(segment, batch.at, StorageError::NoSpace);
        }
        let bytes = batch.written_end.saturating_sub(batch.at);
        self.writer.cursor.write_generation = self.writer.cursor.write_generation.saturating_add(1);
        self.writer.storage_state = StorageState::NoSpace { is_probing: false };
        self.roll_back(batch, Rejection::NoSpace);
        self.reject_queue(Rejection::NoSpace);
        self.report_full(segment, bytes, StorageError::NoSpace);
        self.schedule_retry();
        if effect == BatchEffect::CleanShutdown {
            self.close_uncleanly();
        } else {
            self.close_if_blocked();
        }
    }

    fn fail_writes(&mut self, batch: Option<Batch>, error: StorageError) {
        let current = self.state.segments.current();
        let segment = current.map_or(SegmentNumber(0), |segment| segment.number);
        if self.writer.is_opening() {
            return self.refuse_to_start(segment, self.writer.cursor.end, error);
        }
        self.writer.storage_state = StorageState::Failed(error);
        if let Some(batch) = batch {
            self.roll_back(batch, Rejection::WriteFailed);
        }
        self.reject_queue(Rejection::WriteFailed);
        self.notify(Event::WriteFailed { segment, error });
        self.close_if_blocked();
    }

    /// Opens a log that has no space for the record of its opening, if it has something to read; returns whether it does.
    /// The record is written as soon as there is space, before any publication.
    fn open_for_readers(&mut self, error: StorageError) -> bool {
        let report = self.writer.opened.map(|(_, report)| report);
        let readable =
            report.filter(|report| report.segments > 0 && error == StorageError::NoSpace);
        if let Some(report) = readable {
            self.report_open(report);
        }
        readable.is_some()
    }

    /// Refuses to start, because the record of the opening cannot be written.
    fn refuse_to_start(&mut self, segment: SegmentNumber, at: u64, error: StorageError) {
        self.refuse_to_open(Corruption {
            segment,
            at,
            kind: CorruptionKind::StorageFailed { error },
            evidence: None,
        });
    }

    /// Releases offsets, idempotency keys and new channels of a batch, and rejects its publications.
    fn roll_back(&mut self, batch: Batch, reason: Rejection) {
        self.cache.remove_newest(batch.ordinal, batch.at);
        if let Some((channels, _)) = batch.expired_channels {
            for id in channels {
                if let Some(channel) = self.state.channels.by_id_mut(id) {
                    channel.is_expiring = false;
                }
            }
        }
        for item in batch.items {
            match item {
                BatchItem::Publication {
                    channel: id,
                    offset: _,
                    entry: _,
                    append,
                } => {
                    if let Some(scope) = append::scope(id, &append) {
                        self.state.dedup_window.release(&scope);
                    }
                    if let Some(channel) = self.state.channels.by_id_mut(id) {
                        channel.assigned = channel.high_watermark;
                    }
                    self.reject(append.request_id, reason);
                }
                BatchItem::Duplicate {
                    request_id,
                    channel: _,
                    offset: _,
                } => self.reject(request_id, reason),
            }
        }
        for id in batch.created_channels {
            self.state.channels.remove(id);
        }
        if batch.has_clock {
            self.clock.is_recorded = false;
        }
    }

    fn schedule_retry(&mut self) {
        let at = self.now + self.policy.retry_delay();
        self.timers.retry.get_or_insert(at);
    }

    /// Reports each kind of failure once until the log recovers.
    fn report_full(&mut self, segment: SegmentNumber, bytes: u64, error: StorageError) {
        if self.reported_failure.replace(error) != Some(error) {
            self.notify(match error {
                StorageError::NoSpace => Event::DiskFull { segment, bytes },
                StorageError::Io | StorageError::Misplaced => Event::SegmentNotCreated { segment },
            });
        }
    }

    fn report_recovered(&mut self) {
        let blocked = self.writer.storage_state != StorageState::Available
            || matches!(self.writer.next, NextSegment::Failed(..));
        if self.reported_failure.is_some() && !blocked {
            self.reported_failure = None;
            self.notify(Event::DiskRecovered);
        }
    }
}
