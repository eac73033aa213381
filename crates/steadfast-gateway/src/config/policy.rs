//! Converts the configuration to the policies of the state machines and the shell. Each setting is checked once; an
//! error contains the key that is invalid.
//!
//! The policies of the state machines check their own ranges and report their own fields; [`super::keys`] names the key
//! of each field. The server accepts [`Policies`] only.

use std::num::NonZero;
use std::time::Duration;

use steadfast_engine::memory::{MemoryPolicy, MemorySettings, Offsets};
use steadfast_hub::policy::{
    AnonymousInfo, ConnectDecider, HubPolicy, HubSetting, HubSettings, JoinLeave,
};
use steadfast_hub::quota::Quota;
use steadfast_log::policy::{Fsync as LogFsync, LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, convert};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::websocket;

use super::contradiction::out_of_range;
use super::keys::{self, SettingSource};
use super::load::{ConfigError, LoadedConfig};
use super::reference::{self, ConfigKey};
use super::{ClientConfig, Config, Fsync, JoinLeaveChoice, ServerConfig, StoreConfig, StoreKind};
use crate::access::OriginPattern;
use crate::upgrade::FIELDS_MAX;

mod relations;

/// Name and version, as sent to clients.
const SERVER: &str = concat!("steadfast ", env!("CARGO_PKG_VERSION"));
/// How long the other shards may take to respond to a presence query: each responds within one loop iteration unless
/// it is blocked.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of pending requests of one shard to the log, for all its clients: 16,384 of 2 KiB reach a shard's
/// share of `store.pending_bytes_max` on two shards. Also the maximum of `client.pending_requests_max`, so that no key raises it.
const PENDING_REQUESTS_PER_SHARD_MAX: u32 = 16_384;
/// Hubs decide about connect commands themselves: there is no key for tokens, and no application to ask.
const CONNECT_DECIDER: ConnectDecider = ConnectDecider::Hub;
/// The number of channels that a shard reads at once after it lagged. Each response may have the size of a page of a
/// recovery, so this bounds the memory of catching up.
const CATCH_UP_READS_MAX: usize = 64;
// Settings of the log without a configuration key: they trade memory for speed and were chosen by measurement.
/// The maximum number of bytes of one batch, which shares one write and one sync.
const BATCH_BYTES_MAX: ByteSize = ByteSize::from_mib(4);
/// Bytes of the newest batches that are kept in memory for reads of recent publications.
const CACHE_BYTES: ByteSize = ByteSize::from_mib(8);
/// Bytes of one read of a segment.
const READ_BYTES: ByteSize = ByteSize::from_mib(1);
/// The maximum number of reads of all shards that wait for the storage. Above it, reads are rejected.
const PENDING_READS_MAX: usize = 20_000;
/// Delay before the log retries a failed operation.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The echo endpoint must accept what conformance suites send: 16 MiB in one message.
const ECHO_MESSAGE_BYTES_MAX: u32 = 32 << 20;
/// The echo endpoint must accept what conformance suites send: 4 MiB in fragments of 64 bytes.
const ECHO_FRAGMENTS_MAX: u32 = 70_000;

/// All validated settings of a gateway.
#[derive(Clone, Debug)]
pub struct Policies {
    /// One policy per shard.
    pub(crate) hubs: Vec<HubPolicy>,
    pub(crate) engine: EnginePolicy,
    /// What limits the number of clients.
    pub(crate) peers_max_source: SettingSource,
    pub(crate) echo_limits: websocket::WebSocketLimits,
    /// The settings that need no further check.
    pub(crate) config: Config,
}

/// The engine that the section `store` selects, with its policy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EnginePolicy {
    /// The log, in segment files.
    Log(LogPolicy),
    /// The memory engine.
    Memory(MemoryPolicy),
}

/// How many sockets one shard may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketLimits {
    pub(crate) all: usize,
    /// Of clients, those that are rejected included. The others are for first requests, so that probes get a response
    /// however many clients there are.
    pub(crate) clients: usize,
    /// What determines them.
    pub(crate) source: SettingSource,
}

/// Open files that are not sockets of clients: segments, listeners, standard streams, timers.
const FILES_RESERVED: u64 = 64;
/// One in eight sockets is reserved for clients that are rejected, for first requests and for probes.
const SOCKETS_SPARE_ONE_IN: usize = 8;
/// At most 1,024 sockets are reserved: rejected clients close within seconds.
const SOCKETS_SPARE_MAX: usize = 1024;

impl TryFrom<&LoadedConfig> for Policies {
    type Error = ConfigError;

    fn try_from(loaded: &LoadedConfig) -> Result<Self, ConfigError> {
        let config = &loaded.config;
        check_server(&config.server)
            .and_then(|()| check_client(&config.client))
            .and_then(|()| check_store(&config.store))
            .map_err(|key| out_of_range(loaded, SettingSource::Key(key), key.values))?;
        loaded.reject_keys_without_effect()?;
        let shards = shards(config.server.shards);
        relations::check_send_buffers(loaded, shards)?;
        relations::check_incomplete(loaded, shards)?;
        // First, because a quota of the hubs has a period that is a setting of the engine.
        let engine = engine_policy(loaded)?;
        relations::check_store_size(loaded, engine)?;
        let hubs = (0..shards)
            .map(|shard| HubPolicy::try_from(hub_settings(config, shard, shards)))
            .collect::<Result<_, _>>()
            .map_err(|error| relations::hub_error(loaded, &error))?;
        let echo_limits = websocket::WebSocketLimits {
            message_bytes_max: ECHO_MESSAGE_BYTES_MAX,
            frame_bytes_max: ECHO_MESSAGE_BYTES_MAX,
            fragments_max: ECHO_FRAGMENTS_MAX,
        };
        Ok(Self {
            hubs,
            engine,
            peers_max_source: keys::hub_setting(HubSetting::PeersMax),
            echo_limits,
            config: config.clone(),
        })
    }
}

impl Policies {
    /// Returns the number of shards.
    pub(crate) fn shards(&self) -> u16 {
        u16::try_from(self.hubs.len()).expect("at most `SHARDS_MAX`")
    }

    /// Returns how many clients one shard accepts before it rejects further ones.
    pub(crate) fn peers_max(&self) -> usize {
        self.hubs.first().map_or(0, |hub| hub.settings().peers_max)
    }

    /// Fits the limit of clients to the limit of open files, and returns the limits of sockets per shard.
    ///
    /// A client above the limit needs a socket too, or it cannot be rejected with a retry delay; so the limit of
    /// clients is lowered if it exceeds the number of sockets that are not reserved.
    pub(crate) fn fit(&mut self, files_max: u64) -> SocketLimits {
        let files = files_max.saturating_sub(FILES_RESERVED) / u64::from(self.shards()).max(1);
        let sockets = convert::saturating::<usize>(files).max(2);
        let spare = (sockets / SOCKETS_SPARE_ONE_IN).clamp(1, SOCKETS_SPARE_MAX);
        let (requested, possible) = (self.peers_max(), sockets.saturating_sub(spare));
        if requested > possible {
            self.hubs = self
                .hubs
                .iter()
                .filter_map(|hub| HubPolicy::try_from(lowered(hub, possible)).ok())
                .collect();
            self.peers_max_source = SettingSource::OpenFiles(files_max);
            let possible = possible.saturating_mul(usize::from(self.shards()));
            log_lowered(files_max, possible, self.config.server.connections_max);
        }
        SocketLimits {
            all: sockets,
            clients: sockets - spare.div_ceil(2),
            source: SettingSource::OpenFiles(files_max),
        }
    }
}

/// Above this number of connections, a limit below `connections_max` is no cause for concern: a machine on which the
/// limit of open files was never raised allows fewer.
const CONNECTIONS_COMMON: usize = 1_000;

/// Logs that the limit of open files allows fewer connections than the configuration.
fn log_lowered(open_files_max: u64, connections_possible: usize, connections_configured: u32) {
    const MESSAGE: &str = "fewer connections possible than configured: the limit of open files is lower (raise it with ulimit -n)";
    if connections_possible > CONNECTIONS_COMMON {
        tracing::info!(
            connections_possible,
            connections_configured,
            open_files_max,
            "{MESSAGE}"
        );
    } else {
        tracing::warn!(
            connections_possible,
            connections_configured,
            open_files_max,
            "{MESSAGE}"
        );
    }
}

fn lowered(hub: &HubPolicy, peers_max: usize) -> HubSettings {
    HubSettings {
        peers_max,
        ..hub.settings().clone()
    }
}

/// Returns the key as an error if its value is not valid.
const fn require(is_valid: bool, key: &'static ConfigKey) -> Result<(), &'static ConfigKey> {
    if is_valid { Ok(()) } else { Err(key) }
}

/// Returns the configured number of shards, or one per processor for 0.
pub(super) fn shards(configured: u16) -> u16 {
    let available = || std::thread::available_parallelism().map_or(1, NonZero::get);
    if configured == 0 {
        convert::saturating::<u16>(available()).min(SHARDS_MAX)
    } else {
        configured
    }
}

/// 256: the log delivers every record to each shard, so more shards would mostly copy records.
const SHARDS_MAX: u16 = 256;

fn check_server(server: &ServerConfig) -> Result<(), &'static ConfigKey> {
    let within = |value: Duration, least: Duration, most: Duration| value >= least && value <= most;
    let (tenth, minute, hour) = (
        Duration::from_millis(100),
        Duration::from_mins(1),
        Duration::from_hours(1),
    );
    require(
        server.shards <= SHARDS_MAX,
        const { reference::server("shards") },
    )?;
    require(
        server
            .allowed_origins
            .iter()
            .all(|origin| OriginPattern::parse(origin).is_some()),
        const { reference::server("allowed_origins") },
    )?;
    require(
        (1..=10_000_000).contains(&server.connections_max),
        const { reference::server("connections_max") },
    )?;
    require(
        (1..=1_000_000).contains(&server.handshakes_max),
        const { reference::server("handshakes_max") },
    )?;
    require(
        within(server.handshake_timeout.0, tenth, hour),
        const { reference::server("handshake_timeout") },
    )?;
    let head_sizes = ByteSize::from_kib(1)..=ByteSize::from_kib(64);
    require(
        head_sizes.contains(&server.request_head_bytes_max.0),
        const { reference::server("request_head_bytes_max") },
    )?;
    require(
        (10..=convert::saturating(FIELDS_MAX)).contains(&server.request_fields_max),
        const { reference::server("request_fields_max") },
    )?;
    require(
        within(server.close_timeout.0, tenth, minute),
        const { reference::server("close_timeout") },
    )?;
    require(
        server.shutdown_timeout.0 <= Duration::from_mins(10),
        const { reference::server("shutdown_timeout") },
    )
}

fn check_store(store: &StoreConfig) -> Result<(), &'static ConfigKey> {
    require(
        store.kind == StoreKind::Memory || !store.directory.as_os_str().is_empty(),
        const { reference::store("directory") },
    )?;
    require(
        (ByteSize::from_mib(1)..=ByteSize::from_mib(1024)).contains(&store.pending_bytes_max.0),
        const { reference::store("pending_bytes_max") },
    )
}

fn check_client(client: &ClientConfig) -> Result<(), &'static ConfigKey> {
    let million = 1..=1_000_000;
    let message = client.message_bytes_max.0;
    let sizes = ByteSize::from_kib(1)..=ByteSize::from_mib(64);
    require(
        sizes.contains(&message),
        const { reference::client("message_bytes_max") },
    )?;
    require(
        million.contains(&client.channels_max),
        const { reference::client("channels_max") },
    )?;
    require(
        million.contains(&client.new_channels_per_minute),
        const { reference::client("new_channels_per_minute") },
    )?;
    require(
        client.idempotency_keys_max <= 16_000_000,
        const { reference::client("idempotency_keys_max") },
    )?;
    require(
        (1..=PENDING_REQUESTS_PER_SHARD_MAX).contains(&client.pending_requests_max),
        const { reference::client("pending_requests_max") },
    )?;
    let replies = client.publications_per_reply_max;
    require(
        (1..=100_000).contains(&replies),
        const { reference::client("publications_per_reply_max") },
    )?;
    require(
        million.contains(&client.presence_max),
        const { reference::client("presence_max") },
    )
}

impl EnginePolicy {
    /// Whether the engine has space for as many of the shortest idempotency keys, which have one character.
    fn holds_keys(self, keys: u32) -> bool {
        match self {
            Self::Log(policy) => {
                u64::from(keys) * LogPolicy::key_bytes(0, 1) <= policy.key_bytes_max()
            }
            Self::Memory(policy) => {
                convert::to_usize(keys).saturating_mul(MemoryPolicy::key_bytes(0, 1))
                    <= policy.share_bytes_max()
            }
        }
    }

    /// Returns a value of `store.bytes_max` with which the engine has space for as many of the shortest keys.
    fn bytes_for_keys(self, keys: u32) -> u64 {
        let keys = u64::from(keys);
        match self {
            Self::Log(policy) => {
                let segment = policy.segment_bytes().as_bytes();
                let segments = policy.log_bytes().as_bytes() / segment - 1;
                let of_segment = policy.key_bytes_max() / segments.max(1);
                let needed = (keys * LogPolicy::key_bytes(0, 1)).div_ceil(of_segment.max(1)) + 1;
                needed.saturating_mul(segment)
            }
            Self::Memory(_) => {
                let bytes = keys * convert::to_u64(MemoryPolicy::key_bytes(0, 1));
                (bytes / 5 + 1) * 16
            }
        }
    }
}

/// Returns how many idempotency keys a connection may use: as configured, or half of what all may use.
fn keys_per_peer(config: &Config) -> u32 {
    match config.client.idempotency_keys_max {
        0 => config.store.idempotency_keys_max.div_ceil(2),
        keys => keys,
    }
}

/// Returns the settings of the hub of one shard.
pub(super) fn hub_settings(config: &Config, shard: u16, shards: u16) -> HubSettings {
    let client = &config.client;
    HubSettings {
        shard,
        shards,
        server: SERVER.to_owned(),
        ping_interval: client.ping_interval.0,
        pong_timeout: client.pong_timeout.0,
        connect_timeout: client.connect_timeout.0,
        rejected_close_timeout: client.rejected_close_timeout.0,
        write_timeout: client.write_timeout.0,
        message_timeout: client.message_timeout.0,
        send_buffer_bytes_max: client.send_buffer_bytes_max.0.as_len(),
        unsent_memory_bytes_max: config
            .server
            .send_buffers_bytes_max
            .0
            .as_len()
            .div_ceil(usize::from(shards)),
        incomplete_bytes_max: config.server.incomplete_bytes_max.0.as_len() / usize::from(shards),
        peers_max: convert::to_usize(config.server.connections_max).div_ceil(usize::from(shards)),
        channels_per_peer_max: convert::to_usize(client.channels_max),
        new_channels_per_peer: Quota {
            uses_max: client.new_channels_per_minute,
            period: Duration::from_mins(1),
        },
        keys_per_peer: Quota {
            uses_max: keys_per_peer(config),
            period: config.store.dedup_window.0,
        },
        pending_requests_per_peer_max: convert::to_usize(client.pending_requests_max),
        pending_requests_max: convert::to_usize(PENDING_REQUESTS_PER_SHARD_MAX),
        pending_request_bytes_max: config.store.pending_bytes_max.0.as_len() / usize::from(shards),
        catch_up_reads_max: CATCH_UP_READS_MAX,
        recovery_publications_max: convert::to_usize(client.publications_per_reply_max),
        recovery_reply_bytes_max: client.recovery_bytes_per_reply_max.0.as_len(),
        recovery_bytes_max: client.publication_bytes_per_reply_max.0.as_len(),
        history_publications_max: convert::to_usize(client.publications_per_reply_max),
        presence_clients_max: convert::to_usize(client.presence_max),
        presence_timeout: PRESENCE_TIMEOUT,
        join_leave: match client.join_leave {
            JoinLeaveChoice::On => JoinLeave::On,
            JoinLeaveChoice::Off => JoinLeave::Off,
        },
        anonymous_info: if client.anonymous_info {
            AnonymousInfo::Shown
        } else {
            AnonymousInfo::Ignored
        },
        connect_decider: CONNECT_DECIDER,
        limits: Limits {
            message_bytes: client.message_bytes_max.0.as_len(),
            ..Limits::DEFAULT
        },
    }
}

fn engine_policy(loaded: &LoadedConfig) -> Result<EnginePolicy, ConfigError> {
    let store = &loaded.config.store;
    match store.kind {
        StoreKind::Segments => LogPolicy::new(log_settings(store))
            .map(EnginePolicy::Log)
            .map_err(|error| relations::log_error(loaded, error)),
        StoreKind::Memory => MemoryPolicy::new(memory_settings(store))
            .map(EnginePolicy::Memory)
            .map_err(|error| relations::memory_error(loaded, error)),
    }
}

/// Returns the size of one channel: as configured, or a quarter of the store.
fn channel_bytes_max(store: &StoreConfig) -> ByteSize {
    match store.channel_bytes_max.0.as_bytes() {
        0 => ByteSize::from_bytes(store.bytes_max.0.as_bytes() / 4),
        _ => store.channel_bytes_max.0,
    }
}

/// Returns the settings of the memory engine for this section of the configuration.
pub(super) fn memory_settings(store: &StoreConfig) -> MemorySettings {
    MemorySettings {
        offsets: Offsets::Dense,
        history_bytes: store.bytes_max.0,
        channel_bytes_max: channel_bytes_max(store),
        // The maximum that the engine permits; the limit of a client's message is usually far lower.
        publication_bytes_max: ByteSize::from_bytes(store.bytes_max.0.as_bytes() / 4),
        history_size: convert::saturating(store.history_size),
        history_ttl: store.history_ttl.0,
        channel_ttl: store.channel_ttl.0,
        channels_max: convert::to_usize(store.channels_max),
        dedup_window: store.dedup_window.0,
        idempotency_keys_max: convert::to_usize(store.idempotency_keys_max),
    }
}

/// Returns the settings of the log for this section of the configuration.
pub(crate) fn log_settings(store: &StoreConfig) -> LogSettings {
    LogSettings {
        fsync: match store.fsync {
            Fsync::Always => LogFsync::Always,
            Fsync::Interval => LogFsync::Interval(store.fsync_interval.0),
            Fsync::Never => LogFsync::Never,
        },
        segment_bytes: store.segment_bytes.0,
        log_bytes: store.bytes_max.0,
        channel_bytes_max: channel_bytes_max(store),
        history_size: convert::saturating(store.history_size),
        history_ttl: store.history_ttl.0,
        channel_ttl: store.channel_ttl.0,
        channels_max: convert::to_usize(store.channels_max),
        dedup_window: store.dedup_window.0,
        idempotency_keys_max: convert::to_usize(store.idempotency_keys_max),
        batch_bytes_max: BATCH_BYTES_MAX,
        pending_bytes_max: store.pending_bytes_max.0,
        cache_bytes: CACHE_BYTES,
        read_bytes: READ_BYTES,
        pending_reads_max: PENDING_READS_MAX,
        retry_delay: RETRY_DELAY,
    }
}

#[cfg(test)]
mod tests;
