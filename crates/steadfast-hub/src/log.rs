//! The log: orders publications, keeps them, and answers what was missed.
//!
//! It owns the order, the offsets, the format of the segments and what is visible; it does no IO. One writer thread
//! per data directory carries out its orders in production, the memory store and the simulated disk elsewhere.
//!
//! ```text
//! Waiting --Found--> Opening --every byte read--> Running --CloseRequested, clean end durable--> Ended
//!                       `--damage--> Ended
//! ```
//!
//! A group of appends is encoded, written, synced as the policy says, and only then shown and acknowledged. Nothing
//! is encoded while another group is under way, so a failed one is taken back without touching what waits.

use std::collections::{BTreeSet, VecDeque};

use steadfast_machine::{Instant, Machine, Timestamp};

use crate::log::cache::Cache;
use crate::log::commit::Writer;
use crate::log::event::{Counters, Event, Health, Limit};
use crate::log::io::{
    Answer, FailedOrder, Input, Output, Refusal, Request, StorageFault, Ticket, Timer,
};
use crate::log::open::{Damage, DamageKind};
use crate::log::opening::Opening;
use crate::log::read::Reads;
use crate::log::replay::State;
use crate::policy::log::LogPolicy;

mod append;
mod cache;
mod channels;
mod checkpoint;
mod commit;
mod dedupe;
pub mod event;
mod fault;
mod group;
pub mod io;
pub mod open;
mod opening;
mod read;
mod record;
pub mod repair;
mod replay;
mod retention;
mod scan;
mod segment;
pub mod verify;

/// The log of a process.
///
/// ```
/// use steadfast_hub::log::Log;
/// use steadfast_hub::log::io::{Input, Output, SegmentNumber};
/// use steadfast_hub::policy::log::{LogPolicy, LogSettings};
/// use steadfast_machine::{Instant, Machine, Timestamp};
///
/// let policy = LogPolicy::new(LogSettings::typical()).unwrap();
/// let mut log = Log::new(policy, Instant::START);
/// let at = Timestamp::from_millis(1_700_000_000_000);
///
/// log.handle(Instant::START, Input::Found { segments: Vec::new(), incarnation: 0x9f, at });
///
/// let first = log.poll_output();
/// assert!(matches!(first, Some(Output::Reserve { segment: SegmentNumber(1), .. })));
/// ```
#[derive(Debug)]
pub struct Log {
    policy: LogPolicy,
    phase: Phase,
    state: State,
    writer: Writer,
    reads: Reads,
    cache: Cache,
    outputs: VecDeque<Output>,
    counters: Counters,
    told: BTreeSet<Limit>,
    told_full: bool,
    timers: Timers,
    now: Instant,
    wall: Timestamp,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Opening(Box<Opening>),
    Running,
    Ended,
}

/// The deadlines, all on one screen.
#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    /// The next sync of the `interval` policy; set while something is not synced.
    sync: Option<Instant>,
    /// The next try of what the storage refused.
    retry: Option<Instant>,
    /// The next look at ages; set while there are channels.
    age: Option<Instant>,
}

impl Log {
    /// A log that waits for [`Input::Found`].
    pub fn new(policy: LogPolicy, now: Instant) -> Self {
        Self {
            policy,
            phase: Phase::Waiting,
            state: State::empty(policy.window()),
            writer: Writer::default(),
            reads: Reads::default(),
            cache: Cache::new(policy.cache_bytes().as_len()),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            told: BTreeSet::new(),
            told_full: false,
            timers: Timers::default(),
            now,
            wall: Timestamp::default(),
        }
    }

    /// The settings.
    pub const fn policy(&self) -> &LogPolicy {
        &self.policy
    }

    /// What it did so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many channels it knows.
    pub fn channels(&self) -> usize {
        self.state.channels.len()
    }

    /// How many keys are in the window.
    pub fn keys(&self) -> usize {
        self.state.window.len()
    }

    /// Bytes of all its segments together.
    pub fn bytes(&self) -> u64 {
        self.state.segments.bytes()
    }

    /// What it can do now.
    pub fn health(&self) -> Health {
        match self.phase {
            Phase::Waiting => Health::Opening,
            Phase::Opening(_) => Health::Opening,
            Phase::Running => self.writer.health(),
            Phase::Ended => Health::Ended,
        }
    }

    fn on_found(&mut self, segments: Vec<io::SegmentFound>, incarnation: u64) {
        assert!(
            matches!(self.phase, Phase::Waiting),
            "the driver lists the storage once"
        );
        let opening = Opening::new(self.policy, self.now, segments, incarnation, self.wall);
        self.phase = Phase::Opening(Box::new(opening));
        self.go_on_opening();
    }

    fn go_on_opening(&mut self) {
        let Phase::Opening(opening) = &self.phase else {
            return;
        };
        if let Some(wanted) = opening.wanted() {
            let read = self.reads.next_number();
            self.outputs.push_back(Output::Read {
                read,
                segment: wanted.segment,
                at: wanted.at,
                len: wanted.len,
            });
            return;
        }
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        match opening.finish() {
            Ok(resumption) => self.resume(resumption),
            Err(damage) => self.refuse_to_open(damage),
        }
    }

    fn refuse_to_open(&mut self, damage: Damage) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::Damaged(damage));
    }

    fn on_requested(&mut self, batch: Vec<Request>) {
        self.state.window.expire(self.now);
        for request in batch {
            match request {
                Request::Append(append) => self.accept_append(append),
                Request::Read(read) => self.accept_read(read),
            }
        }
        self.advance();
    }

    fn on_read_done(&mut self, read: u64, bytes: bytes::Bytes) {
        match &mut self.phase {
            Phase::Waiting => {}
            Phase::Opening(opening) => {
                opening.take(&bytes);
                self.go_on_opening();
            }
            Phase::Running => self.on_part_read(read, Some(bytes)),
            Phase::Ended => {}
        }
    }

    fn on_failed(&mut self, order: FailedOrder, fault: StorageFault) {
        match order {
            FailedOrder::Write => self.on_write_failed(fault),
            FailedOrder::Sync => self.on_sync_failed(fault),
            FailedOrder::Reserve(segment) => self.on_reserve_failed(segment, fault),
            FailedOrder::Read(read) => self.on_read_failed(read, fault),
            FailedOrder::Remove(segment) => self.on_remove_failed(segment),
        }
    }

    fn on_read_failed(&mut self, read: u64, fault: StorageFault) {
        match &self.phase {
            Phase::Waiting => {}
            Phase::Opening(opening) => {
                let place = opening
                    .wanted()
                    .map_or((io::SegmentNumber(0), 0), |wanted| {
                        (wanted.segment, wanted.at)
                    });
                let why = DamageKind::Unusable { fault };
                self.refuse_to_open(Damage {
                    segment: place.0,
                    at: place.1,
                    why,
                    proof: None,
                });
            }
            Phase::Running => self.on_part_read(read, None),
            Phase::Ended => {}
        }
    }

    fn on_tick(&mut self) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= self.now);
        let (sync, retry, age) = (
            due(self.timers.sync),
            due(self.timers.retry),
            due(self.timers.age),
        );
        if age {
            self.timers.age = None;
            self.look_at_ages();
        }
        if retry {
            self.timers.retry = None;
            self.retry();
        }
        if sync {
            self.timers.sync = None;
            self.writer.sync_due = true;
        }
        if age || retry || sync {
            self.advance();
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.outputs.push_back(Output::Answer { ticket, answer });
    }

    fn refuse(&mut self, ticket: Ticket, why: Refusal) {
        self.counters.refused += 1;
        self.answer(ticket, Answer::Refused(why));
    }

    fn refuse_for(&mut self, ticket: Ticket, limit: Limit) {
        if self.told.insert(limit) {
            self.notify(Event::LimitReached { limit });
        }
        self.refuse(ticket, Refusal::Limit);
    }

    fn notify(&mut self, event: Event) {
        self.outputs.push_back(Output::Notify(event));
    }
}

impl Machine for Log {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Found {
                segments,
                incarnation,
                at,
            } => {
                self.wall = at;
                self.on_found(segments, incarnation);
            }
            Input::Requested { batch, at } => {
                self.wall = at;
                self.on_requested(batch);
            }
            Input::Written => self.on_written(),
            Input::Synced => self.on_synced(),
            Input::Reserved { segment } => self.on_reserved(segment),
            Input::ReadDone { read, bytes } => self.on_read_done(read, bytes),
            Input::Failed { order, fault } => self.on_failed(order, fault),
            Input::CloseRequested { at } => {
                self.wall = at;
                self.on_close_requested();
            }
            Input::Tick { at } => {
                self.wall = at;
                self.on_tick();
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        if !matches!(self.phase, Phase::Running) {
            return None;
        }
        let deadlines = [
            (self.timers.sync, Timer::Sync),
            (self.timers.retry, Timer::Retry),
            (self.timers.age, Timer::Age),
        ];
        deadlines
            .into_iter()
            .filter_map(|(at, timer)| Some((at?, timer)))
            .min_by_key(|(at, _)| *at)
    }
}
