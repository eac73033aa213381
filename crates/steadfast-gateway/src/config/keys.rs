//! Which configuration key determines a setting of a state machine, or which constant of the gateway if no key does.
//!
//! Each match names every setting, so a setting without a source does not compile, and neither does a key that
//! [`KEYS`](super::reference::KEYS) does not contain. Errors and log lines name settings by these sources only.

use std::fmt;

use steadfast_engine::io::Limit;
use steadfast_engine::memory::MemorySetting;
use steadfast_hub::policy::{HubSetting, INCOMPLETE_BYTES_REASON};
use steadfast_log::policy::LogSetting;
use steadfast_protocol::codes::DisconnectCode;

use super::reference::{ConfigKey, client, server, store};

/// What determines a setting of a state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SettingSource {
    /// A key of the configuration.
    Key(&'static ConfigKey),
    /// A constant of the gateway, by its name in the source.
    BuiltIn(&'static str),
    /// The number of files that the operating system lets this process open.
    OpenFiles(u64),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(&key.full()),
            Self::BuiltIn(constant) => write!(f, "{constant} (built in)"),
            Self::OpenFiles(max) => write!(
                f,
                "the limit of open files ({max}; raise it with ulimit -n)"
            ),
        }
    }
}

/// Returns what determines a setting of a hub.
pub(crate) const fn hub_setting(setting: HubSetting) -> SettingSource {
    use SettingSource::{BuiltIn, Key};
    match setting {
        HubSetting::Shard | HubSetting::Shards => Key(const { server("shards") }),
        HubSetting::PeersMax => Key(const { server("connections_max") }),
        HubSetting::PingInterval => Key(const { client("ping_interval") }),
        HubSetting::PongTimeout => Key(const { client("pong_timeout") }),
        HubSetting::ConnectTimeout => Key(const { client("connect_timeout") }),
        HubSetting::RejectedCloseTimeout => Key(const { client("rejected_close_timeout") }),
        HubSetting::WriteTimeout => Key(const { client("write_timeout") }),
        HubSetting::MessageTimeout => Key(const { client("message_timeout") }),
        HubSetting::SendBufferBytesMax => Key(const { client("send_buffer_bytes_max") }),
        HubSetting::UnsentMemoryBytesMax => Key(const { server("send_buffers_bytes_max") }),
        HubSetting::CommandBytesMax => Key(const { client("message_bytes_max") }),
        HubSetting::IncompleteBytesMax => Key(const { server("incomplete_bytes_max") }),
        HubSetting::ChannelsPerPeerMax => Key(const { client("channels_max") }),
        HubSetting::NewChannelsPerPeer => Key(const { client("new_channels_per_minute") }),
        HubSetting::KeysPerPeer => Key(const { client("idempotency_keys_max") }),
        HubSetting::PendingRequestsPerPeerMax => Key(const { client("pending_requests_max") }),
        HubSetting::PendingRequestsMax => BuiltIn("PENDING_REQUESTS_PER_SHARD_MAX"),
        HubSetting::PendingRequestBytesMax => Key(const { store("pending_bytes_max") }),
        HubSetting::CatchUpReadsMax => BuiltIn("CATCH_UP_READS_MAX"),
        HubSetting::RecoveryPublicationsMax | HubSetting::HistoryPublicationsMax => {
            Key(const { client("publications_per_reply_max") })
        }
        HubSetting::RecoveryReplyBytesMax => Key(const { client("recovery_bytes_per_reply_max") }),
        HubSetting::RecoveryBytesMax => Key(const { client("publication_bytes_per_reply_max") }),
        HubSetting::PresenceClientsMax => Key(const { client("presence_max") }),
        HubSetting::PresenceTimeout => BuiltIn("PRESENCE_TIMEOUT"),
        HubSetting::DecisionTimeout | HubSetting::PendingDecisionsMax => BuiltIn("CONNECT_DECIDER"),
    }
}

/// Returns what determines the limit for which the gateway closes a connection with this code and reason; `None` if no
/// limit was reached.
pub(crate) fn closing_limit(code: u16, reason: &str) -> Option<SettingSource> {
    let limits = [
        (DisconnectCode::Slow, HubSetting::SendBufferBytesMax),
        (DisconnectCode::WriteError, HubSetting::WriteTimeout),
        (DisconnectCode::NoPong, HubSetting::PongTimeout),
        (DisconnectCode::Stale, HubSetting::ConnectTimeout),
        (DisconnectCode::ForceReconnect, HubSetting::MessageTimeout),
    ];
    if reason == INCOMPLETE_BYTES_REASON {
        return Some(hub_setting(HubSetting::IncompleteBytesMax));
    }
    let mut limits = limits.into_iter();
    let (_, setting) = limits.find(|(limit, _)| code == limit.code())?;
    Some(hub_setting(setting))
}

/// Returns what determines a setting of the log.
pub(crate) const fn log_setting(setting: LogSetting) -> SettingSource {
    use SettingSource::{BuiltIn, Key};
    match setting {
        LogSetting::Fsync => Key(const { store("fsync_interval") }),
        LogSetting::SegmentBytes => Key(const { store("segment_bytes") }),
        LogSetting::LogBytes => Key(const { store("bytes_max") }),
        LogSetting::ChannelBytesMax => Key(const { store("channel_bytes_max") }),
        LogSetting::HistorySize => Key(const { store("history_size") }),
        LogSetting::HistoryTtl => Key(const { store("history_ttl") }),
        LogSetting::ChannelTtl => Key(const { store("channel_ttl") }),
        LogSetting::ChannelsMax => Key(const { store("channels_max") }),
        LogSetting::DedupWindow => Key(const { store("dedup_window") }),
        LogSetting::IdempotencyKeysMax => Key(const { store("idempotency_keys_max") }),
        LogSetting::BatchBytesMax => BuiltIn("BATCH_BYTES_MAX"),
        LogSetting::PendingBytesMax => Key(const { store("pending_bytes_max") }),
        LogSetting::CacheBytes => BuiltIn("CACHE_BYTES"),
        LogSetting::ReadBytes => BuiltIn("READ_BYTES"),
        LogSetting::PendingReadsMax => BuiltIn("PENDING_READS_MAX"),
        LogSetting::RetryDelay => BuiltIn("RETRY_DELAY"),
    }
}

/// Returns what determines a setting of the memory engine.
pub(crate) const fn memory_setting(setting: MemorySetting) -> SettingSource {
    use SettingSource::{BuiltIn, Key};
    match setting {
        MemorySetting::Offsets => BuiltIn("Offsets::Dense"),
        MemorySetting::HistoryBytes | MemorySetting::PublicationBytesMax => {
            Key(const { store("bytes_max") })
        }
        MemorySetting::ChannelBytesMax => Key(const { store("channel_bytes_max") }),
        MemorySetting::HistorySize => Key(const { store("history_size") }),
        MemorySetting::HistoryTtl => Key(const { store("history_ttl") }),
        MemorySetting::ChannelTtl => Key(const { store("channel_ttl") }),
        MemorySetting::ChannelsMax => Key(const { store("channels_max") }),
        MemorySetting::DedupWindow => Key(const { store("dedup_window") }),
        MemorySetting::IdempotencyKeysMax => Key(const { store("idempotency_keys_max") }),
    }
}

/// Returns what determines a limit of the memory engine.
pub(crate) const fn memory_limit(limit: Limit) -> SettingSource {
    match limit {
        Limit::Channels => memory_setting(MemorySetting::ChannelsMax),
        Limit::Keys => memory_setting(MemorySetting::IdempotencyKeysMax),
        Limit::ChannelMemory | Limit::KeyMemory => memory_setting(MemorySetting::HistoryBytes),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steadfast_engine::memory::MemorySettings;
    use steadfast_hub::policy::HubSettings;
    use steadfast_log::policy::LogSettings;

    use super::super::load::LoadedConfig;
    use super::super::policy::{hub_settings, log_settings, memory_settings, shards};
    use super::super::reference::KEYS;
    use super::super::{Config, Fsync};
    use super::*;

    #[test]
    fn each_setting_of_a_hub_changes_with_the_key_that_it_is_reported_with_and_with_no_other_if_built_in()
     {
        let settings = [
            HubSetting::Shard,
            HubSetting::Shards,
            HubSetting::PingInterval,
            HubSetting::PongTimeout,
            HubSetting::ConnectTimeout,
            HubSetting::RejectedCloseTimeout,
            HubSetting::WriteTimeout,
            HubSetting::MessageTimeout,
            HubSetting::CommandBytesMax,
            HubSetting::IncompleteBytesMax,
            HubSetting::SendBufferBytesMax,
            HubSetting::UnsentMemoryBytesMax,
            HubSetting::PeersMax,
            HubSetting::ChannelsPerPeerMax,
            HubSetting::NewChannelsPerPeer,
            HubSetting::KeysPerPeer,
            HubSetting::PendingRequestsPerPeerMax,
            HubSetting::PendingRequestsMax,
            HubSetting::PendingRequestBytesMax,
            HubSetting::RecoveryPublicationsMax,
            HubSetting::RecoveryReplyBytesMax,
            HubSetting::RecoveryBytesMax,
            HubSetting::HistoryPublicationsMax,
            HubSetting::PresenceClientsMax,
            HubSetting::PresenceTimeout,
        ];
        let changed = Changed::new();
        for setting in settings {
            check(&changed, setting.name(), hub_setting(setting), |config| {
                let shards = shards(config.server.shards);
                hub_field(&hub_settings(config, shards - 1, shards), setting)
            });
        }
    }

    #[test]
    fn each_setting_of_the_log_changes_with_the_key_that_it_is_reported_with_and_with_no_other_if_built_in()
     {
        let settings = [
            LogSetting::Fsync,
            LogSetting::SegmentBytes,
            LogSetting::LogBytes,
            LogSetting::ChannelBytesMax,
            LogSetting::HistorySize,
            LogSetting::HistoryTtl,
            LogSetting::ChannelTtl,
            LogSetting::ChannelsMax,
            LogSetting::DedupWindow,
            LogSetting::IdempotencyKeysMax,
            LogSetting::BatchBytesMax,
            LogSetting::PendingBytesMax,
            LogSetting::CacheBytes,
            LogSetting::ReadBytes,
            LogSetting::PendingReadsMax,
            LogSetting::RetryDelay,
        ];
        let changed = Changed::new();
        for setting in settings {
            check(&changed, setting.name(), log_setting(setting), |config| {
                log_field(&log_settings(&config.store), setting)
            });
        }
    }

    #[test]
    fn each_setting_of_the_memory_engine_changes_with_the_key_that_it_is_reported_with_and_with_no_other_if_built_in()
     {
        let settings = [
            MemorySetting::Offsets,
            MemorySetting::HistoryBytes,
            MemorySetting::ChannelBytesMax,
            MemorySetting::PublicationBytesMax,
            MemorySetting::HistorySize,
            MemorySetting::HistoryTtl,
            MemorySetting::ChannelTtl,
            MemorySetting::ChannelsMax,
            MemorySetting::DedupWindow,
            MemorySetting::IdempotencyKeysMax,
        ];
        let changed = Changed::new();
        for setting in settings {
            check(
                &changed,
                setting.name(),
                memory_setting(setting),
                |config| memory_field(&memory_settings(&config.store), setting),
            );
        }
    }

    #[test]
    fn a_limit_without_a_key_is_reported_with_its_constant() {
        let pending = hub_setting(HubSetting::PendingRequestsMax).to_string();
        let channels = hub_setting(HubSetting::ChannelsPerPeerMax).to_string();

        assert_eq!(pending, "PENDING_REQUESTS_PER_SHARD_MAX (built in)");
        assert_eq!(channels, "client.channels_max");
    }

    #[test]
    fn a_connection_that_is_closed_for_a_limit_is_reported_with_the_key_of_the_limit() {
        let limit = |code, reason| closing_limit(code, reason).map(|limit| limit.to_string());

        let of = |key: &str| Some(format!("client.{key}"));
        let message_timeout = "force reconnect: no progress of an incomplete command";
        assert_eq!(limit(3011, message_timeout), of("message_timeout"));
        assert_eq!(
            limit(3013, INCOMPLETE_BYTES_REASON),
            Some("server.incomplete_bytes_max".to_owned())
        );
        assert_eq!(limit(3013, "too many requests"), None);
        assert_eq!(limit(3008, "slow"), of("send_buffer_bytes_max"));
        assert_eq!(limit(3012, "no pong"), of("pong_timeout"));
        assert_eq!(limit(3502, "stale"), of("connect_timeout"));
        assert_eq!(limit(3001, "shutdown"), None);
        assert_eq!(limit(1000, ""), None);
    }

    /// Compares when `field` changes with the source of the setting.
    fn check(
        changed: &Changed,
        name: &str,
        source: SettingSource,
        field: impl Fn(&Config) -> String,
    ) {
        let before = field(&changed.base);
        let mut changing: Vec<String> = changed
            .configs
            .iter()
            .filter(|(_, config)| field(config) != before)
            .map(|(key, _)| key.full())
            .collect();
        changing.dedup();
        match source {
            SettingSource::Key(key) => assert!(
                changing.contains(&key.full()),
                "{name} is reported with {source} and changes with {changing:?}"
            ),
            SettingSource::BuiltIn(_) | SettingSource::OpenFiles(_) => assert!(
                changing.is_empty(),
                "{name} is reported as {source} and changes with {changing:?}"
            ),
        }
    }

    /// A configuration, and others that differ from it in one key each.
    struct Changed {
        base: Config,
        configs: Vec<(&'static ConfigKey, Config)>,
    }

    impl Changed {
        /// Sets each key to a low number, to high numbers in case that it matters only above a constant, to a duration
        /// and to a size.
        fn new() -> Self {
            let mut base = Config::default();
            // The interval is a setting of the log under this policy only.
            base.store.fsync = Fsync::Interval;
            let values = ["3", "20000", "1000000", "\"7s\"", "\"5KiB\""];
            let configs = KEYS
                .iter()
                .flat_map(|key| values.map(|value| (key, with(&base, key, value))))
                .filter_map(|(key, config)| Some((key, config?)))
                .collect();
            Self { base, configs }
        }
    }

    /// Returns the configuration with this value for a key; `None` if the key has another type.
    fn with(base: &Config, key: &ConfigKey, value: &str) -> Option<Config> {
        let mut table = toml::Table::try_from(base).expect("every setting can be written");
        let value = toml::from_str::<toml::Table>(&format!("value = {value}")).ok()?;
        let section = table.get_mut(key.section)?.as_table_mut()?;
        section.insert(key.name.to_owned(), value.get("value")?.clone());
        let loaded = LoadedConfig::parse(Path::new("test.toml"), &table.to_string());
        Some(loaded.ok()?.config)
    }

    fn hub_field(settings: &HubSettings, setting: HubSetting) -> String {
        match setting {
            HubSetting::Shard => settings.shard.to_string(),
            HubSetting::Shards => settings.shards.to_string(),
            HubSetting::PingInterval => format!("{:?}", settings.ping_interval),
            HubSetting::PongTimeout => format!("{:?}", settings.pong_timeout),
            HubSetting::ConnectTimeout => format!("{:?}", settings.connect_timeout),
            HubSetting::RejectedCloseTimeout => format!("{:?}", settings.rejected_close_timeout),
            HubSetting::WriteTimeout => format!("{:?}", settings.write_timeout),
            HubSetting::MessageTimeout => format!("{:?}", settings.message_timeout),
            HubSetting::CommandBytesMax => settings.limits.message_bytes.to_string(),
            HubSetting::IncompleteBytesMax => settings.incomplete_bytes_max.to_string(),
            HubSetting::SendBufferBytesMax => settings.send_buffer_bytes_max.to_string(),
            HubSetting::UnsentMemoryBytesMax => settings.unsent_memory_bytes_max.to_string(),
            HubSetting::PeersMax => settings.peers_max.to_string(),
            HubSetting::ChannelsPerPeerMax => settings.channels_per_peer_max.to_string(),
            HubSetting::NewChannelsPerPeer => format!("{:?}", settings.new_channels_per_peer),
            HubSetting::KeysPerPeer => format!("{:?}", settings.keys_per_peer),
            HubSetting::PendingRequestsPerPeerMax => {
                settings.pending_requests_per_peer_max.to_string()
            }
            HubSetting::PendingRequestsMax => settings.pending_requests_max.to_string(),
            HubSetting::PendingRequestBytesMax => settings.pending_request_bytes_max.to_string(),
            HubSetting::CatchUpReadsMax => settings.catch_up_reads_max.to_string(),
            HubSetting::RecoveryPublicationsMax => settings.recovery_publications_max.to_string(),
            HubSetting::RecoveryReplyBytesMax => settings.recovery_reply_bytes_max.to_string(),
            HubSetting::RecoveryBytesMax => settings.recovery_bytes_max.to_string(),
            HubSetting::HistoryPublicationsMax => settings.history_publications_max.to_string(),
            HubSetting::PresenceClientsMax => settings.presence_clients_max.to_string(),
            HubSetting::PresenceTimeout => format!("{:?}", settings.presence_timeout),
            HubSetting::DecisionTimeout | HubSetting::PendingDecisionsMax => {
                format!("{:?}", settings.connect_decider)
            }
        }
    }

    fn memory_field(settings: &MemorySettings, setting: MemorySetting) -> String {
        match setting {
            MemorySetting::Offsets => format!("{:?}", settings.offsets),
            MemorySetting::HistoryBytes => format!("{:?}", settings.history_bytes),
            MemorySetting::ChannelBytesMax => format!("{:?}", settings.channel_bytes_max),
            MemorySetting::PublicationBytesMax => format!("{:?}", settings.publication_bytes_max),
            MemorySetting::HistorySize => settings.history_size.to_string(),
            MemorySetting::HistoryTtl => format!("{:?}", settings.history_ttl),
            MemorySetting::ChannelTtl => format!("{:?}", settings.channel_ttl),
            MemorySetting::ChannelsMax => settings.channels_max.to_string(),
            MemorySetting::DedupWindow => format!("{:?}", settings.dedup_window),
            MemorySetting::IdempotencyKeysMax => settings.idempotency_keys_max.to_string(),
        }
    }

    fn log_field(settings: &LogSettings, setting: LogSetting) -> String {
        match setting {
            LogSetting::Fsync => format!("{:?}", settings.fsync),
            LogSetting::SegmentBytes => format!("{:?}", settings.segment_bytes),
            LogSetting::LogBytes => format!("{:?}", settings.log_bytes),
            LogSetting::ChannelBytesMax => format!("{:?}", settings.channel_bytes_max),
            LogSetting::HistorySize => settings.history_size.to_string(),
            LogSetting::HistoryTtl => format!("{:?}", settings.history_ttl),
            LogSetting::ChannelTtl => format!("{:?}", settings.channel_ttl),
            LogSetting::ChannelsMax => settings.channels_max.to_string(),
            LogSetting::DedupWindow => format!("{:?}", settings.dedup_window),
            LogSetting::IdempotencyKeysMax => settings.idempotency_keys_max.to_string(),
            LogSetting::BatchBytesMax => format!("{:?}", settings.batch_bytes_max),
            LogSetting::PendingBytesMax => format!("{:?}", settings.pending_bytes_max),
            LogSetting::CacheBytes => format!("{:?}", settings.cache_bytes),
            LogSetting::ReadBytes => format!("{:?}", settings.read_bytes),
            LogSetting::PendingReadsMax => settings.pending_reads_max.to_string(),
            LogSetting::RetryDelay => format!("{:?}", settings.retry_delay),
        }
    }
}
