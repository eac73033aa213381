//! The thread of the engine of a process: its loop iterations, the disk operations of a log with their results, and the
//! order in which the shards receive commits and responses.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_engine::io as engine_io;
use steadfast_engine::order::{Delivery, ShardOrder};
use steadfast_engine::{ChannelEpoch, Committed, Engine, EngineEvent, Health, ReadFrom};
use steadfast_log::event::Event as LogEvent;
use steadfast_log::identity::SegmentSecret;
use steadfast_log::io::{self as log_io, FailedOperation, SegmentNumber, StorageError};
use steadfast_log::open::{Corruption, CorruptionKind, OpenReport};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::message::ChannelName;

use super::disk::Disk;
use super::engine::GatewayEngine;
use super::reader::{self, ReadOutcome, ReadTime};
use super::requests::RequestQueue;
use crate::context::Context;
use crate::event::node::{DiskOperation, ProcessEvent};
use crate::ids::ProcessId;
use crate::planted_bug::{PlantedBug, alter_log_request, swap_reads};
use crate::reference_model::Invariant;
use crate::settings::SHARDS;
use crate::words;

/// The maximum number of events that a shard takes at once: so few that events often stay in the order.
const EVENTS_MAX: usize = 16;

/// The progress of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownPhase {
    /// No shutdown was requested.
    Running,
    /// The engine was requested to close.
    Requested,
    /// The log reported that it cannot record a clean shutdown.
    Unclean,
}

/// The engine of a process with its queues.
#[derive(Debug)]
pub(crate) struct EngineThread {
    process: ProcessId,
    engine: GatewayEngine,
    pub(crate) requests: RequestQueue,
    /// What the engine delivers and the shards have not received.
    order: ShardOrder,
    /// For each shard: whether it will take its events.
    is_iteration_scheduled: Vec<bool>,
    /// The write in progress, which may be on disk after a crash.
    write_in_progress: Option<DiskOperation>,
    /// The number of disk operations in progress.
    pending_operations: usize,
    /// Each channel's epoch and high watermark, for the planted bug that replaces positions.
    high_watermarks: BTreeMap<ChannelName, (ChannelEpoch, u64)>,
    pub(crate) shutdown_phase: ShutdownPhase,
    /// When the log reported last that an operation takes long.
    slow_reported_at: Option<Instant>,
    /// Whether the log of the previous process was closed cleanly, which the start must detect.
    must_be_clean: bool,
}

impl EngineThread {
    pub(crate) fn new(
        ctx: &Context,
        process: ProcessId,
        engine: GatewayEngine,
        must_be_clean: bool,
    ) -> Self {
        Self {
            process,
            engine,
            requests: RequestQueue::new(process),
            order: ShardOrder::new(SHARDS, ctx.settings.order_limits),
            is_iteration_scheduled: vec![false; usize::from(SHARDS)],
            write_in_progress: None,
            pending_operations: 0,
            high_watermarks: BTreeMap::new(),
            shutdown_phase: ShutdownPhase::Running,
            slow_reported_at: None,
            must_be_clean,
        }
    }

    pub(crate) fn next_deadline(&self, ctx: &Context) -> Option<Instant> {
        let ahead = Self::time(ctx).saturating_since(ctx.now());
        let deadline = self.engine.next_deadline()?;
        let until = deadline
            .saturating_since(Instant::START)
            .saturating_sub(ahead);
        Some(Instant::START + until)
    }

    /// The monotonic clock of the engine, which never goes back.
    pub(crate) fn time(ctx: &Context) -> Instant {
        let ahead_ms = match ctx.planted_bug {
            Some(PlantedBug::WallClockAges) => ctx.wall_clock.highest_error_ms(),
            Some(_) | None => 0,
        };
        ctx.now() + Duration::from_millis(ahead_ms)
    }

    /// Whether nothing is in progress between hubs, engine and disk.
    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.is_empty()
            && self.pending_operations == 0
            && (0..SHARDS).all(|shard| !self.order.has_events(shard))
    }

    /// Whether the end of the process loses publications.
    pub(crate) fn has_history_in_memory(&self) -> bool {
        self.engine.has_history_in_memory()
    }

    /// Returns the write in progress, which may be on disk after a crash.
    pub(crate) const fn take_write_in_progress(&mut self) -> Option<DiskOperation> {
        self.write_in_progress.take()
    }

    /// The engine accepts requests from now on.
    pub(crate) fn open(&mut self, ctx: &mut Context) {
        self.requests.is_open = true;
        ctx.record_fault_change();
    }

    /// Handles all queued requests.
    pub(crate) fn run_iteration(&mut self, ctx: &mut Context, disk: &mut Disk) {
        let altered = |request| alter_log_request(request, ctx.planted_bug, &self.high_watermarks);
        let mut requests: Vec<_> = self.requests.take().into_iter().map(altered).collect();
        if ctx.planted_bug == Some(PlantedBug::SwappedResponses) {
            swap_reads(&mut requests);
        }
        let at = ctx.wall();
        self.drive(ctx, disk, engine_io::Input::Requested { requests, at });
    }

    /// The engine notices a jump of the wall clock at once, so that no read of the simulation is the first to notice it.
    pub(crate) fn observe_wall_clock(&mut self, ctx: &mut Context, disk: &mut Disk) {
        if self.requests.is_open {
            let (requests, at) = (Vec::new(), ctx.wall());
            self.drive(ctx, disk, engine_io::Input::Requested { requests, at });
        }
    }

    /// Takes the events for a shard.
    pub(crate) fn take_events(&mut self, shard: u16) -> Vec<EngineEvent> {
        if let Some(is_scheduled) = self.is_iteration_scheduled.get_mut(usize::from(shard)) {
            *is_scheduled = false;
        }
        let mut events = Vec::new();
        self.order.take(shard, &mut events, EVENTS_MAX);
        events
    }

    /// Schedules a loop iteration for each shard that has events.
    pub(crate) fn schedule_shard_iterations(&mut self, ctx: &mut Context) {
        for (shard, is_scheduled) in (0..).zip(&mut self.is_iteration_scheduled) {
            if !self.order.has_events(shard) || *is_scheduled {
                continue;
            }
            *is_scheduled = true;
            // Occasionally a shard is busy for some time and lags behind the log.
            let is_busy = ctx.generator.chance(1, 20);
            let longest = if is_busy { 50_000 } else { 500 };
            let delay = ctx.between(Duration::from_micros(5), Duration::from_micros(longest));
            let event = ProcessEvent::ShardIteration { shard };
            ctx.schedule_process(ctx.now() + delay, self.process, event);
        }
    }

    /// Feeds an input that every engine has to the engine.
    pub(crate) fn drive(&mut self, ctx: &mut Context, disk: &mut Disk, input: engine_io::Input) {
        let GatewayEngine::Memory(engine) = &mut self.engine else {
            let input = match input {
                engine_io::Input::Requested { requests, at } => {
                    log_io::Input::Requested { requests, at }
                }
                engine_io::Input::CloseRequested => log_io::Input::CloseRequested,
                engine_io::Input::Tick { at } => log_io::Input::Tick { at },
            };
            return self.drive_log(ctx, disk, input);
        };
        engine.handle(Self::time(ctx), input);
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        for output in outputs {
            match output {
                engine_io::Output::Commit(committed) => self.commit(committed),
                engine_io::Output::Respond {
                    request_id,
                    response,
                } => self.order.push(Delivery::Response {
                    request_id,
                    response,
                }),
                engine_io::Output::Notify(_) => {}
                engine_io::Output::Closed => self.schedule_exit(ctx),
            }
        }
        self.schedule_shard_iterations(ctx);
    }

    /// Feeds an input to the log and executes the outputs.
    pub(crate) fn drive_log(&mut self, ctx: &mut Context, disk: &mut Disk, input: log_io::Input) {
        let was_open = self.requests.is_open;
        let GatewayEngine::Log(log) = &mut self.engine else {
            return;
        };
        log.handle(Self::time(ctx), input);
        while let GatewayEngine::Log(log) = &mut self.engine
            && let Some(output) = log.poll_output()
        {
            self.execute_log_output(ctx, disk, output);
        }
        if !was_open && self.requests.is_open {
            self.observe_wall_clock(ctx, disk);
            self.load_high_watermarks(ctx, disk);
        }
        self.schedule_shard_iterations(ctx);
    }

    fn execute_log_output(&mut self, ctx: &mut Context, disk: &mut Disk, output: log_io::Output) {
        match output {
            log_io::Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let operation = DiskOperation::Reserve {
                    segment,
                    bytes,
                    first,
                    last,
                };
                self.start_operation(ctx, operation, Duration::from_millis(20));
            }
            log_io::Output::Write {
                segment,
                at,
                bytes,
                sync,
            } => {
                let operation = DiskOperation::Write {
                    segment,
                    at,
                    bytes,
                    sync,
                };
                self.write_in_progress = Some(operation.clone());
                self.start_operation(ctx, operation, Duration::from_micros(200));
            }
            log_io::Output::Sync { segment } => self.start_sync(ctx, segment),
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let operation = DiskOperation::Read {
                    read,
                    segment,
                    at,
                    len,
                };
                self.start_operation(ctx, operation, Duration::from_micros(300));
            }
            log_io::Output::Remove { segment } => disk.remove(segment),
            log_io::Output::Claim => disk.is_claimed = true,
            log_io::Output::Opened(report) => self.on_log_opened(ctx, &report),
            log_io::Output::Corrupt(corruption) => self.on_open_failed(ctx, corruption),
            log_io::Output::Commit(committed) => self.commit(committed),
            log_io::Output::Respond {
                request_id,
                response,
            } => self.order.push(Delivery::Response {
                request_id,
                response,
            }),
            log_io::Output::Notify(event) => self.on_log_event(ctx, event),
            log_io::Output::Closed => self.schedule_exit(ctx),
        }
    }

    /// Passes a committed publication to every shard.
    fn commit(&mut self, committed: Committed) {
        let high_watermark = (committed.epoch, committed.record.offset);
        self.high_watermarks
            .insert(committed.channel.clone(), high_watermark);
        self.order.push(Delivery::Committed(committed));
    }

    fn schedule_exit(&self, ctx: &mut Context) {
        ctx.schedule_process(ctx.now(), self.process, ProcessEvent::Exit);
    }

    fn start_sync(&mut self, ctx: &mut Context, segment: SegmentNumber) {
        let operation = DiskOperation::Sync { segment };
        self.start_operation(ctx, operation, Duration::from_millis(2));
    }

    /// Starts a disk operation, which takes up to `longest`.
    fn start_operation(&mut self, ctx: &mut Context, operation: DiskOperation, longest: Duration) {
        self.pending_operations += 1;
        let delay = ctx.between(Duration::from_micros(10), longest);
        let started_at = ctx.now();
        let event = ProcessEvent::DiskCompleted {
            operation,
            started_at,
        };
        ctx.schedule_process(started_at + delay, self.process, event);
    }

    /// The disk has completed an operation.
    pub(crate) fn on_disk_completed(
        &mut self,
        ctx: &mut Context,
        disk: &mut Disk,
        operation: DiskOperation,
        started_at: Instant,
    ) {
        if ctx.now() < disk.stalled_until {
            ctx.totals.operations_delayed += 1;
            let at = disk.stalled_until + ctx.between(Duration::ZERO, Duration::from_millis(1));
            let event = ProcessEvent::DiskCompleted {
                operation,
                started_at,
            };
            return ctx.schedule_process(at, self.process, event);
        }
        self.check_watchdog(ctx, &operation, started_at);
        self.pending_operations -= 1;
        if matches!(operation, DiskOperation::Write { .. }) {
            self.write_in_progress = None;
        }
        let failure = fail_if_disk_full(ctx, disk, &operation);
        // The sync is a second step of the disk: a crash between both finds the write without its sync.
        let synced = match &operation {
            DiskOperation::Write {
                segment,
                sync: true,
                ..
            } if failure.is_none() => Some(*segment),
            DiskOperation::Write { .. }
            | DiskOperation::Reserve { .. }
            | DiskOperation::Sync { .. }
            | DiskOperation::Read { .. } => None,
        };
        let input = failure.unwrap_or_else(|| complete_operation(ctx, disk, operation));
        match synced {
            Some(segment) => self.start_sync(ctx, segment),
            None => self.drive_log(ctx, disk, input),
        }
        self.requests.schedule_iteration(ctx);
    }
}

/// Events of the log, and reads of the simulation itself.
impl EngineThread {
    /// Checks that a write or sync which completes now was reported if it took seconds.
    fn check_watchdog(&self, ctx: &mut Context, operation: &DiskOperation, started_at: Instant) {
        let is_watched = match operation {
            DiskOperation::Write { .. } | DiskOperation::Sync { .. } => true,
            DiskOperation::Reserve { .. } | DiskOperation::Read { .. } => false,
        };
        let GatewayEngine::Log(log) = &self.engine else {
            return;
        };
        let duration = ctx.now() - started_at;
        if !is_watched || duration <= Duration::from_millis(1_100) {
            return;
        }
        let was_reported = self.slow_reported_at.is_some_and(|at| at >= started_at);
        let is_ready = log.health() == Health::Serving;
        if !was_reported || is_ready && duration > Duration::from_millis(10_100) {
            let details = format!("an operation of the disk took {}", words::seconds(duration));
            ctx.report(Invariant::StalledDiskReported, details);
        }
    }

    fn on_log_opened(&mut self, ctx: &mut Context, report: &OpenReport) {
        self.open(ctx);
        let is_full =
            matches!(&self.engine, GatewayEngine::Log(log) if log.health() == Health::Full);
        ctx.totals.starts_without_space += u64::from(is_full);
        if std::mem::take(&mut self.must_be_clean) && (!report.is_clean || report.has_new_epochs) {
            let details = match (report.is_clean, report.torn_write) {
                (true, _) => "all channel epochs changed".to_owned(),
                (false, None) => "the start found an unclean shutdown".to_owned(),
                (false, Some(torn)) => format!(
                    "the start truncated an incomplete record in segment {} at byte {}",
                    torn.segment.0, torn.at
                ),
            };
            ctx.report(Invariant::CleanShutdownDetected, details);
        }
        ctx.totals.torn_writes_truncated += u64::from(report.torn_write.is_some());
    }

    /// The log cannot be opened. If the reason is lack of space for the first segment, the process exits and is restarted
    /// later; any other reason is a violation.
    fn on_open_failed(&self, ctx: &mut Context, corruption: Corruption) {
        let no_space = CorruptionKind::StorageFailed {
            error: StorageError::NoSpace,
        };
        if corruption.kind == no_space && ctx.totals.operations_without_space > 0 {
            self.schedule_exit(ctx);
        } else {
            ctx.report(Invariant::LogOpens, corruption.to_string());
        }
    }

    /// Handles an event that the log reports to the operator.
    fn on_log_event(&mut self, ctx: &mut Context, event: LogEvent) {
        match event {
            LogEvent::SegmentRemoved { .. } => ctx.totals.segments_removed += 1,
            LogEvent::OperationSlow { .. }
                if ctx.planted_bug == Some(PlantedBug::SilentWatchdog) => {}
            LogEvent::OperationSlow { .. } => {
                ctx.totals.slow_operations += 1;
                self.slow_reported_at = Some(ctx.now());
            }
            LogEvent::UncleanShutdown => self.shutdown_phase = ShutdownPhase::Unclean,
            LogEvent::WriteFailed { .. } | LogEvent::RecordUnreadable { .. } => {
                let details =
                    "a write failed or a record is unreadable, with an intact disk".to_owned();
                ctx.report(Invariant::NoAcknowledgedLoss, details);
            }
            LogEvent::SegmentCreated { .. }
            | LogEvent::DiskFull { .. }
            | LogEvent::SegmentNotCreated { .. }
            | LogEvent::DiskRecovered
            | LogEvent::RemoveFailed { .. }
            | LogEvent::LimitReached { .. }
            | LogEvent::SlowOperationEnded { .. }
            | LogEvent::WallClockJumped(_)
            | LogEvent::DowntimeEstimated { .. }
            | LogEvent::ChannelsExpired { .. }
            | LogEvent::ChannelReplaced { .. } => {}
        }
    }

    /// Reads each channel's epoch and high watermark, for the planted bug that replaces positions.
    pub(crate) fn load_high_watermarks(&mut self, ctx: &Context, disk: &Disk) {
        if ctx.planted_bug != Some(PlantedBug::NoPositionCheck) {
            return;
        }
        for channel in &ctx.settings.channels {
            if let Some(ReadOutcome {
                epoch,
                high_watermark,
                ..
            }) = self.read_page(ctx, disk, channel, ReadFrom::Oldest, 0)
            {
                self.high_watermarks
                    .insert(ChannelName::from(channel.as_str()), (epoch, high_watermark));
            }
        }
    }

    /// Reads a page of a channel at once; nothing may be in progress.
    pub(crate) fn read_page(
        &mut self,
        ctx: &Context,
        disk: &Disk,
        channel: &str,
        from: ReadFrom,
        limit: usize,
    ) -> Option<ReadOutcome> {
        let time = ReadTime {
            now: Self::time(ctx),
            at: ctx.wall(),
        };
        reader::read_page(&mut self.engine, disk, time, channel, from, limit)
    }
}

/// Returns the failure of an operation if the disk is full. A failed write may be on disk in part.
fn fail_if_disk_full(
    ctx: &mut Context,
    disk: &mut Disk,
    operation: &DiskOperation,
) -> Option<log_io::Input> {
    if !disk.is_full {
        return None;
    }
    let failed_operation = match operation {
        DiskOperation::Reserve { segment, .. } => FailedOperation::Reserve(*segment),
        // Half of the writes succeed, because their space is reserved.
        DiskOperation::Write { .. } if ctx.generator.chance(1, 2) => return None,
        DiskOperation::Write {
            segment, at, bytes, ..
        } => {
            let written = bytes.get(..ctx.generator.below_len(bytes.len()));
            disk.write(*segment, *at, written.unwrap_or_default());
            FailedOperation::Write
        }
        DiskOperation::Sync { .. } | DiskOperation::Read { .. } => return None,
    };
    ctx.totals.operations_without_space += 1;
    Some(log_io::Input::Failed {
        operation: failed_operation,
        error: StorageError::NoSpace,
    })
}

/// Executes an operation and returns its result.
fn complete_operation(
    ctx: &mut Context,
    disk: &mut Disk,
    operation: DiskOperation,
) -> log_io::Input {
    match operation {
        DiskOperation::Reserve {
            segment,
            bytes,
            first,
            last,
        } => {
            disk.reserve(segment, bytes, &first, &last);
            log_io::Input::Reserved {
                segment,
                next_secret: SegmentSecret::new(ctx.random_bytes()),
            }
        }
        DiskOperation::Write {
            segment, at, bytes, ..
        } => {
            disk.write(segment, at, &bytes);
            log_io::Input::Written
        }
        DiskOperation::Sync { segment } => {
            if ctx.planted_bug != Some(PlantedBug::NoSync) {
                disk.sync(segment);
            }
            log_io::Input::Synced
        }
        DiskOperation::Read {
            read,
            segment,
            at,
            len,
        } => log_io::Input::ReadDone {
            read,
            bytes: disk.read(segment, at, len),
        },
    }
}
