//! The write path: builds a batch, has it written and synced, and commits it.
//!
//! ```text
//! Idle --batch built--> WritingAndSyncing --Synced--> committed, Idle
//!   `--batch built that needs no sync--> Writing --Written--> committed, Idle
//! clean shutdown committed --> WritingCleanEnd --Synced--> closed
//! ```
//!
//! At most one write or sync is in flight; a write and its sync are one operation of the storage. `failure` handles errors, `checkpoint` the beginning of a segment, and
//! `append` fills a batch.

use steadfast_engine::{Committed, Health, Record, Rejection, Response, StorageOperation};
use steadfast_protocol::message::ChannelName;

use crate::Log;
use crate::append::{self, StopReason};
use crate::batch::{Batch, BatchEffect, BatchItem};
use crate::event::Event;
use crate::identity::SegmentSecret;
use crate::io::{Output, SegmentNumber, StorageError};
use crate::log::{CLOCK_PERIOD, LogPhase};
use crate::open::OpenReport;
use crate::opening::Resumption;
use crate::policy::Fsync;
use crate::record::{CLEAN_SHUTDOWN_BYTES, CLOCK_BYTES, Opened, SEGMENT_END_BYTES, Stored};
use crate::reserve::Origin;
use crate::segment::header::clean_end_at;
use crate::segment::{Cursor, NextSegment, clean_end};
use crate::turns::Turns;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) work: Work,
    /// Appends that wait for a batch.
    pub(crate) queue: Turns,
    /// Where the next record is written.
    pub(crate) cursor: Cursor,
    /// True when the current segment accepts no more records, or there is none.
    pub(crate) is_sealed: bool,
    /// The segment after the current one.
    pub(crate) next: NextSegment,
    /// What the headers of new segments say about the data directory and this start.
    pub(crate) origin: Option<Origin>,
    /// The secret of the next segment that is reserved.
    pub(crate) next_secret: Option<SegmentSecret>,
    pub(crate) storage_state: StorageState,
    /// The record of the opening, until it is written.
    pub(crate) opened: Option<(Opened, OpenReport)>,
    pub(crate) open_state: OpenState,
    /// Channels to remove with the next batch.
    pub(crate) expired_channels: Vec<u32>,
    /// Channels whose removal an operator requested.
    pub(crate) forgotten: Vec<ChannelName>,
    /// True once a shutdown was requested.
    pub(crate) is_closing: bool,
    /// True when the sync interval has elapsed.
    pub(crate) is_sync_due: bool,
    /// Segments of earlier runs that no longer belong to the log.
    pub(crate) obsolete: Vec<SegmentNumber>,
    /// Segments whose removal failed.
    pub(crate) failed_removals: Vec<SegmentNumber>,
}

/// Whether the log was reported as open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenState {
    Opening,
    Open,
}

/// The write or sync in flight.
#[derive(Debug)]
pub(crate) enum Work {
    Idle,
    /// A write that needs no sync.
    Writing(Box<Batch>),
    /// A write with its sync.
    WritingAndSyncing(Box<Batch>),
    /// A sync that no batch waits for.
    Syncing,
    /// The record of the clean shutdown is durable, and its end is being written to this segment and synced.
    WritingCleanEnd(SegmentNumber),
}

impl Work {
    /// The operation of the storage that is in flight, if any is.
    pub(crate) const fn operation(&self) -> StorageOperation {
        match self {
            Self::Syncing => StorageOperation::Sync,
            Self::Idle
            | Self::Writing(_)
            | Self::WritingAndSyncing(_)
            | Self::WritingCleanEnd(_) => StorageOperation::Write,
        }
    }
}

/// Whether the storage accepts publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageState {
    Available,
    /// The segment is full and the next one could not be reserved.
    NoSegment(StorageError),
    /// A write failed because the disk is full.
    NoSpace {
        /// True when the write is to be retried now.
        is_probing: bool,
    },
    /// A write or a sync failed, or the directory is misplaced: until a restart.
    Failed(StorageError),
}

impl StorageState {
    /// The reason for rejecting an append in this state.
    pub(crate) const fn rejection(self) -> Option<Rejection> {
        match self {
            Self::Available => None,
            Self::NoSegment(StorageError::NoSpace) => Some(Rejection::NoSpace),
            Self::NoSegment(_) => Some(Rejection::Unavailable),
            Self::NoSpace { .. } => Some(Rejection::NoSpace),
            Self::Failed(_) => Some(Rejection::WriteFailed),
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            work: Work::Idle,
            queue: Turns::default(),
            cursor: Cursor::at_start(0),
            is_sealed: true,
            next: NextSegment::Absent(SegmentNumber(1)),
            origin: None,
            next_secret: None,
            storage_state: StorageState::Available,
            opened: None,
            open_state: OpenState::Opening,
            expired_channels: Vec::new(),
            forgotten: Vec::new(),
            is_closing: false,
            is_sync_due: false,
            obsolete: Vec::new(),
            failed_removals: Vec::new(),
        }
    }
}

impl Writer {
    /// What the log can do, as far as the writer knows.
    pub(crate) const fn health(&self) -> Health {
        match self.storage_state {
            StorageState::Failed(StorageError::Misplaced) => Health::Misplaced,
            StorageState::Failed(_) => Health::WriteFailed,
            StorageState::Available if self.is_closing => Health::Closing,
            StorageState::Available if self.is_opening() => Health::Opening,
            StorageState::Available => Health::Serving,
            StorageState::NoSegment(StorageError::NoSpace) => Health::Full,
            StorageState::NoSegment(_) => Health::Unavailable,
            StorageState::NoSpace { .. } => Health::Full,
        }
    }

    /// True until the record of the opening is durable, or the log was opened for readers without it.
    pub(crate) const fn is_opening(&self) -> bool {
        matches!(self.open_state, OpenState::Opening)
    }
}

impl Log {
    /// Continues with the state that was built while the log was opened.
    pub(crate) fn resume(&mut self, resumption: Resumption) {
        self.state = resumption.state;
        self.clock = resumption.clock;
        if let Some(jump) = resumption.jump {
            self.notify(Event::WallClockJumped(jump));
        }
        self.writer.cursor = resumption.cursor;
        self.writer.is_sealed = resumption.is_sealed;
        self.writer.next = resumption.next;
        self.writer.origin = Some(resumption.origin);
        self.writer.next_secret = Some(resumption.next_secret);
        self.writer.opened = Some((resumption.opened, resumption.report));
        self.writer.obsolete = resumption.remove;
        // After the removal of others, so that the log is never larger than it may be.
        if self.writer.obsolete.is_empty() {
            self.reserve_next();
        }
        self.schedule_age_timer();
        self.timers.clock = Some(self.now + CLOCK_PERIOD);
        let Some(current) = self.state.segments.current() else {
            self.remove_obsolete();
            return self.advance();
        };
        // A killed process may have written bytes that no sync covers: such bytes were read, but can still be lost.
        // They are synced before anything is written after them.
        self.start_sync(current.number);
    }

    fn remove_obsolete(&mut self) {
        if self.writer.obsolete.is_empty() {
            return;
        }
        for segment in std::mem::take(&mut self.writer.obsolete) {
            self.outputs.push_back(Output::Remove { segment });
        }
        self.reserve_next();
    }

    /// Starts the next write or sync, if none is in flight.
    pub(crate) fn advance(&mut self) {
        if !matches!(self.phase, LogPhase::Running) || !matches!(self.writer.work, Work::Idle) {
            return;
        }
        // Acknowledged publications are synced in time even when nothing can be written.
        if self.writer.is_sync_due && !matches!(self.writer.storage_state, StorageState::Failed(_))
        {
            self.writer.is_sync_due = false;
            if self.sync_unsynced() {
                return;
            }
        }
        match self.writer.storage_state {
            StorageState::Available | StorageState::NoSpace { is_probing: true } => {}
            StorageState::NoSegment(_)
            | StorageState::NoSpace { is_probing: false }
            | StorageState::Failed(_) => {
                return self.close_if_blocked();
            }
        }
        if self.writer.is_sealed && !self.start_next_segment() {
            return self.close_if_blocked();
        }
        if let Some(batch) = self.build_batch() {
            self.write(batch);
        }
    }

    fn build_batch(&mut self) -> Option<Batch> {
        let current = self.state.segments.current()?;
        let mut batch = Batch::new(
            &current,
            self.writer.cursor.stamp(),
            self.state.segments.last(),
            self.writer.cursor.end,
        );
        if self.writer.cursor.is_at_start() {
            self.add_checkpoint(&mut batch);
            self.clock.is_recorded = false;
        }
        let mut stop = self.add_control_records(&mut batch);
        if stop == StopReason::Drained {
            stop = self.add_appends(&mut batch);
        }
        if stop == StopReason::SegmentFull {
            self.add_seal(&mut batch);
            self.close_if_blocked();
        } else if self.writer.is_closing && batch.bytes.is_empty() && stop == StopReason::Drained {
            self.add_clean_shutdown(&mut batch);
        }
        (!batch.bytes.is_empty()).then_some(batch)
    }

    /// Adds the records that the log itself needs.
    fn add_control_records(&mut self, batch: &mut Batch) -> StopReason {
        if let Some((opened, report)) = self.writer.opened {
            if !batch.fits(u64::from(u8::MAX), SEGMENT_END_BYTES) {
                return StopReason::SegmentFull;
            }
            batch.encode(&Stored::Opened(opened));
            batch.opened = Some((opened, report));
            self.writer.opened = None;
        }
        if !self.clock.is_recorded {
            if !batch.fits(CLOCK_BYTES, CLEAN_SHUTDOWN_BYTES + SEGMENT_END_BYTES) {
                return StopReason::SegmentFull;
            }
            batch.encode(&Stored::Clock(*self.clock.state()));
            batch.has_clock = true;
            self.clock.is_recorded = true;
        }
        if matches!(self.writer.storage_state, StorageState::NoSpace { .. }) {
            if !batch.fits(u64::from(u8::MAX), SEGMENT_END_BYTES) {
                return StopReason::SegmentFull;
            }
            batch.encode(&Stored::NoOp);
            batch.effect = BatchEffect::Probe;
            return StopReason::BatchFull;
        }
        self.add_expired_channels(batch);
        self.add_forgotten_channels(batch)
    }

    fn add_clean_shutdown(&mut self, batch: &mut Batch) {
        if self.sync_unsynced() {
            return;
        }
        assert!(
            batch.fits(CLEAN_SHUTDOWN_BYTES, SEGMENT_END_BYTES),
            "every other record leaves space for a clean shutdown"
        );
        batch.encode(&Stored::CleanShutdown { at: self.time() });
        batch.effect = BatchEffect::CleanShutdown;
    }

    fn write(&mut self, mut batch: Batch) {
        let bytes = batch.take_bytes();
        let sync = self.needs_sync(&batch);
        self.cache.push(batch.ordinal, batch.at, bytes.clone());
        self.begin_operation(StorageOperation::Write);
        self.outputs.push_back(Output::Write {
            segment: batch.segment,
            at: batch.at,
            bytes,
            sync,
        });
        let batch = Box::new(batch);
        self.writer.work = if sync {
            Work::WritingAndSyncing(batch)
        } else {
            Work::Writing(batch)
        };
    }

    /// Starts a sync if something was written since the last sync.
    fn sync_unsynced(&mut self) -> bool {
        let current = self.state.segments.current();
        let rest = self.writer.cursor.end > self.writer.cursor.synced;
        let Some(current) = current.filter(|_| rest && !self.writer.is_sealed) else {
            return false;
        };
        self.start_sync(current.number);
        true
    }

    /// Starts a sync that no batch waits for.
    fn start_sync(&mut self, segment: SegmentNumber) {
        self.begin_operation(StorageOperation::Sync);
        self.outputs.push_back(Output::Sync { segment });
        self.writer.work = Work::Syncing;
    }

    /// Handles a successful write that needs no sync.
    pub(crate) fn on_written(&mut self) {
        self.end_operation(StorageOperation::Write);
        match std::mem::replace(&mut self.writer.work, Work::Idle) {
            Work::Writing(batch) => self.on_batch_written(*batch),
            other @ (Work::Idle
            | Work::WritingAndSyncing(_)
            | Work::Syncing
            | Work::WritingCleanEnd(_)) => self.writer.work = other,
        }
    }

    fn on_batch_written(&mut self, batch: Batch) {
        self.writer.cursor.end = batch.written_end;
        self.commit(batch);
        if let Fsync::Interval(interval) = self.policy.fsync() {
            let at = self.now + interval;
            self.timers.sync.get_or_insert(at);
        }
        self.advance();
    }

    /// Under every policy, the beginning and the end of segments and runs are synced, so that a segment proves that the
    /// segment before it is durable, and a clean shutdown proves that everything is durable.
    fn needs_sync(&self, batch: &Batch) -> bool {
        let milestone = batch.checkpoint.is_some()
            || batch.opened.is_some()
            || batch.effect != BatchEffect::Plain;
        milestone || self.policy.fsync() == Fsync::Always
    }

    /// Handles a successful sync.
    pub(crate) fn on_synced(&mut self) {
        self.end_operation(self.writer.work.operation());
        match std::mem::replace(&mut self.writer.work, Work::Idle) {
            Work::WritingAndSyncing(batch) => self.on_records_synced(Some(*batch)),
            Work::Syncing => self.on_records_synced(None),
            Work::WritingCleanEnd(_) => self.close(),
            other @ (Work::Idle | Work::Writing(_)) => self.writer.work = other,
        }
    }

    fn on_records_synced(&mut self, batch: Option<Batch>) {
        if let Some(batch) = &batch {
            self.writer.cursor.end = batch.written_end;
        }
        self.writer.cursor.synced = self.writer.cursor.end;
        self.timers.sync = None;
        self.remove_obsolete();
        if let Some(batch) = batch {
            self.commit(batch);
        }
        self.advance();
    }

    /// Commits a batch: publishes its publications, responds to its requests, and applies its effect.
    fn commit(&mut self, batch: Batch) {
        // First, because the size of the next segment follows from the channels.
        if let Some((channels, new_channel_epoch)) = batch.expired_channels {
            self.commit_expired_channels(&channels, new_channel_epoch);
        }
        if let Some(checkpoint) = batch.checkpoint {
            self.commit_checkpoint(batch.ordinal, batch.segment, checkpoint);
        }
        if let Some((_, report)) = batch.opened {
            self.report_open(report);
            self.outputs.push_back(Output::Claim);
        }
        for item in batch.items {
            self.commit_item(item);
        }
        self.schedule_age_timer();
        match batch.effect {
            BatchEffect::Plain => {}
            BatchEffect::Probe => self.recover(),
            BatchEffect::Seal => self.writer.is_sealed = true,
            BatchEffect::CleanShutdown => self.write_clean_end(),
        }
    }

    /// Reports the log as open, once.
    pub(crate) fn report_open(&mut self, report: OpenReport) {
        if self.writer.is_opening() {
            self.writer.open_state = OpenState::Open;
            self.outputs.push_back(Output::Opened(report));
            self.report_estimate();
        }
    }

    /// Repeats the end of the clean shutdown, which is durable, in its own place.
    fn write_clean_end(&mut self) {
        let Some(current) = self.state.segments.current() else {
            return self.close();
        };
        self.begin_operation(StorageOperation::Write);
        self.outputs.push_back(Output::Write {
            segment: current.number,
            at: clean_end_at(current.size),
            bytes: clean_end::encode(&current.secret, self.writer.cursor.end).into(),
            sync: true,
        });
        self.writer.work = Work::WritingCleanEnd(current.number);
    }

    fn commit_item(&mut self, item: BatchItem) {
        match item {
            BatchItem::Publication {
                channel: id,
                offset,
                entry,
                append,
            } => {
                let scope = append::scope(id, &append);
                let ages = self.ages();
                let Some(channel) = self.state.channels.by_id_mut(id) else {
                    return;
                };
                let creates_channel = channel.high_watermark == 0;
                channel.push(offset, entry);
                channel.prune(&self.policy, &ages);
                let epoch = channel.epoch;
                if let Some(scope) = scope {
                    self.state.dedup_window.confirm(&scope, entry.segment);
                }
                let record = Record {
                    offset,
                    kind: append.kind,
                    retention: append.retention,
                    data: append.data,
                    publisher: append.publisher,
                    at: self.clock.display(entry.at),
                };
                self.outputs.push_back(Output::Commit(Committed {
                    channel: append.channel,
                    epoch,
                    previous: offset.saturating_sub(1),
                    record,
                }));
                self.respond(
                    append.request_id,
                    Response::Appended {
                        epoch,
                        offset,
                        is_duplicate: false,
                        creates_channel,
                    },
                );
            }
            BatchItem::Duplicate {
                request_id,
                channel,
                offset,
            } => self.respond_duplicate(request_id, channel, offset),
        }
    }

    /// Handles a requested shutdown.
    pub(crate) fn on_close_requested(&mut self) {
        match self.phase {
            LogPhase::Waiting | LogPhase::Opening(_) => self.close(),
            LogPhase::Running => {
                self.writer.is_closing = true;
                self.advance();
            }
            LogPhase::Closed => self.close(),
        }
    }

    /// Closes the log without the record of the clean shutdown if that record cannot be written.
    pub(crate) fn close_if_blocked(&mut self) {
        let blocked = self.writer.storage_state != StorageState::Available;
        if self.writer.is_closing && blocked && matches!(self.writer.work, Work::Idle) {
            self.close_uncleanly();
        }
    }

    pub(crate) fn close_uncleanly(&mut self) {
        self.notify(Event::UncleanShutdown);
        self.close();
    }

    fn close(&mut self) {
        self.phase = LogPhase::Closed;
        self.reject_queue(Rejection::Closing);
        self.reject_reads(Rejection::Closing);
        self.outputs.push_back(Output::Closed);
    }
}
