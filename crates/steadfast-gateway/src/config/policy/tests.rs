//! Tests of the policies of a configuration: what is derived, and which settings contradict each other.

use std::path::Path;

use super::super::reference::KEYS;
use super::super::units::ConfigSize;
use super::*;

#[test]
fn with_a_low_limit_of_open_files_a_client_above_the_limit_still_gets_a_socket_for_its_rejection() {
    let mut config = Config::default();
    config.server.shards = 2;
    for (files_max, peers_max) in [(0, 1), (128, 28), (1024, 420), (u64::MAX, 50_000)] {
        let mut policies = Policies::try_from(&LoadedConfig::from(config.clone())).unwrap();

        let sockets = policies.fit(files_max);

        assert_eq!(policies.hubs.len(), 2, "{files_max}");
        assert_eq!(policies.peers_max(), peers_max, "{files_max}");
        assert!(sockets.all > sockets.clients, "{files_max}");
        assert!(sockets.clients >= peers_max, "{files_max}");
        let is_lowered = peers_max < 50_000;
        let source = policies.peers_max_source.to_string();
        let names_files = source.starts_with("the limit of open files");
        assert_eq!(names_files, is_lowered, "{source}");
        assert_eq!(source == "server.connections_max", !is_lowered, "{source}");
    }
}

/// The policies report their own fields: each field must be mapped to its key, so that the error has the line of
/// the key.
#[test]
fn a_value_out_of_range_is_reported_with_its_key() {
    let of_segments = keys_with_errors("");
    assert!(of_segments.len() > 20, "{of_segments:?}");
    assert!(of_segments.iter().any(|key| key == "store.dedup_window"));

    let of_memory = keys_with_errors("kind = \"memory\"\n");
    for key in [
        "bytes_max",
        "history_size",
        "history_ttl",
        "channel_ttl",
        "channels_max",
        "dedup_window",
        "idempotency_keys_max",
        "fsync_interval",
        "segment_bytes",
    ] {
        let full = format!("store.{key}");
        assert!(of_memory.contains(&full), "{full}: {of_memory:?}");
    }
}

/// Each relation between two keys, with the file that breaks it and the complete message.
const CONTRADICTIONS: [(&str, &str, &str); 12] = [
    (
        "[client]\nping_interval = \"5s\"\n",
        "client.pong_timeout is 8s by default, and must be below client.ping_interval = 5s (test.toml:2)",
        "set client.ping_interval = \"9s\" or more, or lower client.pong_timeout",
    ),
    (
        "[client]\npong_timeout = \"30s\"\nping_interval = \"10s\"\n",
        "client.pong_timeout = 30s (test.toml:2) must be below client.ping_interval = 10s (test.toml:3)",
        "set client.ping_interval = \"31s\" or more, or lower client.pong_timeout",
    ),
    (
        "[client]\nmessage_bytes_max = \"4MiB\"\n",
        "client.message_bytes_max = 4MiB (test.toml:2) must be at most half of client.send_buffer_bytes_max = 1MiB (default)",
        "set client.send_buffer_bytes_max = \"8MiB\" or more, or lower client.message_bytes_max",
    ),
    (
        "[client]\n\nsend_buffer_bytes_max = \"100KiB\"\n",
        "client.message_bytes_max is 64KiB by default, and must be at most half of client.send_buffer_bytes_max = 100KiB (test.toml:3)",
        "set client.send_buffer_bytes_max = \"128KiB\" or more, or lower client.message_bytes_max",
    ),
    (
        "[server]\nshards = 4\n[client]\nsend_buffer_bytes_max = \"100MiB\"\n",
        "server.send_buffers_bytes_max is 256MiB by default, and must be at least 4 times, once for each shard (server.shards = 4 (test.toml:2)), client.send_buffer_bytes_max = 100MiB (test.toml:4)",
        "set server.send_buffers_bytes_max = \"400MiB\" or more, or lower client.send_buffer_bytes_max or server.shards",
    ),
    (
        "[server]\nshards = 4\nincomplete_bytes_max = \"100KiB\"\n",
        "server.incomplete_bytes_max = 100KiB (test.toml:3) must be at least 4 times, once for each shard (server.shards = 4 (test.toml:2)), client.message_bytes_max = 64KiB (default)",
        "set server.incomplete_bytes_max = \"256KiB\" or more, or lower client.message_bytes_max or server.shards",
    ),
    (
        "[client]\nrecovery_bytes_per_reply_max = \"65KiB\"\n",
        "client.recovery_bytes_per_reply_max = 65KiB (test.toml:2) must be at most client.publication_bytes_per_reply_max = 64KiB (default)",
        "set client.publication_bytes_per_reply_max = \"65KiB\" or more, or lower client.recovery_bytes_per_reply_max",
    ),
    (
        "[store]\nchannel_bytes_max = \"2GiB\"\n",
        "store.channel_bytes_max = 2GiB (test.toml:2) must be at most store.bytes_max = 1GiB (default)",
        "set store.bytes_max = \"2GiB\" or more, or lower store.channel_bytes_max",
    ),
    (
        "[store]\nidempotency_keys_max = 3000000\n",
        "store.idempotency_keys_max = 3000000 (test.toml:2) needs more space than store.bytes_max = 1GiB (default)",
        "set store.bytes_max = \"1472MiB\" or more, or lower store.idempotency_keys_max",
    ),
    (
        "[store]\nkind = \"memory\"\nidempotency_keys_max = 3000000\n",
        "store.idempotency_keys_max = 3000000 (test.toml:3) needs more space than store.bytes_max = 1GiB (default)",
        "set store.bytes_max = \"3696000016B\" or more, or lower store.idempotency_keys_max",
    ),
    (
        "[store]\nbytes_max = \"100MiB\"\n",
        "store.bytes_max = 100MiB (test.toml:2) must be at least four times store.segment_bytes = 64MiB (default)",
        "set store.bytes_max = \"256MiB\" or more, or lower store.segment_bytes",
    ),
    (
        "[store]\nchannel_ttl = \"1h\"\n",
        "store.channel_ttl = 1h (test.toml:2) must be at least store.history_ttl = 1d (default)",
        "set store.channel_ttl = \"1d\" or more, or lower store.history_ttl",
    ),
];

#[test]
fn settings_that_contradict_each_other_are_both_named_with_value_and_source_and_what_to_change() {
    for (lines, message, help) in CONTRADICTIONS {
        let loaded = LoadedConfig::parse(Path::new("test.toml"), lines).unwrap();

        let error = Policies::try_from(&loaded).unwrap_err();

        let ConfigError::Invalid(error) = error else {
            panic!("{error}");
        };
        let problem = error.problem();
        assert_eq!(problem.message, message);
        assert_eq!(problem.help.as_deref(), Some(help));
        assert!(problem.location.is_some(), "{lines}");
        let text = error.to_string();
        assert!(text.starts_with(message), "{text}");
    }
}

#[test]
fn a_contradiction_with_an_argument_names_the_argument() {
    let mut loaded = LoadedConfig::default();
    loaded
        .override_key("server.shards", "--shards")
        .server
        .shards = 200;
    loaded.config.client.message_bytes_max = ConfigSize(ByteSize::from_kib(512));

    let error = Policies::try_from(&loaded).unwrap_err().to_string();

    assert!(error.contains("server.shards = 200 (--shards)"), "{error}");
}

#[test]
fn a_size_that_an_error_about_keys_proposes_is_accepted_and_small_segments_need_no_other_key() {
    for lines in [
        "idempotency_keys_max = 3000000\nbytes_max = \"1472MiB\"",
        "kind = \"memory\"\nidempotency_keys_max = 3000000\nbytes_max = \"3696000016B\"",
        "segment_bytes = \"1MiB\"",
        "segment_bytes = \"1MiB\"\nbytes_max = \"4MiB\"",
    ] {
        let text = format!("[store]\n{lines}\n");
        let loaded = LoadedConfig::parse(Path::new("test.toml"), &text).unwrap();

        assert!(Policies::try_from(&loaded).is_ok(), "{lines}");
    }
}

#[test]
fn by_default_one_connection_may_use_half_of_the_keys_and_one_channel_a_quarter_of_the_store() {
    let mut config = Config::default();
    config.store.idempotency_keys_max = 7;
    config.store.bytes_max = ConfigSize(ByteSize::from_mib(512));

    let quota = hub_settings(&config, 0, 1).keys_per_peer;
    let of_channel = ByteSize::from_mib(128);
    assert_eq!(quota.uses_max, 4);
    assert_eq!(log_settings(&config.store).channel_bytes_max, of_channel);
    assert_eq!(memory_settings(&config.store).channel_bytes_max, of_channel);
    config.client.idempotency_keys_max = 3;
    config.store.channel_bytes_max = ConfigSize(ByteSize::from_mib(5));
    assert_eq!(hub_settings(&config, 0, 1).keys_per_peer.uses_max, 3);
    assert_eq!(
        log_settings(&config.store).channel_bytes_max,
        ByteSize::from_mib(5)
    );
}

/// Returns the keys for which a value is rejected by a policy, in a file whose section `store` has these lines too.
fn keys_with_errors(store: &str) -> Vec<String> {
    let values = ["0", "\"0s\"", "\"100000d\"", "\"1B\"", "\"4294967295GiB\""];
    let mut rejected = Vec::new();
    for key in KEYS {
        let full = key.full();
        for value in values {
            let lines = match key.section {
                "store" => format!("[store]\n{store}{} = {value}\n", key.name),
                section => format!("[store]\n{store}[{section}]\n{} = {value}\n", key.name),
            };
            let Ok(loaded) = LoadedConfig::parse(Path::new("test.toml"), &lines) else {
                continue;
            };
            let Err(error) = Policies::try_from(&loaded) else {
                continue;
            };
            let ConfigError::Invalid(error) = error else {
                panic!("{full} = {value}: {error}");
            };
            assert_eq!(error.problem().key, full, "{value}");
            assert!(error.problem().location.is_some(), "{error:?}");
            rejected.push(full.clone());
        }
    }
    rejected.dedup();
    rejected
}
