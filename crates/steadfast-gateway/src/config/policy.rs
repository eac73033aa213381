//! From settings to what the machines and the shell take: checked once, with the name of the setting that is wrong.
//!
//! The machines check their own ranges and name their own fields; the tables here say which key of the file fed which
//! field. [`Policies`] is the only way into the server.

use std::num::NonZero;
use std::time::Duration;

use steadfast_hub::policy::hub::{AnonymousInfo, HubPolicy, HubSettings, JoinLeave};
use steadfast_hub::policy::log::{Fsync as LogFsync, LogPolicy, LogSettings};
use steadfast_machine::ByteSize;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::websocket;

use super::load::{ConfigError, Loaded};
use super::{ClientConfig, Config, Fsync, JoinLeaveChoice, ServerConfig, StoreConfig, StoreKind};

/// Name and version, told to clients.
const SERVER: &str = concat!("steadfast ", env!("CARGO_PKG_VERSION"));
/// How long the other cores may take to tell who is present: they answer within a turn unless one is stuck.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// Unanswered requests to the log of one core, for all its clients: 16,384 of 64 KiB fill the log's own bound.
const REQUESTS_PER_CORE_MAX: usize = 16_384;
/// The echo endpoint must take what conformance suites send: 16 MiB in one message.
const ECHO_MESSAGE_BYTES_MAX: u32 = 32 << 20;
/// The echo endpoint must take what conformance suites send: 4 MiB in pieces of 64 bytes.
const ECHO_FRAGMENTS_MAX: u32 = 70_000;

/// Everything that a server needs to know, checked.
#[derive(Clone, Debug)]
pub struct Policies {
    /// One for each core.
    pub(crate) hubs: Vec<HubPolicy>,
    /// The log's.
    pub(crate) log: LogPolicy,
    /// What a client of the stream protocol may send.
    pub(crate) client_limits: websocket::WebSocketLimits,
    /// What the echo endpoint takes.
    pub(crate) echo_limits: websocket::WebSocketLimits,
    /// The settings that need no further check.
    pub(crate) config: Config,
}

/// Files that are no sockets of clients: segments, listeners, standard streams, timers.
const FILES_KEPT: u64 = 64;
/// One in eight sockets is for those that are refused, for first requests and for probes.
const SOCKETS_SPARE_ONE_IN: usize = 8;
/// 1,024 at most: refused clients go within seconds.
const SOCKETS_SPARE_MAX: usize = 1024;

impl TryFrom<&Loaded> for Policies {
    type Error = ConfigError;

    fn try_from(loaded: &Loaded) -> Result<Self, ConfigError> {
        let config = &loaded.config;
        check_server(&config.server).map_err(|(key, expected)| refuse(loaded, key, expected))?;
        check_client(&config.client).map_err(|(key, expected)| refuse(loaded, key, expected))?;
        check_store(&config.store).map_err(|(key, expected)| refuse(loaded, key, expected))?;
        let cores = cores(config.server.cores);
        let hubs = (0..cores)
            .map(|core| HubPolicy::try_from(hub_settings(config, core, cores)))
            .collect::<Result<_, _>>()
            .map_err(|error| refuse(loaded, hub_key(error.setting), error.expected))?;
        let log = LogPolicy::new(log_settings(&config.store))
            .map_err(|error| refuse(loaded, log_key(error.setting), error.expected))?;
        let message_bytes_max =
            u32::try_from(config.client.message_bytes_max.0.as_bytes()).unwrap_or(u32::MAX);
        let client_limits = websocket::WebSocketLimits {
            message_bytes_max,
            frame_bytes_max: message_bytes_max,
            fragments_max: config.client.fragments_max,
        };
        let echo_limits = websocket::WebSocketLimits {
            message_bytes_max: ECHO_MESSAGE_BYTES_MAX,
            frame_bytes_max: ECHO_MESSAGE_BYTES_MAX,
            fragments_max: ECHO_FRAGMENTS_MAX,
        };
        Ok(Self {
            hubs,
            log,
            client_limits,
            echo_limits,
            config: config.clone(),
        })
    }
}

impl Policies {
    /// How many cores.
    pub(crate) fn cores(&self) -> u16 {
        u16::try_from(self.hubs.len()).unwrap_or(u16::MAX)
    }

    /// Clients of one core, before further ones are refused.
    pub(crate) fn peers_max(&self) -> usize {
        self.hubs.first().map_or(0, |hub| hub.settings().peers_max)
    }

    /// Makes room for as many sockets as the system lets the process open, and returns how many that is for each core.
    ///
    /// A client beyond the limit must find a socket, or it cannot be told to come back: so the limit of clients is
    /// lowered where it is not below that of sockets.
    pub(crate) fn fit(&mut self, files_max: u64) -> usize {
        let files = files_max.saturating_sub(FILES_KEPT) / u64::from(self.cores()).max(1);
        let sockets = usize::try_from(files).unwrap_or(usize::MAX).max(2);
        let spare = (sockets / SOCKETS_SPARE_ONE_IN).clamp(1, SOCKETS_SPARE_MAX);
        let (wanted, possible) = (self.peers_max(), sockets.saturating_sub(spare));
        if wanted > possible {
            self.hubs = self
                .hubs
                .iter()
                .filter_map(|hub| HubPolicy::try_from(lowered(hub, possible)).ok())
                .collect();
            tracing::warn!(
                files_max,
                connections_max = possible.saturating_mul(usize::from(self.cores())),
                "the limit of open files allows fewer connections than configured: raise it (ulimit -n)"
            );
        }
        sockets
    }
}

fn lowered(hub: &HubPolicy, peers_max: usize) -> HubSettings {
    HubSettings {
        peers_max,
        ..hub.settings().clone()
    }
}

fn refuse(loaded: &Loaded, key: &str, expected: &str) -> ConfigError {
    loaded.locate(key, format!("must be {expected}"))
}

/// As many as asked for, or one for each processor.
fn cores(asked: u16) -> u16 {
    let available = || std::thread::available_parallelism().map_or(1, NonZero::get);
    if asked == 0 {
        u16::try_from(available())
            .unwrap_or(CORES_MAX)
            .min(CORES_MAX)
    } else {
        asked
    }
}

/// 256: the log shows each core every record, so more cores than that only copy.
const CORES_MAX: u16 = 256;

fn check_server(server: &ServerConfig) -> Result<(), (&'static str, &'static str)> {
    let require = |holds: bool, key, expected| if holds { Ok(()) } else { Err((key, expected)) };
    let within = |value: Duration, least: Duration, most: Duration| value >= least && value <= most;
    let (tenth, minute, hour) = (
        Duration::from_millis(100),
        Duration::from_mins(1),
        Duration::from_hours(1),
    );
    require(server.cores <= CORES_MAX, "server.cores", "0 to 256")?;
    require(
        server
            .allowed_origins
            .iter()
            .all(|origin| is_origin(origin)),
        "server.allowed_origins",
        "a list of origins as browsers send them, with scheme and without path: \"https://app.example.org\"",
    )?;
    require(
        (1..=10_000_000).contains(&server.connections_max),
        "server.connections_max",
        "1 to 10000000",
    )?;
    require(
        (1..=1_000_000).contains(&server.handshakes_max),
        "server.handshakes_max",
        "1 to 1000000",
    )?;
    require(
        within(server.handshake_timeout.0, tenth, hour),
        "server.handshake_timeout",
        "100ms to 1h",
    )?;
    require(
        within(server.close_wait.0, tenth, minute),
        "server.close_wait",
        "100ms to 1m",
    )?;
    require(
        server.shutdown_wait.0 <= Duration::from_mins(10),
        "server.shutdown_wait",
        "0s to 10m",
    )
}

/// What a browser says of a page: `null`, or a scheme, a host and perhaps a port; and `*` in a pattern.
fn is_origin(pattern: &str) -> bool {
    let is_page = |(scheme, host): (&str, &str)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', ' '])
    };
    ["*", "null"].contains(&pattern) || pattern.split_once("://").is_some_and(is_page)
}

fn check_store(store: &StoreConfig) -> Result<(), (&'static str, &'static str)> {
    if store.kind == StoreKind::Segments && store.directory.as_os_str().is_empty() {
        return Err(("store.directory", "the path of a directory, not empty"));
    }
    Ok(())
}

fn check_client(client: &ClientConfig) -> Result<(), (&'static str, &'static str)> {
    let require = |holds: bool, key, expected| if holds { Ok(()) } else { Err((key, expected)) };
    let million = 1..=1_000_000;
    let message = client.message_bytes_max.0;
    let sizes = ByteSize::from_kib(1)..=ByteSize::from_mib(64);
    require(
        sizes.contains(&message),
        "client.message_bytes_max",
        "1KiB to 64MiB",
    )?;
    require(
        million.contains(&client.fragments_max),
        "client.fragments_max",
        "1 to 1000000",
    )?;
    let commands = client.commands_per_message_max;
    require(
        million.contains(&commands),
        "client.commands_per_message_max",
        "1 to 1000000",
    )?;
    require(
        million.contains(&client.channels_max),
        "client.channels_max",
        "1 to 1000000",
    )?;
    require(
        million.contains(&client.requests_max),
        "client.requests_max",
        "1 to 1000000",
    )?;
    let replies = client.publications_per_reply_max;
    require(
        (1..=100_000).contains(&replies),
        "client.publications_per_reply_max",
        "1 to 100000",
    )?;
    require(
        million.contains(&client.presence_max),
        "client.presence_max",
        "1 to 1000000",
    )
}

fn hub_settings(config: &Config, core: u16, cores: u16) -> HubSettings {
    let client = &config.client;
    let requests_max = wide(client.requests_max);
    HubSettings {
        shard: core,
        shards: cores,
        server: SERVER.to_owned(),
        ping_interval: client.ping_interval.0,
        pong_timeout: client.pong_timeout.0,
        connect_timeout: client.stale_timeout.0,
        rejected_close_timeout: client.refused_timeout.0,
        write_timeout: client.write_deadline.0,
        send_buffer_bytes_max: client.backlog_bytes_max.0.as_len(),
        peers_max: wide(config.server.connections_max).div_ceil(usize::from(cores)),
        channels_per_peer_max: wide(client.channels_max),
        pending_requests_per_peer_max: requests_max,
        pending_requests_max: requests_max.max(REQUESTS_PER_CORE_MAX),
        recovery_publications_max: wide(client.publications_per_reply_max),
        recovery_bytes_max: client.publication_bytes_per_reply_max.0.as_len(),
        history_publications_max: wide(client.publications_per_reply_max),
        presence_clients_max: wide(client.presence_max),
        presence_timeout: PRESENCE_TIMEOUT,
        join_leave: match client.join_leave {
            JoinLeaveChoice::Offered => JoinLeave::On,
            JoinLeaveChoice::Off => JoinLeave::Off,
        },
        anonymous_info: if client.anonymous_info {
            AnonymousInfo::Shown
        } else {
            AnonymousInfo::Ignored
        },
        limits: Limits {
            message_bytes: client.message_bytes_max.0.as_len(),
            messages_max: wide(client.commands_per_message_max),
            ..Limits::DEFAULT
        },
    }
}

fn log_settings(store: &StoreConfig) -> LogSettings {
    LogSettings {
        fsync: match store.fsync {
            Fsync::Always => LogFsync::Always,
            Fsync::Interval => LogFsync::Interval(store.fsync_interval.0),
            Fsync::Never => LogFsync::Never,
        },
        segment_bytes: store.segment_bytes.0,
        log_bytes: store.bytes_max.0,
        history_size: usize::try_from(store.history_size).unwrap_or(usize::MAX),
        history_ttl: store.history_ttl.0,
        channel_ttl: store.channel_ttl.0,
        channels_max: wide(store.channels_max),
        dedup_window: store.dedup_window.0,
        idempotency_keys_max: wide(store.idempotency_keys_max),
        // What is left has no key: it trades memory against speed and was chosen by measuring.
        ..LogSettings::for_tests()
    }
}

/// The key that feeds this field of the hub's settings.
pub(crate) fn hub_key(setting: &str) -> &'static str {
    match setting {
        "shards" | "shard" => "server.cores",
        "peers_max" => "server.connections_max",
        "ping_interval" => "client.ping_interval",
        "pong_timeout" => "client.pong_timeout",
        "connect_timeout" => "client.stale_timeout",
        "rejected_close_timeout" => "client.refused_timeout",
        "write_timeout" => "client.write_deadline",
        "send_buffer_bytes_max" => "client.backlog_bytes_max",
        "channels_per_peer_max" => "client.channels_max",
        "pending_requests_per_peer_max" | "pending_requests_max" => "client.requests_max",
        "recovery_publications_max" | "history_publications_max" => {
            "client.publications_per_reply_max"
        }
        "recovery_bytes_max" => "client.publication_bytes_per_reply_max",
        "presence_clients_max" => "client.presence_max",
        _ => "client",
    }
}

/// The key that feeds this field of the log's settings.
fn log_key(setting: &str) -> &'static str {
    match setting {
        "fsync" => "store.fsync_interval",
        "segment_bytes" => "store.segment_bytes",
        "log_bytes" => "store.bytes_max",
        "history_size" => "store.history_size",
        "history_ttl" => "store.history_ttl",
        "channel_ttl" => "store.channel_ttl",
        "channels_max" => "store.channels_max",
        "dedup_window" => "store.dedup_window",
        "idempotency_keys_max" => "store.idempotency_keys_max",
        _ => "store",
    }
}

fn wide(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_are_few_a_client_beyond_the_limit_still_finds_a_socket_to_be_refused_on() {
        let mut config = Config::default();
        config.server.cores = 2;
        for (files_max, peers_max) in [(0, 1), (128, 28), (1024, 420), (u64::MAX, 50_000)] {
            let mut policies = Policies::try_from(&Loaded::from(config.clone())).unwrap();

            let sockets_max = policies.fit(files_max);

            assert_eq!(policies.hubs.len(), 2, "{files_max}");
            assert_eq!(policies.peers_max(), peers_max, "{files_max}");
            assert!(sockets_max > peers_max, "{files_max}");
        }
    }
}
