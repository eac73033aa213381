//! What a seed decides before a run begins: policies, sizes, how much goes wrong and when.

mod session;

use std::time::Duration;

use steadfast_hub::policy::hub::{AnonymousInfo, HubPolicy, HubSettings, JoinLeave};
use steadfast_hub::policy::log::{Fsync, LogPolicy, LogSettings};
use steadfast_hub::wheel::TICK;
use steadfast_machine::{ByteSize, Generator};
use steadfast_protocol::limits::Limits;

pub(crate) use self::session::{CALLS_MAX, SessionDraw};
use crate::faults::LinkFault;
use crate::mutation::Mutation;
use crate::socket::Pings;

/// Hubs of the gateway: enough for publishers and subscribers on different ones.
pub(crate) const CORES: u16 = 2;

/// How long a connection may stay without a connect command: longer than every attempt of a session, which takes the
/// code that ends it as final.
pub(crate) const STALE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long bytes may wait for a client.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// A byte waits for two write deadlines at most, since the deadline starts anew when all that waited at its start is out.
/// So a ping is out this much later at most.
pub(crate) const BYTES_WAIT_MAX: Duration = WRITE_DEADLINE.saturating_add(TICK).saturating_mul(2);

/// How many bytes may wait for a client: several pages of a recovery.
pub(crate) const BACKLOG_BYTES_MAX: usize = 64 << 10;

/// What of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retention {
    All,
    /// A few publications of each channel.
    Count(u64),
    /// A few segments.
    Bytes,
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct RunSettings {
    /// Simple clients; at least 1.
    pub(crate) clients: usize,
    /// Sessions of the client library; at least 1.
    pub(crate) sessions: Vec<SessionDraw>,
    pub(crate) channels: Vec<String>,
    /// Publishes of each client, at least; it goes on until all faults have happened.
    pub(crate) publishes: u64,
    /// Links that are lost, at least 3.
    pub(crate) link_losses: u64,
    /// What befalls links besides.
    pub(crate) link_faults: Vec<LinkFault>,
    /// All faults begin within this time, at least 3 s.
    pub(crate) fault_time: Duration,
    /// At least 2.
    pub(crate) crashes: u64,
    /// Times that the process ends in peace.
    pub(crate) clean_stops: u64,
    /// Times that the disk is full for a while.
    pub(crate) full_disks: u64,
    /// Bytes that are added to each payload.
    pub(crate) padding: usize,
    retention: Retention,
    /// Shared entries that a core may be behind the log.
    pub(crate) ring_entries: usize,
    pub(crate) log: LogPolicy,
    /// Whole seconds.
    ping_interval: Duration,
    pong_timeout: Duration,
}

impl RunSettings {
    /// Draws a run; `mutation` may give the log settings that the judgement does not know of.
    pub(crate) fn draw(generator: &mut Generator, mutation: Option<Mutation>) -> Self {
        let fsync = match generator.below(6) {
            0 => Fsync::Interval(Duration::from_millis(20)),
            1 => Fsync::Never,
            _ => Fsync::Always,
        };
        let retention = match generator.below(6) {
            0 => Retention::Count(8 + generator.below(32)),
            1 => Retention::Bytes,
            _ => Retention::All,
        };
        let segment_kib = match retention {
            // Keys of the window must fit into an eighth of a segment, else nothing is removed.
            Retention::Bytes => 64,
            Retention::All | Retention::Count(_) => [8, 16, 64, 1024]
                .get(usize::try_from(generator.below(4)).unwrap_or(0))
                .copied()
                .unwrap_or(64),
        };
        let log = LogSettings {
            fsync,
            segment_bytes: ByteSize::from_kib(segment_kib),
            log_bytes: match retention {
                Retention::Bytes => ByteSize::from_kib(4 * segment_kib),
                Retention::All | Retention::Count(_) => ByteSize::from_mib(64),
            },
            visible_count_max: match retention {
                Retention::Count(_) if mutation == Some(Mutation::NoRetention) => 10_000,
                Retention::Count(count) => usize::try_from(count).unwrap_or(8),
                Retention::All | Retention::Bytes => 10_000,
            },
            retry_pause: Duration::from_millis(50),
            cache_bytes: ByteSize::from_kib(8 * generator.below(3)),
            read_bytes: ByteSize::from_kib(4),
            group_bytes_max: ByteSize::from_kib(4),
            channels_max: 16,
            ..LogSettings::typical()
        };
        let channels = 1 + generator.below(3);
        let members = 3 + generator.below(3);
        let sessions = 1 + generator.below(members - 1);
        let ping_interval = Duration::from_secs(1 + generator.below(3));
        Self {
            clients: usize::try_from(members - sessions).unwrap_or(1),
            sessions: (0..sessions)
                .map(|_| SessionDraw::draw(generator))
                .collect(),
            channels: (0..channels)
                .map(|number| format!("room{number}"))
                .collect(),
            publishes: 15 + generator.below(30),
            link_losses: 3 + generator.below(4),
            link_faults: (0..2 + generator.below(4))
                .map(|_| LinkFault::draw(generator))
                .collect(),
            fault_time: Duration::from_secs(3 + generator.below(5)),
            crashes: 2 + generator.below(3),
            clean_stops: generator.below(3),
            full_disks: generator.below(3),
            padding: if retention == Retention::Bytes {
                3000
            } else {
                0
            },
            retention,
            ring_entries: if generator.chance(1, 3) { 4 } else { 4096 },
            log: LogPolicy::new(log).expect("the drawn settings are in range"),
            ping_interval,
            pong_timeout: ping_interval / 2,
        }
    }

    /// Whether the policy promises that nothing acknowledged is ever lost.
    pub(crate) fn is_whole(&self) -> bool {
        self.log.fsync() == Fsync::Always
    }

    /// How many publications of a channel stay visible; `None` when bytes decide.
    pub(crate) const fn visible_max(&self) -> Option<u64> {
        match self.retention {
            Retention::All => Some(u64::MAX),
            Retention::Count(count) => Some(count),
            Retention::Bytes => None,
        }
    }

    /// So many publications are the least that the log shows over all channels, when bytes decide: the segment that
    /// has just begun and the one after it take half of the log, keys and checkpoints an eighth at most.
    pub(crate) fn kept_min(&self) -> u64 {
        let bytes = self.log.log_bytes().as_bytes() / 8 * 3;
        let record = u64::try_from(self.padding).unwrap_or(0) + 128;
        bytes / record
    }

    /// A client that says nothing any more is noticed by the gateway within this time: both deadlines are rounded up to
    /// the next tick of the hub's wheel.
    pub(crate) fn peer_silence_max(&self, pings: Pings) -> Duration {
        let behind = match pings {
            Pings::Prompt => Duration::ZERO,
            Pings::Behind | Pings::Judged => BYTES_WAIT_MAX,
        };
        self.ping_interval + self.pong_timeout + 2 * TICK + behind
    }

    /// A published client gives up when no ping came for so long.
    pub(crate) fn no_ping_max(&self) -> Duration {
        self.ping_interval + Duration::from_secs(2)
    }

    pub(crate) fn hub(&self, core: u16, mutation: Option<Mutation>) -> HubPolicy {
        let ping_interval = match mutation {
            Some(Mutation::NoPings) => Duration::from_hours(1),
            Some(_) | None => self.ping_interval,
        };
        let write_deadline = match mutation {
            Some(Mutation::NoWriteDeadline) => Duration::from_hours(1),
            Some(_) | None => WRITE_DEADLINE,
        };
        let settings = HubSettings {
            core,
            cores: CORES,
            server: "sim".to_owned(),
            ping_interval,
            pong_timeout: self.pong_timeout,
            stale_timeout: STALE_TIMEOUT,
            refused_timeout: Duration::from_secs(5),
            write_deadline,
            backlog_bytes_max: BACKLOG_BYTES_MAX,
            peers_max: 100,
            channels_per_peer_max: 16,
            asks_per_peer_max: 64,
            asks_max: 1024,
            // Small, so that a recovery takes several pages.
            recovery_publications_max: 5,
            recovery_bytes_max: 4096,
            history_publications_max: 300,
            presence_clients_max: 100,
            presence_timeout: Duration::from_secs(3),
            join_leave: JoinLeave::Off,
            anonymous_info: AnonymousInfo::Ignored,
            limits: Limits::DEFAULT,
        };
        HubPolicy::try_from(settings).expect("the settings of the simulated hubs are in range")
    }
}
