//! The settings of a run, which the seed determines before the run begins: policies, sizes, and the number and times of
//! faults.

pub(crate) mod link_faults;
pub(crate) mod session;

use std::time::Duration;

use steadfast_engine::memory::{MemoryPolicy, MemorySettings, Offsets};
use steadfast_engine::order::OrderLimits;
use steadfast_faults::link::LinkFault;
use steadfast_hub::policy::{AnonymousInfo, ConnectDecider, HubPolicy, HubSettings, JoinLeave};
use steadfast_hub::quota::Quota;
use steadfast_hub::timer_wheel::TICK;
use steadfast_log::policy::{Fsync, LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator, convert};
use steadfast_protocol::limits::Limits;

pub(crate) use self::session::{CALLS_MAX, SessionParameters};
use crate::engine_kind::EngineKind;
use crate::ids::NodeIndex;
use crate::planted_bug::PlantedBug;
use crate::variant::Variant;

/// The number of shards of the gateway: enough for publishers and subscribers on different shards.
pub(crate) const SHARDS: u16 = 2;

/// The longest time that a connection may be open without a connect command: longer than every attempt of a session,
/// which does not reconnect after the disconnect code of this timeout.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The time after which a presence query fails because an inbox was full: shorter than any client waits for a pong, since
/// the gateway does not read from a client with many pending queries.
pub(crate) const PRESENCE_TIMEOUT: Duration = Duration::from_millis(300);

/// The longest time without write progress to a client.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest time without write progress, rounded up to the ticks of the hub's timer wheel. A ping is delayed by at
/// most this time, because it is sent before everything else.
pub(crate) const STALL_MAX: Duration = WRITE_TIMEOUT.saturating_add(TICK.saturating_mul(2));

/// The longest time without progress of a command that has begun: longer than a connection may be silent, so that a lost
/// connection is detected by a ping.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(6);

/// The largest total of the incomplete commands of a shard.
pub(crate) const INCOMPLETE_BYTES_MAX: usize = 1 << 20;

/// The largest send buffer of a client: several pages of a recovery.
pub(crate) const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;

/// The largest total of the send buffers of a shard: little more than one of them may have.
pub(crate) const UNSENT_MEMORY_BYTES_MAX: usize = 80 << 10;

/// What limits the history of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retention {
    All,
    /// At most this number of publications per channel.
    Count(usize),
    /// The size of the log: a few segments.
    Bytes,
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunSettings {
    /// The number of nodes, which know nothing of each other: 1 or 2.
    pub(crate) nodes: usize,
    /// The number of simple clients; at least 1.
    pub(crate) clients: usize,
    /// Sessions of the client library; at least 1.
    pub(crate) sessions: Vec<SessionParameters>,
    pub(crate) channels: Vec<String>,
    /// The least number of publications per client; a client continues until all faults have been injected.
    pub(crate) publishes: u64,
    /// The number of connections that the network closes or resets; at least 3.
    pub(crate) connection_losses: u64,
    /// Further faults of connections.
    pub(crate) connection_faults: Vec<LinkFault>,
    /// All faults begin within this time; at least 3 s.
    pub(crate) fault_time: Duration,
    /// The number of power failures; at least 2.
    pub(crate) crashes: u64,
    /// The number of shutdowns that are requested.
    pub(crate) clean_shutdowns: u64,
    /// The number of times that the disk is temporarily full.
    pub(crate) full_disks: u64,
    /// The number of times that the disk stalls for seconds.
    pub(crate) stalled_disks: u64,
    /// The number of bytes that are added to each payload.
    pub(crate) padding: usize,
    retention: Retention,
    /// The commits by which a shard may be late before it lags.
    pub(crate) order_limits: OrderLimits,
    /// The number of messages that the inbox of a shard holds.
    pub(crate) inbox_messages: usize,
    pub(crate) engine: EngineKind,
    pub(crate) log: LogPolicy,
    pub(crate) memory: MemoryPolicy,
    /// A multiple of one second.
    ping_interval: Duration,
    pong_timeout: Duration,
}

impl RunSettings {
    /// Draws the settings of a run; a planted bug may change the engine's settings in a way that the checks do not know.
    pub(crate) fn draw(generator: &mut Generator, variant: Variant) -> Self {
        let fsync = match generator.below(6) {
            0 => Fsync::Interval(Duration::from_millis(20)),
            1 => Fsync::Never,
            _ => Fsync::Always,
        };
        let retention = match generator.below(6) {
            0 => Retention::Count(8 + generator.below_len(32)),
            1 => Retention::Bytes,
            _ => Retention::All,
        };
        let log = draw_log_settings(generator, fsync, retention, variant.planted_bug);
        let channels = 1 + generator.below(3);
        let members = 3 + generator.below_len(3);
        let sessions = 1 + generator.below_len(members - 1);
        let ping_interval = Duration::from_secs(1 + generator.below(3));
        let nodes = if generator.chance(1, 3) { 2 } else { 1 };
        Self {
            nodes,
            clients: members - sessions,
            sessions: (0..sessions)
                .map(|_| SessionParameters::draw(generator, nodes))
                .collect(),
            channels: (0..channels)
                .map(|number| format!("chat{number}"))
                .collect(),
            publishes: 15 + generator.below(30),
            connection_losses: 3 + generator.below(4),
            connection_faults: (0..2 + generator.below(4))
                .map(|_| link_faults::draw(generator))
                .collect(),
            fault_time: Duration::from_secs(3 + generator.below(5)),
            crashes: 2 + generator.below(3),
            clean_shutdowns: generator.below(3),
            // Drawn for every engine, so that a seed means the same faults of the network.
            full_disks: match (generator.below(3), variant.engine) {
                (_, EngineKind::Memory) => 0,
                (full_disks, EngineKind::Log) => full_disks,
            },
            padding: if retention == Retention::Bytes {
                3000
            } else {
                0
            },
            stalled_disks: 0,
            retention,
            order_limits: draw_order_limits(generator),
            inbox_messages: if generator.chance(1, 3) { 2 } else { 4096 },
            engine: variant.engine,
            memory: memory_policy(&log),
            log: LogPolicy::new(log).expect("the drawn settings are in range"),
            ping_interval,
            pong_timeout: ping_interval / 2,
        }
        .with_stalled_disks()
    }

    /// The disk of a fifth of the runs stalls. This is not drawn, so that all other runs are the same as without this
    /// fault.
    fn with_stalled_disks(mut self) -> Self {
        let has_disk = self.engine == EngineKind::Log;
        self.stalled_disks = u64::from(has_disk && self.publishes.is_multiple_of(5));
        self
    }

    /// The number of channels without publications that a simple client subscribes to in addition, in its first message.
    /// This is not drawn, so that all other runs are the same as without it.
    pub(crate) const fn further_channels(&self, client: usize) -> usize {
        if client == 0 && self.publishes.is_multiple_of(6) {
            FURTHER_CHANNELS
        } else {
            0
        }
    }

    /// Whether a simple client begins a command after this number of publications and never ends it. This is not drawn
    /// either.
    pub(crate) const fn is_command_endless(&self, published: u64) -> bool {
        self.publishes % 4 == 1 && published % 16 == 9
    }

    /// Returns the node at the position `choice` of the endless list of nodes. Each client begins at its own index, so
    /// that the nodes share the clients.
    pub(crate) const fn node_of(&self, choice: usize) -> NodeIndex {
        NodeIndex(choice % self.nodes)
    }

    /// Whether the policy guarantees that no acknowledged publication is lost.
    pub(crate) fn is_durable(&self) -> bool {
        self.engine == EngineKind::Log && self.log.fsync() == Fsync::Always
    }

    /// The number of publications of a channel that stay visible; `None` when the size of the log limits it.
    pub(crate) const fn visible_max(&self) -> Option<u64> {
        match self.retention {
            Retention::All => Some(u64::MAX),
            Retention::Count(count) => Some(convert::to_u64(count)),
            Retention::Bytes => None,
        }
    }

    /// The least number of publications that the engine serves over all channels when their size limits them. In a log,
    /// the current segment and the next one take half, keys and checkpoints an eighth at most.
    pub(crate) fn retained_min(&self) -> u64 {
        let (bytes, overhead) = match self.engine {
            EngineKind::Log => (self.log.log_bytes().as_bytes() / 8 * 3, 128),
            // Channels and keys use less than half.
            EngineKind::Memory => (self.memory.history_bytes().as_bytes() / 2, 384),
        };
        bytes / (convert::to_u64(self.padding) + overhead)
    }

    /// The longest time until the gateway detects a silent client, from the time when its silence counts: both
    /// deadlines are rounded up to the next tick of
    /// the hub's timer wheel.
    pub(crate) fn peer_silence_max(&self) -> Duration {
        self.ping_interval + self.pong_timeout + 2 * TICK
    }

    /// How much later the gateway detects a silent client to which bytes were unsent: the ping may have been delayed,
    /// and what the client acknowledges extends the pong timeout up to an interval.
    pub(crate) fn ping_delay_max(&self) -> Duration {
        STALL_MAX + self.ping_interval.saturating_sub(self.pong_timeout)
    }

    /// The time without a ping after which a third-party client closes its connection.
    pub(crate) fn ping_timeout(&self) -> Duration {
        self.ping_interval + Duration::from_secs(2)
    }

    pub(crate) fn hub(&self, shard: u16, planted_bug: Option<PlantedBug>) -> HubPolicy {
        let ping_interval = match planted_bug {
            Some(PlantedBug::NoPings) => Duration::from_hours(1),
            Some(_) | None => self.ping_interval,
        };
        let write_timeout = match planted_bug {
            Some(PlantedBug::NoWriteTimeout) => Duration::from_hours(1),
            Some(_) | None => WRITE_TIMEOUT,
        };
        let message_timeout = match planted_bug {
            Some(PlantedBug::NoMessageTimeout) => Duration::from_hours(1),
            Some(_) | None => MESSAGE_TIMEOUT,
        };
        let settings = HubSettings {
            shard,
            shards: SHARDS,
            server: "sim".to_owned(),
            ping_interval,
            pong_timeout: self.pong_timeout,
            connect_timeout: CONNECT_TIMEOUT,
            rejected_close_timeout: Duration::from_secs(5),
            write_timeout,
            message_timeout,
            send_buffer_bytes_max: SEND_BUFFER_BYTES_MAX,
            unsent_memory_bytes_max: UNSENT_MEMORY_BYTES_MAX,
            incomplete_bytes_max: INCOMPLETE_BYTES_MAX,
            peers_max: 100,
            channels_per_peer_max: 16 + FURTHER_CHANNELS,
            new_channels_per_peer: QUOTA,
            keys_per_peer: QUOTA,
            pending_requests_per_peer_max: 64,
            pending_requests_max: 1024,
            // A few publications, so that the limit is reached while the disk stalls.
            pending_request_bytes_max: if self.stalled_disks > 0 {
                16 << 10
            } else {
                1 << 20
            },
            // Fewer than there are channels, so that a channel waits for its turn.
            catch_up_reads_max: 2,
            // Small, so that a recovery takes several pages.
            recovery_publications_max: 5,
            recovery_reply_bytes_max: 1024,
            recovery_bytes_max: 4096,
            history_publications_max: 300,
            presence_clients_max: 100,
            presence_timeout: PRESENCE_TIMEOUT,
            join_leave: JoinLeave::On,
            anonymous_info: AnonymousInfo::Ignored,
            connect_decider: ConnectDecider::Hub,
            limits: Limits::DEFAULT,
        };
        HubPolicy::try_from(settings).expect("the settings of the simulated hubs are in range")
    }
}

/// The number of channels that some clients subscribe to at once: with the data of each, they are longer than a command
/// may be.
const FURTHER_CHANNELS: usize = 300;

/// More than a simulated client uses.
const QUOTA: Quota = Quota {
    uses_max: 100_000,
    period: Duration::from_mins(2),
};

/// Draws the settings of the log.
fn draw_log_settings(
    generator: &mut Generator,
    fsync: Fsync,
    retention: Retention,
    planted_bug: Option<PlantedBug>,
) -> LogSettings {
    let segment_kib = match retention {
        // Of a log of 12 segments, keys may use 11 eighths of one: 1,200, more than a run has. A third of the publications
        // of a run fill it.
        Retention::Bytes => 64,
        Retention::All | Retention::Count(_) => [8, 16, 64, 1024]
            .get(generator.below_len(4))
            .copied()
            .unwrap_or(64),
    };
    LogSettings {
        fsync,
        segment_bytes: ByteSize::from_kib(segment_kib),
        log_bytes: match retention {
            Retention::Bytes => ByteSize::from_kib(12 * segment_kib),
            Retention::All | Retention::Count(_) => ByteSize::from_mib(64),
        },
        history_size: match retention {
            Retention::Count(_) if planted_bug == Some(PlantedBug::NoRetention) => 10_000,
            Retention::Count(count) => count,
            Retention::All | Retention::Bytes => 10_000,
        },
        retry_delay: Duration::from_millis(50),
        cache_bytes: ByteSize::from_kib(8 * generator.below(3)),
        read_bytes: ByteSize::from_kib(4),
        batch_bytes_max: ByteSize::from_kib(4),
        channels_max: 16,
        ..LogSettings::for_tests()
    }
}

/// Draws the capacity of the order: in a third of the runs it is so small that shards lag often.
fn draw_order_limits(generator: &mut Generator) -> OrderLimits {
    let entries = if generator.chance(1, 3) {
        1 + generator.below_len(4)
    } else {
        4096
    };
    OrderLimits {
        entries,
        bytes: 1 << 20,
    }
}

/// The policy of a memory engine with the same limits as a log.
fn memory_policy(log: &LogSettings) -> MemoryPolicy {
    let settings = MemorySettings {
        offsets: Offsets::Dense,
        // Keys need more memory than space in a log.
        history_bytes: ByteSize::from_bytes(log.log_bytes.as_bytes() / 3 * 5),
        channel_bytes_max: log.channel_bytes_max,
        publication_bytes_max: ByteSize::from_kib(8),
        history_size: log.history_size,
        history_ttl: log.history_ttl,
        channel_ttl: log.channel_ttl,
        channels_max: log.channels_max,
        dedup_window: log.dedup_window,
        idempotency_keys_max: log.idempotency_keys_max,
    };
    MemoryPolicy::new(settings).expect("the drawn settings are in range")
}
