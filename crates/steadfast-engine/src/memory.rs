//! An engine that keeps publications in memory: nothing survives the process.
//!
//! It owns the offsets, the history of each channel and the idempotency keys, and needs neither storage nor threads:
//! each request has its response at once. A driver feeds it the requests of all shards in one order.
//!
//! ```text
//! Running --CloseRequested--> Closed
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use steadfast_machine::{Instant, Machine, Timestamp};

pub use self::policy::{MemoryPolicy, MemoryPolicyError, MemorySetting, MemorySettings, Offsets};
use crate::epoch::ChannelEpoch;
use crate::health::{Engine, Health};
use crate::io::{Event, Input, Limit, Output};
use crate::memory::channels::{ChannelSlot, Channels};
use crate::memory::dedup::DedupWindow;
use crate::request::{Request, RequestId};
use crate::response::{Record, Rejection, Response};
use crate::time::SteadyClock;

mod append;
mod channels;
mod dedup;
mod policy;
mod read;

/// How often ages are checked. A read removes old publications too, so only their memory depends on this period.
const AGE_PERIOD: Duration = Duration::from_mins(1);

/// The engine of a process that stores nothing.
///
/// ```
/// use bytes::Bytes;
/// use steadfast_engine::io::{Input, Output};
/// use steadfast_engine::memory::{MemoryEngine, MemoryPolicy, MemorySettings};
/// use steadfast_engine::{Append, Publisher, Request, RequestId, RetentionClass};
/// use steadfast_machine::{Instant, Machine, Timestamp};
/// use steadfast_protocol::message::PayloadKind;
///
/// let policy = MemoryPolicy::new(MemorySettings::for_tests()).unwrap();
/// let mut engine = MemoryEngine::new(policy, 0x9f, Instant::START);
/// let append = Append {
///     request_id: RequestId { shard: 0, number: 1 },
///     channel: "news".into(),
///     data: Bytes::from_static(b"{}"),
///     kind: PayloadKind::Json,
///     retention: RetentionClass::Kept,
///     publisher: Publisher::default(),
///     idempotency_key: None,
///     may_create_channel: true,
/// };
/// let at = Timestamp::from_millis(1_700_000_000_000);
///
/// engine.handle(Instant::START, Input::Requested { requests: vec![Request::Append(append)], at });
///
/// let Some(Output::Commit(committed)) = engine.poll_output() else { panic!("a commit") };
/// assert_eq!((committed.previous, committed.record.offset), (0, 1));
/// assert!(matches!(engine.poll_output(), Some(Output::Respond { .. })));
/// ```
#[derive(Debug)]
pub struct MemoryEngine {
    policy: MemoryPolicy,
    channels: Channels,
    keys: DedupWindow,
    /// The epoch of channels that are created from now on.
    new_channel_epoch: ChannelEpoch,
    /// The newest offset of all channels.
    last_offset: u64,
    outputs: VecDeque<Output>,
    reported_limits: BTreeSet<Limit>,
    /// The limits for which channels were replaced since the last check of ages.
    reported_replacements: BTreeSet<Limit>,
    /// The next check of ages; set while there are channels or idempotency keys.
    age_timer: Option<Instant>,
    is_closed: bool,
    now: Instant,
    /// Set by the first input, which is the first to know the wall clock.
    clock: Option<SteadyClock>,
    /// The time of the engine at the current input.
    time: Timestamp,
}

impl MemoryEngine {
    /// An engine without channels. The incarnation comes from the operating system's randomness, so that no position of
    /// another process can be continued.
    pub fn new(policy: MemoryPolicy, incarnation: u64, now: Instant) -> Self {
        Self {
            policy,
            channels: Channels::new(policy.channel_bytes_max().as_len()),
            keys: DedupWindow::new(policy.dedup_window()),
            new_channel_epoch: ChannelEpoch::new(incarnation, 0),
            last_offset: 0,
            outputs: VecDeque::new(),
            reported_limits: BTreeSet::new(),
            reported_replacements: BTreeSet::new(),
            age_timer: None,
            is_closed: false,
            now,
            clock: None,
            time: Timestamp::default(),
        }
    }

    /// The validated settings of the engine.
    pub const fn policy(&self) -> &MemoryPolicy {
        &self.policy
    }

    /// Number of known channels.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Number of idempotency keys in the deduplication window.
    pub fn idempotency_keys(&self) -> usize {
        self.keys.len()
    }

    /// Approximate memory of all visible publications in bytes.
    pub const fn history_bytes(&self) -> usize {
        self.channels.bytes()
    }

    /// Approximate memory of everything that is stored, in bytes: publications, channels and idempotency keys.
    pub const fn memory_bytes(&self) -> usize {
        self.channels.bytes() + self.channels.channel_bytes() + self.keys.bytes()
    }

    /// The memory that channels and keys leave for publications.
    fn history_bytes_max(&self) -> usize {
        let others = self.channels.channel_bytes() + self.keys.bytes();
        self.policy.history_bytes().as_len().saturating_sub(others)
    }

    /// Advances the time of the engine, and compares the wall clock with it.
    fn observe(&mut self, wall: Timestamp) {
        let now = self.now;
        let clock = self
            .clock
            .get_or_insert_with(|| SteadyClock::new(now, wall));
        let jump = clock.observe(now, wall);
        self.time = clock.at(now);
        if let Some(jump) = jump {
            self.notify(Event::WallClockJumped(jump));
        }
    }

    /// A publication as clients see it: with the wall-clock time at which it was accepted.
    fn displayed(&self, record: Record) -> Record {
        let at = self
            .clock
            .map_or(record.at, |clock| clock.display(record.at));
        Record { at, ..record }
    }

    fn on_requested(&mut self, requests: Vec<Request>) {
        self.keys.expire(self.now);
        for request in requests {
            match request {
                _ if self.is_closed => self.reject(request.id(), Rejection::Closing),
                Request::Append(append) => self.append(append),
                Request::Read(read) => self.read(&read),
            }
        }
        self.schedule_age_timer();
    }

    fn on_tick(&mut self, wall: Timestamp) {
        if self.age_timer.is_none_or(|deadline| deadline > self.now) {
            return;
        }
        self.observe(wall);
        self.age_timer = None;
        self.reported_limits.clear();
        self.reported_replacements.clear();
        self.keys.expire(self.now);
        self.expire_channels();
        self.schedule_age_timer();
    }

    /// Removes old publications and channels. With the channels, the epoch of new channels changes, so that a later
    /// channel of the same name has another epoch.
    fn expire_channels(&mut self) {
        let before = self.new_channel_epoch;
        let Some(counter) = before.counter().checked_add(1) else {
            return;
        };
        let expired = self.channels.expire(&self.policy, self.time);
        if expired > 0 {
            self.new_channel_epoch = ChannelEpoch::new(before.incarnation(), counter);
            self.notify(Event::ChannelsExpired { channels: expired });
        }
    }

    /// Removes a channel in favour of a new one; returns whether it was possible. As when channels expire, a later channel
    /// of the same name has another epoch.
    fn remove_channel(&mut self, slot: ChannelSlot) -> bool {
        let before = self.new_channel_epoch;
        let Some(counter) = before.counter().checked_add(1) else {
            return false;
        };
        self.channels.remove(slot);
        self.new_channel_epoch = ChannelEpoch::new(before.incarnation(), counter);
        true
    }

    fn report_replacement(&mut self, limit: Limit) {
        if self.reported_replacements.insert(limit) {
            self.notify(Event::ChannelReplaced { limit });
        }
    }

    fn schedule_age_timer(&mut self) {
        let has_ages = self.channels.len() > 0 || self.keys.len() > 0;
        if self.age_timer.is_none() && has_ages && !self.is_closed {
            self.age_timer = Some(self.now + AGE_PERIOD);
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.age_timer = None;
        self.outputs.push_back(Output::Closed);
    }

    fn respond(&mut self, request_id: RequestId, response: Response) {
        self.outputs.push_back(Output::Respond {
            request_id,
            response,
        });
    }

    fn reject(&mut self, request_id: RequestId, rejection: Rejection) {
        self.respond(request_id, Response::Rejected(rejection));
    }

    fn reject_for_limit(&mut self, request_id: RequestId, limit: Limit) {
        if self.reported_limits.insert(limit) {
            self.notify(Event::LimitReached { limit });
        }
        let rejection = match limit {
            Limit::Channels | Limit::ChannelMemory => Rejection::TooManyChannels,
            Limit::Keys | Limit::KeyMemory => Rejection::Limit,
        };
        self.reject(request_id, rejection);
    }

    fn notify(&mut self, event: Event) {
        self.outputs.push_back(Output::Notify(event));
    }
}

impl Machine for MemoryEngine {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Requested { requests, at } => {
                self.observe(at);
                self.on_requested(requests);
            }
            Input::CloseRequested => self.close(),
            Input::Tick { at } => self.on_tick(at),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.age_timer
    }
}

impl Engine for MemoryEngine {
    /// An engine in memory serves from its start until its close.
    fn health(&self) -> Health {
        if self.is_closed {
            Health::Closed
        } else {
            Health::Serving
        }
    }
}
