//! The writer thread: owns the log's state machine, feeds inputs to it and executes its outputs until there are none.
//!
//! The writer feeds all requests that it received as one batch, so that one sync covers all of them. The shards are
//! woken at the end of the step. No operation of the storage blocks this thread: other threads execute them, and wake it
//! when they complete. Makes no decisions; see `steadfast_log`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::order::Delivery;
use steadfast_engine::{Engine, Health, StorageOperation};
use steadfast_log::clock::{BootId, BootTime, Clocks, SETTLED_AFTER};
use steadfast_log::event::{Event, LogLimit};
use steadfast_log::io::{Input, Output, StorageError};
use steadfast_log::open::{Corruption, OpenReport};
use steadfast_machine::Instant;

use super::error::LogError;
use super::files::Files;
use super::random;
use super::storage::{Completion, Failure, Reservation};
use crate::config::keys;
use crate::diagnostics;
use crate::engine::exchange::{CloseOutcome, Exchange};

/// How often an idle log checks that its directory is still at its path. A busy one checks at each write and sync.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The state of the writer.
#[derive(Debug)]
enum WriterPhase {
    Opening,
    Open(OpenReport),
    Corrupt(Corruption),
    Closing,
    Closed,
}

/// The state machine, its files, and the queues between them.
#[derive(Debug)]
pub(super) struct Writer<M> {
    machine: M,
    files: Files,
    exchange: Exchange,
    clock: Clock,
    phase: WriterPhase,
    outcome: CloseOutcome,
    /// Inputs that were not fed to the state machine yet.
    inputs: VecDeque<Input>,
    /// The next check of the directory; `None` while one is in progress, and once the log has failed.
    next_check: Option<Instant>,
}

impl<M> Writer<M>
where
    M: Engine<Input = Input, Output = Output>,
{
    pub(super) fn new(machine: M, files: Files, exchange: Exchange, clock: Clock) -> Self {
        Self {
            machine,
            files,
            exchange,
            clock,
            phase: WriterPhase::Opening,
            outcome: CloseOutcome::Clean,
            inputs: VecDeque::new(),
            next_check: Some(clock.now() + CHECK_PERIOD),
        }
    }

    /// Runs the log until it is closed. Sends one message to the channel.
    pub(super) fn run(
        mut self,
        directory: &Path,
        opened: &SyncSender<Result<OpenReport, LogError>>,
    ) {
        let report = match self.open(directory) {
            Ok(report) => report,
            Err(error) => {
                // The directory is released before the error is reported.
                drop(self);
                send_result(opened, Err(error));
                return;
            }
        };
        send_result(opened, Ok(report));
        while !matches!(self.phase, WriterPhase::Closed) {
            self.wait();
            self.step();
        }
        let health = self.machine.health();
        let Self {
            files,
            exchange,
            outcome,
            ..
        } = self;
        // The directory is released before the close is reported.
        drop(files);
        exchange.finish(health, outcome);
    }

    fn open(&mut self, directory: &Path) -> Result<OpenReport, LogError> {
        let segments = self
            .files
            .list()
            .map_err(|error| LogError::from_io(directory, error))?;
        let place = self
            .files
            .place()
            .map_err(|error| LogError::from_io(directory, error))?;
        self.inputs.push_back(Input::Found {
            segments,
            place,
            values: random::start_values()?,
            clocks: read_clocks(),
        });
        loop {
            self.step();
            match self.phase {
                WriterPhase::Opening => self.wait(),
                WriterPhase::Open(report) => return Ok(report),
                WriterPhase::Corrupt(corruption) => {
                    return Err(LogError::from_corruption(directory, corruption));
                }
                WriterPhase::Closing | WriterPhase::Closed => return Err(LogError::WriterExited),
            }
        }
    }

    /// Sleeps until a message arrives or the state machine's deadline expires.
    fn wait(&mut self) {
        let deadlines = [self.machine.poll_timeout(), self.next_check];
        let deadline = deadlines.into_iter().flatten().min();
        self.exchange
            .wait(deadline.map(|at| at.saturating_since(self.clock.now())));
    }

    /// Starts to check the directory if it is time. A misplaced directory is an input like any other failure.
    fn check_directory(&mut self) {
        let now = self.clock.now();
        if !matches!(self.phase, WriterPhase::Open(_)) || self.next_check.is_none_or(|at| at > now)
        {
            return;
        }
        // An operation in flight may hide the difference until the next check; a log that has failed checks no more.
        let has_failed = matches!(
            self.machine.health(),
            Health::Misplaced | Health::WriteFailed
        );
        self.next_check = None;
        if !has_failed {
            self.complete(self.files.check());
        }
    }

    /// Adds the result of an operation to the inputs, and reports its failure.
    fn add_result(&mut self, result: Result<Input, Failure>) {
        let input = result.unwrap_or_else(|failure| {
            let input = failure.input();
            let Input::Failed { error, .. } = input else {
                return input;
            };
            match error {
                // The log reports how much it needs, once.
                StorageError::NoSpace => tracing::debug!("{failure}"),
                StorageError::Io | StorageError::Misplaced => {
                    tracing::error!("{failure}");
                    if failure.is_of_publishing() {
                        self.exchange.publish_failure(failure.to_string());
                    }
                }
            }
            input
        });
        self.inputs.push_back(input);
    }

    /// Feeds new inputs to the state machine and executes its outputs until there are none.
    fn step(&mut self) {
        let requests = self.exchange.take_requests(usize::MAX);
        if !requests.is_empty() {
            self.inputs.push_back(Input::Requested {
                requests,
                at: Clock::wall(),
            });
        }
        // The close follows the requests, so that requests made before the close are still completed.
        if self.exchange.is_close_requested() && matches!(self.phase, WriterPhase::Open(_)) {
            self.begin_close();
        }
        self.check_directory();
        self.run_machine();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.clock.now())
        {
            self.inputs.push_back(Input::Tick { at: Clock::wall() });
            self.run_machine();
        }
        self.deliver();
    }

    fn begin_close(&mut self) {
        self.phase = WriterPhase::Closing;
        self.inputs.push_back(Input::CloseRequested);
    }

    fn run_machine(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.execute(output);
            }
            let completion = self.files.poll_completion();
            self.complete(completion);
            let Some(input) = self.inputs.pop_front() else {
                return;
            };
            self.machine.handle(self.clock.now(), input);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let completion = self.files.reserve(Reservation {
                    segment,
                    bytes,
                    first,
                    last,
                });
                self.complete(completion);
            }
            Output::Write {
                segment,
                at,
                bytes,
                sync,
            } => self.complete(self.files.write(segment, at, bytes, sync)),
            Output::Sync { segment } => self.complete(self.files.sync(segment)),
            Output::Read {
                read,
                segment,
                at,
                len,
            } => self.complete(self.files.read(read, segment, at, len)),
            Output::Remove { segment } => {
                let completion = self.files.remove(segment);
                self.complete(completion);
            }
            Output::Claim => self.files.claim(),
            Output::Opened(report) => self.phase = WriterPhase::Open(report),
            Output::Corrupt(corruption) => self.phase = WriterPhase::Corrupt(corruption),
            Output::Commit(committed) => {
                self.stage(Delivery::Committed(committed));
            }
            Output::Respond {
                request_id,
                response,
            } => self.stage(Delivery::Response {
                request_id,
                response,
            }),
            Output::Notify(event) => self.handle_event(event),
            Output::Closed => self.phase = WriterPhase::Closed,
        }
    }

    /// Handles the completion of an operation, if there is one.
    fn complete(&mut self, completion: Option<Completion>) {
        let Some(completion) = completion else {
            return;
        };
        if matches!(completion, Completion::Checked(_)) {
            self.next_check = Some(self.clock.now() + CHECK_PERIOD);
        }
        if let Some(result) = completion.into_input() {
            self.add_result(result);
        }
    }

    fn stage(&mut self, delivery: Delivery) {
        self.exchange.stage(delivery, self.machine.health());
    }

    /// Delivers what the log has committed and responded so far.
    fn deliver(&mut self) {
        self.exchange.deliver(self.machine.health());
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::SegmentCreated {
                segment,
                channels,
                idempotency_keys,
            } => {
                let segment = segment.0;
                tracing::debug!(segment, channels, idempotency_keys, "log segment created");
            }
            Event::SegmentRemoved { segment } => {
                tracing::debug!(segment = segment.0, "log segment removed");
            }
            Event::ChannelsExpired { channels } => tracing::debug!(channels, "channels expired"),
            Event::DiskRecovered => {
                tracing::info!("the log can be written again; publications are accepted");
            }
            Event::DiskFull { segment, bytes } => {
                let segment = segment.0;
                let needed = format!("no space left for the log, which needs {bytes} bytes");
                tracing::warn!(
                    segment,
                    "{needed}; publications are rejected until there is space, and readers are served"
                );
                self.exchange.publish_failure(needed);
            }
            Event::SegmentNotCreated { segment } => {
                tracing::error!(
                    segment = segment.0,
                    "no log segment can be created; retrying"
                );
            }
            Event::RemoveFailed { segment } => {
                tracing::warn!(
                    segment = segment.0,
                    "failed to remove a log segment; retrying"
                );
            }
            Event::LimitReached { limit } => log_limit(limit, "requests are rejected"),
            Event::ChannelReplaced { limit } => {
                log_limit(
                    limit,
                    "new channels replace the oldest ones without publications",
                );
            }
            Event::WriteFailed { segment, error } => {
                log_failed_write(segment.0, error);
            }
            Event::RecordUnreadable { segment, at } => {
                tracing::error!(
                    segment = segment.0,
                    at_bytes = at,
                    "failed to read a log record"
                );
            }
            Event::OperationSlow {
                operation,
                duration,
            } => log_slow_operation(operation, duration),
            Event::SlowOperationEnded {
                operation,
                duration,
            } => log_end_of_slow_operation(operation, duration),
            Event::WallClockJumped(jump) => diagnostics::log_wall_jump(jump),
            Event::DowntimeEstimated { downtime } => log_downtime(downtime),
            Event::UncleanShutdown => {
                self.outcome = CloseOutcome::Unclean;
                tracing::warn!("clean shutdown of the log not recorded");
            }
        }
    }
}

fn log_limit(limit: LogLimit, effect: &str) {
    let setting = keys::log_setting(limit.setting());
    tracing::warn!(?limit, %setting, "log limit reached; {effect}");
}

fn log_failed_write(segment: u64, error: StorageError) {
    match error {
        StorageError::Misplaced => tracing::error!(
            segment,
            "the log is no longer where it was opened; publishing is disabled: stop the gateway, move the data directory \
             back to its path or restore a backup there, and start the gateway again"
        ),
        StorageError::NoSpace | StorageError::Io => {
            tracing::error!(segment, ?error, "log write failed; publishing is disabled");
        }
    }
}

fn log_slow_operation(operation: StorageOperation, duration: Duration) {
    tracing::warn!(
        duration_seconds = duration.as_secs(),
        "{} of the log has not returned; what needs it waits, and everything else is served",
        operation.name()
    );
}

fn log_end_of_slow_operation(operation: StorageOperation, duration: Duration) {
    let duration_seconds = duration.as_secs_f32();
    tracing::warn!(duration_seconds, "{} of the log returned", operation.name());
}

fn log_downtime(downtime: Duration) {
    tracing::info!(
        downtime_seconds = downtime.as_secs(),
        counts_after_seconds = SETTLED_AFTER.as_secs(),
        "machine restarted; publications are hidden by the estimated downtime, and removed only if the wall clock stays \
         right"
    );
}

/// Reads the clocks of the machine at the same moment.
fn read_clocks() -> Clocks {
    let id = steadfast_clock::boot_id().map(BootId);
    let millis = steadfast_clock::since_boot_millis();
    Clocks {
        wall: Clock::wall(),
        boot: id.map(|id| BootTime { id, millis }),
    }
}

/// Sends the result to the thread that starts the log, which may have stopped waiting.
fn send_result(
    opened: &SyncSender<Result<OpenReport, LogError>>,
    result: Result<OpenReport, LogError>,
) {
    if opened.try_send(result).is_err() {
        tracing::debug!("no thread waits for the log to open");
    }
}
