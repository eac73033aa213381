//! The log: orders publications, stores them, and serves reads of the history.
//!
//! It owns the order, the offsets, the format of the segments and what is visible; it does no I/O. In production one
//! writer thread per data directory executes its operations, elsewhere the simulated disk.
//!
//! ```text
//! Waiting --Found--> Opening --every byte read--> Running --CloseRequested, clean shutdown durable--> Closed
//!                       `--corruption--> Closed
//! ```
//!
//! A batch of appends is encoded, written, synced as the policy requires, and only then published and acknowledged.
//! Nothing is encoded while another batch is in flight, so a failed batch is rolled back without touching the queue.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use steadfast_engine::{Engine, Health, Rejection, Request, RequestId, Response, StorageOperation};
use steadfast_machine::{Instant, Machine, Timestamp};

use crate::cache::Cache;
use crate::clock::{Ages, Clocks, LogClock};
use crate::commit::Writer;
use crate::event::{Event, LogLimit};
use crate::identity::StartValues;
use crate::io::{FailedOperation, Input, Output, Place, SegmentFound, SegmentNumber, StorageError};
use crate::open::{Corruption, CorruptionKind};
use crate::opening::Opening;
use crate::policy::LogPolicy;
use crate::protection::Protection;
use crate::read::Reads;
use crate::replay::LogState;
use crate::vacancies::Vacancies;
use crate::watchdog::Watchdog;

/// The log of a process.
///
/// ```
/// use steadfast_log::Log;
/// use steadfast_log::clock::Clocks;
/// use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
/// use steadfast_log::io::{Input, Output, Place, SegmentNumber};
/// use steadfast_log::policy::{LogPolicy, LogSettings};
/// use steadfast_machine::{Instant, Machine, Timestamp};
///
/// let policy = LogPolicy::new(LogSettings::for_tests()).unwrap();
/// let mut log = Log::new(policy, Instant::START);
/// let wall = Timestamp::from_millis(1_700_000_000_000);
/// let clocks = Clocks { wall, boot: None };
/// let values = StartValues {
///     incarnation: 0x9f,
///     directory: DirectoryId([1; DirectoryId::BYTES]),
///     secret: SegmentSecret::new([2; SegmentSecret::BYTES]),
/// };
///
/// let segments = Vec::new();
/// log.handle(Instant::START, Input::Found { segments, place: Place::New, values, clocks });
///
/// let first = log.poll_output();
/// assert!(matches!(first, Some(Output::Reserve { segment: SegmentNumber(1), .. })));
/// ```
#[derive(Debug)]
pub struct Log {
    pub(crate) policy: LogPolicy,
    pub(crate) phase: LogPhase,
    pub(crate) state: LogState,
    pub(crate) writer: Writer,
    pub(crate) reads: Reads,
    pub(crate) cache: Cache,
    pub(crate) watchdog: Watchdog,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) reported_limits: BTreeSet<LogLimit>,
    /// The limits for which channels were replaced since the last check of ages.
    pub(crate) reported_replacements: BTreeSet<LogLimit>,
    pub(crate) vacancies: Vacancies,
    pub(crate) protection: Protection,
    /// The failure that was reported last, until the log recovers.
    pub(crate) reported_failure: Option<StorageError>,
    pub(crate) timers: Timers,
    pub(crate) now: Instant,
    pub(crate) clock: LogClock,
}

#[derive(Debug)]
pub(crate) enum LogPhase {
    Waiting,
    Opening(Box<Opening>),
    Running,
    Closed,
}

/// All deadlines of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    /// The next sync of the `interval` policy; set while something is not synced.
    pub(crate) sync: Option<Instant>,
    /// The next retry of a failed operation.
    pub(crate) retry: Option<Instant>,
    /// The next check of ages; set while there are channels or idempotency keys.
    pub(crate) age: Option<Instant>,
    /// The next comparison of the clocks; set while the log is running.
    pub(crate) clock: Option<Instant>,
}

/// How often the wall clock is compared with log time, also while there are no requests.
pub(crate) const CLOCK_PERIOD: Duration = Duration::from_secs(5);

impl Log {
    /// Creates a log that waits for [`Input::Found`].
    pub fn new(policy: LogPolicy, now: Instant) -> Self {
        Self {
            policy,
            phase: LogPhase::Waiting,
            state: LogState::empty(policy.dedup_window()),
            writer: Writer::default(),
            reads: Reads::default(),
            cache: Cache::new(policy.cache_bytes().as_len()),
            watchdog: Watchdog::default(),
            outputs: VecDeque::new(),
            reported_limits: BTreeSet::new(),
            reported_replacements: BTreeSet::new(),
            vacancies: Vacancies::default(),
            protection: Protection::default(),
            reported_failure: None,
            timers: Timers::default(),
            now,
            clock: LogClock::new(now, Clocks::default()),
        }
    }

    /// Number of known channels.
    pub fn channels(&self) -> usize {
        self.state.channels.len()
    }

    /// Number of idempotency keys in the deduplication window.
    pub fn idempotency_keys(&self) -> usize {
        self.state.dedup_window.len()
    }

    /// The log time.
    pub(crate) fn time(&self) -> Timestamp {
        self.clock.at(self.now)
    }

    /// The ages of records now.
    pub(crate) fn ages(&self) -> Ages {
        self.clock.ages(self.now)
    }

    /// Compares the wall clock with log time. A change of its state is written with the next batch.
    fn observe(&mut self, wall: Timestamp) {
        if !matches!(self.phase, LogPhase::Running) {
            return;
        }
        if let Some(jump) = self.clock.observe(self.now, wall) {
            self.notify(Event::WallClockJumped(jump));
            self.report_estimate();
        }
    }

    /// Reports for how long the machine was probably down.
    pub(crate) fn report_estimate(&mut self) {
        if let Some(downtime) = self.clock.state().estimate() {
            let downtime = Duration::from_millis(downtime.millis);
            self.notify(Event::DowntimeEstimated { downtime });
        }
    }

    fn on_found(
        &mut self,
        segments: Vec<SegmentFound>,
        place: Place,
        values: StartValues,
        clocks: Clocks,
    ) {
        assert!(
            matches!(self.phase, LogPhase::Waiting),
            "the driver lists the storage once"
        );
        let opening = Opening::new(self.policy, self.now, segments, place, values, clocks);
        self.phase = LogPhase::Opening(Box::new(opening));
        self.continue_opening();
    }

    fn continue_opening(&mut self) {
        let LogPhase::Opening(opening) = &self.phase else {
            return;
        };
        if let Some(request) = opening.next_read() {
            let read = self.reads.next_number();
            self.begin_operation(StorageOperation::Read);
            self.outputs.push_back(Output::Read {
                read,
                segment: request.segment,
                at: request.at,
                len: request.len,
            });
            return;
        }
        let LogPhase::Opening(opening) = std::mem::replace(&mut self.phase, LogPhase::Running)
        else {
            return;
        };
        match opening.finish() {
            Ok(resumption) => self.resume(resumption),
            Err(corruption) => self.refuse_to_open(corruption),
        }
    }

    pub(crate) fn refuse_to_open(&mut self, corruption: Corruption) {
        self.phase = LogPhase::Closed;
        self.outputs.push_back(Output::Corrupt(corruption));
    }

    fn on_requested(&mut self, requests: Vec<Request>) {
        self.state.dedup_window.expire(self.time());
        for request in requests {
            match request {
                Request::Append(append) => self.accept_append(append),
                Request::Read(read) => self.accept_read(read),
            }
        }
        self.advance();
    }

    fn on_read_done(&mut self, read: u64, bytes: bytes::Bytes) {
        self.end_operation(StorageOperation::Read);
        match &mut self.phase {
            LogPhase::Waiting => {}
            LogPhase::Opening(opening) => {
                opening.feed(&bytes);
                self.continue_opening();
            }
            LogPhase::Running => self.on_part_read(read, Some(bytes)),
            LogPhase::Closed => {}
        }
    }

    fn on_failed(&mut self, operation: FailedOperation, error: StorageError) {
        match operation {
            FailedOperation::Write => self.on_write_failed(error),
            FailedOperation::Sync => self.on_sync_failed(error),
            FailedOperation::Reserve(segment) => self.on_reserve_failed(segment, error),
            FailedOperation::Read(read) => self.on_read_failed(read, error),
            FailedOperation::Remove(segment) => self.on_remove_failed(segment),
            FailedOperation::Check => self.on_check_failed(error),
        }
    }

    fn on_read_failed(&mut self, read: u64, error: StorageError) {
        self.end_operation(StorageOperation::Read);
        match &self.phase {
            LogPhase::Waiting => {}
            LogPhase::Opening(opening) => {
                let location = opening
                    .next_read()
                    .map_or((SegmentNumber(0), 0), |request| {
                        (request.segment, request.at)
                    });
                let kind = CorruptionKind::StorageFailed { error };
                self.refuse_to_open(Corruption {
                    segment: location.0,
                    at: location.1,
                    kind,
                    evidence: None,
                });
            }
            LogPhase::Running => self.on_part_read(read, None),
            LogPhase::Closed => {}
        }
    }

    fn on_tick(&mut self, wall: Timestamp) {
        self.report_slow_operations();
        if !matches!(self.phase, LogPhase::Running) {
            return;
        }
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= self.now);
        let (sync, retry, age, clock) = (
            due(self.timers.sync),
            due(self.timers.retry),
            due(self.timers.age),
            due(self.timers.clock),
        );
        if clock {
            self.timers.clock = Some(self.now + CLOCK_PERIOD);
            self.observe(wall);
        }
        if age {
            self.timers.age = None;
            self.on_age_timer();
        }
        if retry {
            self.timers.retry = None;
            self.retry();
        }
        if sync {
            self.timers.sync = None;
            self.writer.is_sync_due = true;
        }
        if age || retry || sync || clock {
            self.advance();
        }
    }

    pub(crate) fn respond(&mut self, request_id: RequestId, response: Response) {
        self.outputs.push_back(Output::Respond {
            request_id,
            response,
        });
    }

    pub(crate) fn reject(&mut self, request_id: RequestId, reason: Rejection) {
        self.respond(request_id, Response::Rejected(reason));
    }

    pub(crate) fn reject_for_limit(&mut self, request_id: RequestId, limit: LogLimit) {
        if self.reported_limits.insert(limit) {
            self.notify(Event::LimitReached { limit });
        }
        let rejection = match limit {
            LogLimit::Channels | LogLimit::CheckpointBytes => Rejection::TooManyChannels,
            LogLimit::IdempotencyKeys
            | LogLimit::IdempotencyKeyBytes
            | LogLimit::ChannelBytes
            | LogLimit::PendingBytes
            | LogLimit::PendingReads => Rejection::Limit,
        };
        self.reject(request_id, rejection);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.outputs.push_back(Output::Notify(event));
    }
}

impl Machine for Log {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Found {
                segments,
                place,
                values,
                clocks,
            } => self.on_found(segments, place, values, clocks),
            Input::Requested { requests, at } => {
                self.observe(at);
                self.on_requested(requests);
            }
            Input::ForgetRequested { channels } => self.on_forget_requested(channels),
            Input::Written => self.on_written(),
            Input::Synced => self.on_synced(),
            Input::Reserved {
                segment,
                next_secret,
            } => self.on_reserved(segment, next_secret),
            Input::ReadDone { read, bytes } => self.on_read_done(read, bytes),
            Input::Failed { operation, error } => self.on_failed(operation, error),
            Input::CloseRequested => self.on_close_requested(),
            Input::Tick { at } => self.on_tick(at),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            LogPhase::Waiting | LogPhase::Closed => None,
            LogPhase::Opening(_) => self.watchdog.next_deadline(),
            LogPhase::Running => {
                let Timers {
                    sync,
                    retry,
                    age,
                    clock,
                } = self.timers;
                let deadlines = [sync, retry, age, clock, self.watchdog.next_deadline()];
                deadlines.into_iter().flatten().min()
            }
        }
    }
}

impl Engine for Log {
    fn health(&self) -> Health {
        match self.phase {
            LogPhase::Waiting => Health::Opening,
            LogPhase::Opening(_) => Health::Opening,
            LogPhase::Running => match self.writer.health() {
                Health::Serving => self.watchdog.stalled().unwrap_or(Health::Serving),
                other @ (Health::Opening
                | Health::Full
                | Health::Unavailable
                | Health::WriteFailed
                | Health::Misplaced
                | Health::Stalled { .. }
                | Health::Closing
                | Health::Closed) => other,
            },
            LogPhase::Closed => Health::Closed,
        }
    }
}
