//! Settings that must fit together: which relations there are, and what to change if one does not hold.
//!
//! The policies of the state machines check some of them and report one field; here that error gets the other setting.

use std::time::Duration;

use steadfast_engine::memory::{MemoryPolicyError, MemorySetting};
use steadfast_hub::policy::{HubPolicyError, HubSetting};
use steadfast_log::policy::{LogPolicyError, LogSetting};
use steadfast_machine::ByteSize;

use super::EnginePolicy;
use crate::config::StoreConfig;
use crate::config::contradiction::{Contradiction, assigned, out_of_range};
use crate::config::keys::{self, SettingSource};
use crate::config::load::{ConfigError, LoadedConfig};
use crate::config::reference::{self, ConfigKey};
use crate::config::units::{ConfigDuration, ConfigSize};

/// The number of messages for which a send buffer must have space.
const BUFFERED_MESSAGES_MIN: u64 = 2;

/// Checks that a send buffer can hold what is sent, and that all of them together have space for one.
pub(super) fn check_send_buffers(loaded: &LoadedConfig, shards: u16) -> Result<(), ConfigError> {
    let client = &loaded.config.client;
    let (message, buffer) = (client.message_bytes_max, client.send_buffer_bytes_max);
    let (first, page) = (
        client.recovery_bytes_per_reply_max,
        client.publication_bytes_per_reply_max,
    );
    let buffer_key = const { reference::client("send_buffer_bytes_max") };
    require_size(
        loaded,
        [const { reference::client("message_bytes_max") }, buffer_key],
        "must be at most half of",
        times(message, BUFFERED_MESSAGES_MIN),
        buffer,
    )?;
    let all_key = const { reference::server("send_buffers_bytes_max") };
    let all = loaded.config.server.send_buffers_bytes_max;
    require_for_shards(loaded, [all_key, buffer_key], shards, buffer, all)?;
    let first_key = const { reference::client("recovery_bytes_per_reply_max") };
    let page_key = const { reference::client("publication_bytes_per_reply_max") };
    let keys = [first_key, page_key];
    require_size(loaded, keys, "must be at most", first, page)
}

/// Checks that each shard may keep an incomplete command of the maximum length.
pub(super) fn check_incomplete(loaded: &LoadedConfig, shards: u16) -> Result<(), ConfigError> {
    let keys = [
        const { reference::server("incomplete_bytes_max") },
        const { reference::client("message_bytes_max") },
    ];
    let message = loaded.config.client.message_bytes_max;
    let all = loaded.config.server.incomplete_bytes_max;
    require_for_shards(loaded, keys, shards, message, all)
}

/// Requires that the second setting has at least this size.
fn require_size(
    loaded: &LoadedConfig,
    keys: [&'static ConfigKey; 2],
    requirement: &str,
    least: ConfigSize,
    size: ConfigSize,
) -> Result<(), ConfigError> {
    if least.0 <= size.0 {
        return Ok(());
    }
    let [first, second] = keys;
    let contradiction = Contradiction {
        keys,
        requirement: requirement.to_owned(),
        help: format!(
            "set {} = \"{least}\" or more, or lower {}",
            second.full(),
            first.full()
        ),
    };
    Err(contradiction.into_error(loaded))
}

/// Requires that the first setting, which the shards share, has space for the second on each shard.
fn require_for_shards(
    loaded: &LoadedConfig,
    keys: [&'static ConfigKey; 2],
    shards: u16,
    of_shard: ConfigSize,
    all: ConfigSize,
) -> Result<(), ConfigError> {
    let least = times(of_shard, u64::from(shards));
    if least.0 <= all.0 {
        return Ok(());
    }
    let [all_key, of_shard_key] = keys;
    let shards_key = const { reference::server("shards") };
    let contradiction = Contradiction {
        keys,
        requirement: format!(
            "must be at least {shards} times, once for each shard ({}),",
            assigned(loaded, shards_key)
        ),
        help: format!(
            "set {} = \"{least}\" or more, or lower {} or {}",
            all_key.full(),
            of_shard_key.full(),
            shards_key.full()
        ),
    };
    Err(contradiction.into_error(loaded))
}

fn times(size: ConfigSize, factor: u64) -> ConfigSize {
    ConfigSize(ByteSize::from_bytes(
        size.0.as_bytes().saturating_mul(factor),
    ))
}

/// Checks that limits which are set are not contradicted by the size of the store.
pub(super) fn check_store_size(
    loaded: &LoadedConfig,
    engine: EnginePolicy,
) -> Result<(), ConfigError> {
    let store = &loaded.config.store;
    let size_key = const { reference::store("bytes_max") };
    let channel_key = const { reference::store("channel_bytes_max") };
    let (channel, size) = (store.channel_bytes_max, store.bytes_max);
    let keys = [channel_key, size_key];
    require_size(loaded, keys, "must be at most", channel, size)?;
    // The default is lowered by the store itself.
    let keys = store.idempotency_keys_max;
    if keys == StoreConfig::IDEMPOTENCY_KEYS_MAX || engine.holds_keys(keys) {
        return Ok(());
    }
    let least = ConfigSize(ByteSize::from_bytes(engine.bytes_for_keys(keys)));
    let keys_key = const { reference::store("idempotency_keys_max") };
    let contradiction = Contradiction {
        keys: [keys_key, size_key],
        requirement: "needs more space than".to_owned(),
        help: format!(
            "set {} = \"{least}\" or more, or lower {}",
            size_key.full(),
            keys_key.full()
        ),
    };
    Err(contradiction.into_error(loaded))
}

/// Converts an error of the policy of the hubs.
pub(super) fn hub_error(loaded: &LoadedConfig, error: &HubPolicyError) -> ConfigError {
    let client = &loaded.config.client;
    let (ping, pong) = (client.ping_interval.0, client.pong_timeout.0);
    if !matches!(error.setting, HubSetting::PongTimeout) || pong < ping {
        return out_of_range(loaded, keys::hub_setting(error.setting), error.expected);
    }
    let pong_key = const { reference::client("pong_timeout") };
    let ping_key = const { reference::client("ping_interval") };
    // A ping interval is a whole number of seconds.
    let next = ConfigDuration(Duration::from_secs(pong.as_secs() + 1));
    Contradiction {
        keys: [pong_key, ping_key],
        requirement: "must be below".to_owned(),
        help: format!(
            "set {} = \"{next}\" or more, or lower {}",
            ping_key.full(),
            pong_key.full()
        ),
    }
    .into_error(loaded)
}

/// Converts an error of the policy of the log.
pub(super) fn log_error(loaded: &LoadedConfig, error: LogPolicyError) -> ConfigError {
    let store = &loaded.config.store;
    let source = keys::log_setting(error.setting);
    let size_key = const { reference::store("bytes_max") };
    let segment_key = const { reference::store("segment_bytes") };
    if error.setting == LogSetting::ChannelTtl {
        return channel_ttl_error(loaded, source, error.expected);
    }
    if error.setting != LogSetting::LogBytes {
        return out_of_range(loaded, source, error.expected);
    }
    Contradiction {
        keys: [size_key, segment_key],
        requirement: "must be at least four times".to_owned(),
        help: format!(
            "set {} = \"{}\" or more, or lower {}",
            size_key.full(),
            times(store.segment_bytes, 4),
            segment_key.full()
        ),
    }
    .into_error(loaded)
}

/// Converts an error of the policy of the memory engine.
pub(super) fn memory_error(loaded: &LoadedConfig, error: MemoryPolicyError) -> ConfigError {
    let source = keys::memory_setting(error.setting);
    if error.setting == MemorySetting::ChannelTtl {
        channel_ttl_error(loaded, source, error.expected)
    } else {
        out_of_range(loaded, source, error.expected)
    }
}

/// Converts the error that a channel must not be forgotten before its publications or its idempotency keys.
fn channel_ttl_error(loaded: &LoadedConfig, source: SettingSource, expected: &str) -> ConfigError {
    let store = &loaded.config.store;
    let ttl_key = const { reference::store("channel_ttl") };
    let kept = [
        (const { reference::store("history_ttl") }, store.history_ttl),
        (
            const { reference::store("dedup_window") },
            store.dedup_window,
        ),
    ];
    let longer = kept
        .into_iter()
        .find(|(_, time)| time.0 > store.channel_ttl.0);
    let Some((key, time)) = longer else {
        return out_of_range(loaded, source, expected);
    };
    Contradiction {
        keys: [ttl_key, key],
        requirement: "must be at least".to_owned(),
        help: format!(
            "set {} = \"{time}\" or more, or lower {}",
            ttl_key.full(),
            key.full()
        ),
    }
    .into_error(loaded)
}
