//! The gateway's log with one shard: every record is also delivered to the shard, in order.

use std::num::NonZeroU16;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use steadfast_clock::Clock;
use steadfast_engine::{
    Append, EngineEvent, Publisher, Request, RequestId, Response, RetentionClass,
};
use steadfast_gateway::engine::{EngineService, EngineSetup, RING_LIMITS, ShardEngine, log};
use steadfast_log::Log;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::ByteSize;
use steadfast_protocol::message::{ChannelName, PayloadKind};
use tokio::runtime::Runtime;

use super::{Engine, Record};

/// Maximum number of events that the shard takes in one call.
const EVENTS_MAX: usize = 4096;

/// The gateway's log with one shard.
pub(crate) struct Steadfast {
    _service: EngineService,
    /// Number of valid records that were found when the log was opened.
    records: u64,
    shard: ShardEngine,
    runtime: Runtime,
    channels: Vec<ChannelName>,
    events: Vec<EngineEvent>,
}

/// Returns the policy of the tests with a log size of `bytes`.
pub(crate) fn policy(bytes: u64) -> Result<LogPolicy> {
    let settings = LogSettings {
        log_bytes: ByteSize::from_bytes(bytes),
        ..LogSettings::for_tests()
    };
    Ok(LogPolicy::new(settings)?)
}

impl Steadfast {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, policy(1 << 30)?)
    }

    pub(crate) fn open_with(directory: &Path, policy: LogPolicy) -> Result<Self> {
        let clock = Clock::start();
        let setup = EngineSetup {
            shards: NonZeroU16::MIN,
            ring: RING_LIMITS,
            clock,
        };
        let machine = Log::new(policy, clock.now());
        let (service, mut shards, report) = log::start(&setup, directory, machine)
            .map_err(|error| anyhow!("{error}: {}", error.help()))?;
        let shard = shards.pop().context("the log has one shard")?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self {
            _service: service,
            records: report.records,
            shard,
            runtime,
            channels: Vec::new(),
            events: Vec::new(),
        })
    }

    /// Returns the number of valid records that were found when the log was opened.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    fn channel(&mut self, writer: u16) -> Result<ChannelName> {
        while self.channels.len() <= usize::from(writer) {
            let name = format!("bench:{}", self.channels.len());
            self.channels.push(ChannelName::from(name.as_str()));
        }
        self.channels
            .get(usize::from(writer))
            .cloned()
            .context("the channel was just created")
    }
}

impl Engine for Steadfast {
    fn submit(&mut self, batch: Vec<Record>) -> Result<()> {
        for record in batch {
            let channel = self.channel(record.writer)?;
            self.shard.request(Request::Append(Append {
                request_id: RequestId {
                    shard: 0,
                    number: u64::from(record.writer),
                },
                channel,
                data: record.payload,
                kind: PayloadKind::Json,
                retention: RetentionClass::Kept,
                publisher: Publisher::default(),
                idempotency_key: None,
                may_create_channel: true,
            }));
        }
        self.shard.flush();
        Ok(())
    }

    fn acknowledged(&mut self, writers: &mut Vec<u16>) -> Result<()> {
        self.runtime.block_on(self.shard.ready());
        let mut events = std::mem::take(&mut self.events);
        self.shard.take(&mut events, EVENTS_MAX);
        for event in events.drain(..) {
            match event {
                EngineEvent::Response {
                    number,
                    response: Response::Appended { .. },
                } => writers.push(u16::try_from(number)?),
                EngineEvent::Committed(_) => {}
                EngineEvent::Response { .. } | EngineEvent::Lagged => {
                    bail!("unexpected event: {event:?}")
                }
            }
        }
        self.events = events;
        Ok(())
    }
}
