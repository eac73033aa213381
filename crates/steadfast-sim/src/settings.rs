//! What a seed decides before a run begins: policies, sizes, how much goes wrong and when.

use std::time::Duration;

use steadfast_hub::policy::hub::{AnonymousInfo, HubPolicy, HubSettings, JoinLeave};
use steadfast_hub::policy::log::{Fsync, LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator};
use steadfast_protocol::limits::Limits;

use crate::mutation::Mutation;

/// Hubs of the gateway: enough for publishers and subscribers on different ones.
pub(crate) const CORES: u16 = 2;

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
    pub(crate) clients: usize,
    pub(crate) channels: Vec<String>,
    /// Publishes of each client, at least; it goes on until all faults have happened.
    pub(crate) publishes: u64,
    /// At least 3.
    pub(crate) link_losses: u64,
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
        Self {
            clients: 3 + usize::try_from(generator.below(3)).unwrap_or(0),
            channels: (0..channels)
                .map(|number| format!("room{number}"))
                .collect(),
            publishes: 15 + generator.below(30),
            link_losses: 3 + generator.below(4),
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

    pub(crate) fn hub(core: u16) -> HubPolicy {
        let settings = HubSettings {
            core,
            cores: CORES,
            server: "sim".to_owned(),
            ping_interval: Duration::from_secs(5),
            pong_timeout: Duration::from_secs(2),
            stale_timeout: Duration::from_secs(10),
            refused_timeout: Duration::from_secs(5),
            write_deadline: Duration::from_secs(5),
            backlog_bytes_max: 1 << 20,
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
