//! The engine of the hub under test: the memory engine with its clock, and the order in which the hub's shard receives
//! its events.
//!
//! Requests of the hub are executed when a test says so, and publications of other shards are appended here. Each
//! publication must have the offset that its channel requires; see [`Numbering`].

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::io::{Input, Output};
use steadfast_engine::memory::{MemoryEngine, MemoryPolicy, MemorySettings};
use steadfast_engine::order::{Delivery, OrderLimits, ShardOrder};
use steadfast_engine::{
    Append, Committed, EngineEvent, Publisher, Request, RequestId, Response, RetentionClass,
};
use steadfast_machine::convert::saturating;
use steadfast_machine::{Instant, Machine, Timestamp};
use steadfast_protocol::message::PayloadKind;

use crate::script::{EPOCH, WALL};

pub(crate) use self::numbering::Numbering;

mod numbering;

/// The shard of the hub under test.
const SHARD: u16 = 0;

/// The shard of all publications that the hub under test did not request.
const OTHER_SHARD: u16 = 1;

pub(crate) struct Engine {
    memory: MemoryEngine,
    order: ShardOrder,
    numbering: Numbering,
    now: Instant,
    /// The number of the latest request of the other shard.
    number: u64,
    /// The newest publication of all channels.
    newest: Option<Committed>,
}

impl Engine {
    /// An engine without channels. A shard with more than `entries_max` commits to receive lags.
    pub(crate) fn new(settings: MemorySettings, entries_max: usize) -> Self {
        let policy = MemoryPolicy::new(settings).expect("valid");
        let limits = OrderLimits {
            entries: entries_max,
            bytes: usize::MAX,
        };
        Self {
            memory: MemoryEngine::new(policy, EPOCH.incarnation(), Instant::START),
            order: ShardOrder::new(1, limits),
            numbering: Numbering::new(settings.offsets),
            now: Instant::START,
            number: 0,
            newest: None,
        }
    }

    pub(crate) const fn numbering(&self) -> &Numbering {
        &self.numbering
    }

    /// The wall-clock time of the engine.
    pub(crate) fn wall(&self) -> Timestamp {
        let elapsed = self.now - Instant::START;
        Timestamp::from_millis(WALL.as_millis() + saturating::<u64>(elapsed.as_millis()))
    }

    /// Lets time pass, and delivers a tick at each deadline of the engine.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.memory.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let at = self.wall();
            self.memory.handle(self.now, Input::Tick { at });
            while self.memory.poll_output().is_some() {}
        }
        self.now = end;
    }

    /// Executes a request. Its commit is delivered; its response is not, see [`Self::respond`].
    pub(crate) fn execute(&mut self, request: &Request) -> Response {
        let (committed, response) = self.run(request);
        if let Some(committed) = committed {
            self.order.push(Delivery::Committed(committed));
        }
        response
    }

    /// Delivers a response to the hub under test, after all commits until now.
    pub(crate) fn respond(&mut self, number: u64, response: Response) {
        let request_id = RequestId {
            shard: SHARD,
            number,
        };
        self.order.push(Delivery::Response {
            request_id,
            response,
        });
    }

    /// Publishes from another shard.
    pub(crate) fn publish(&mut self, channel: &str, data: String) -> Committed {
        let committed = self.append(channel, data);
        self.order.push(Delivery::Committed(committed.clone()));
        committed
    }

    /// A defect of an engine: the commit of a publication is not delivered, and no lag is reported.
    pub(crate) fn publish_and_lose(&mut self, channel: &str, data: String) {
        self.append(channel, data);
    }

    /// A defect of an engine: the newest commit is delivered again.
    pub(crate) fn repeat_newest_commit(&mut self) {
        let newest = self.newest.clone().expect("a publication");
        self.order.push(Delivery::Committed(newest));
    }

    /// The next events for the hub, at most `max`.
    pub(crate) fn take(&mut self, max: usize) -> Vec<EngineEvent> {
        let mut events = Vec::new();
        self.order.take(SHARD, &mut events, max);
        events
    }

    /// Shuts down: every later request is rejected.
    pub(crate) fn close(&mut self) {
        self.memory.handle(self.now, Input::CloseRequested);
    }

    /// Whether there are events that the hub has not received.
    pub(crate) fn has_events(&self) -> bool {
        self.order.has_events(SHARD)
    }

    fn append(&mut self, channel: &str, data: String) -> Committed {
        self.number += 1;
        let append = Append {
            request_id: RequestId {
                shard: OTHER_SHARD,
                number: self.number,
            },
            channel: channel.into(),
            data: Bytes::from(data),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher::default(),
            idempotency_key: None,
            may_create_channel: true,
        };
        let (committed, response) = self.run(&Request::Append(append));
        committed.unwrap_or_else(|| panic!("{response:?}"))
    }

    /// The commit and the response of one request.
    fn run(&mut self, request: &Request) -> (Option<Committed>, Response) {
        let input = Input::Requested {
            requests: vec![request.clone()],
            at: self.wall(),
        };
        self.memory.handle(self.now, input);
        let (mut commit, mut responded) = (None, None);
        while let Some(output) = self.memory.poll_output() {
            match output {
                Output::Commit(committed) => {
                    self.numbering.add(&committed);
                    self.newest = Some(committed.clone());
                    assert_eq!(commit.replace(committed), None, "one commit");
                }
                Output::Respond {
                    request_id,
                    response,
                } => {
                    assert_eq!(request_id, request.id());
                    assert_eq!(responded.replace(response), None, "one response");
                }
                Output::Notify(_) | Output::Closed => {}
            }
        }
        (commit, responded.expect("a response"))
    }
}
