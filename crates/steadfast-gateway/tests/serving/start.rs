//! Tests of the errors at the start of a gateway.

use std::path::Path;

use steadfast_gateway::config::StoreKind;
use steadfast_gateway::config::load::{LoadedConfig, STORE_KIND};
use steadfast_gateway::engine::log::LogError;
use steadfast_gateway::error::ServeError;
use steadfast_gateway::listen::ListenError;
use steadfast_gateway::server;

use crate::{config, durable_config, serve};

#[test]
fn a_port_in_use_is_detected_although_listeners_share_ports() {
    let first = serve(config());
    let mut second = config();
    second.server.port = first.address().port();

    let error = server::start(second).unwrap_err();

    assert!(
        matches!(error, ServeError::Listen(ListenError::PortInUse { .. })),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("another process is listening there"),
        "{error}"
    );
    assert!(error.help().contains("PORT="), "{}", error.help());
}

#[test]
fn a_data_directory_in_use_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let config = durable_config(directory.path());
    let _first = serve(config.clone());

    let error = server::start(config).unwrap_err();

    assert!(
        matches!(error, ServeError::Log(LogError::Locked { .. })),
        "{error:?}"
    );
}

#[test]
fn an_invalid_configuration_is_reported_with_file_line_key_and_help() {
    for (text, expected) in [
        (
            "[server]\nprot = 8000\n",
            "server.prot: unknown key `prot`\n --> steadfast.toml:2:1\n  |\n2 | prot = 8000\n  | ^^^^ unknown key \
             `prot`\n  |\n  = help: did you mean `port`?",
        ),
        (
            "[sever]\n",
            "sever: unknown section `sever`\n --> steadfast.toml:1:2\n  |\n1 | [sever]\n  |  ^^^^^ unknown section \
             `sever`\n  |\n  = help: did you mean `server`?",
        ),
        (
            "[client]\nping_interval = 25\n",
            "client.ping_interval: invalid type: integer `25`, expected a duration such as \"250ms\", \"25s\", \
             \"2m\", \"24h\" or \"30d\"\n --> steadfast.toml:2:17\n  |\n2 | ping_interval = 25\n  |                 ^^ \
             invalid type: integer `25`, expected a duration such as \"250ms\", \"25s\", \"2m\", \"24h\" or \"30d\"\n  \
             |\n  = help: permitted: 1s to 1h, whole seconds",
        ),
        (
            "[server]\nport = 70000\n",
            "server.port: invalid value: integer `70000`\n --> steadfast.toml:2:8\n  |\n2 | port = 70000\n  |        \
             ^^^^^ invalid value: integer `70000`\n  |\n  = help: permitted: 0 to 65535",
        ),
        (
            "[store]\ndirectory = \"\"\n",
            "store.directory: must be the path of a directory, not empty\n --> steadfast.toml:2:13\n  |\n2 | directory \
             = \"\"\n  |             ^^ must be the path of a directory, not empty",
        ),
        (
            "[server]\nallowed_origins = [\"app.example.org\"]\n",
            "server.allowed_origins: must be a list of origins as browsers send them, with scheme and without path: \
             \"https://app.example.org\"\n --> steadfast.toml:2:19\n  |\n2 | allowed_origins = \
             [\"app.example.org\"]\n  |                   ^^^^^^^^^^^^^^^^^^^ must be a list of origins as browsers \
             send them, with scheme and without path: \"https://app.example.org\"",
        ),
        (
            "[store]\nkind = \"disk\"\n",
            "store.kind: unknown variant `disk`, expected `segments` or `memory`\n --> steadfast.toml:2:8\n  |\n2 \
             | kind = \"disk\"\n  |        ^^^^^^ unknown variant `disk`, expected `segments` or `memory`\n  \
             |\n  = help: permitted: \"segments\" or \"memory\"",
        ),
        (
            "[client]\npong_timeout = \"25s\"\n",
            "client.pong_timeout = 25s (steadfast.toml:2) must be below client.ping_interval = 25s (default)\n \
             --> steadfast.toml:2:16\n  |\n2 | pong_timeout = \"25s\"\n  |                ^^^^^\n  |\n  = help: set \
             client.ping_interval = \"26s\" or more, or lower client.pong_timeout",
        ),
        (
            "[store]\nsegment_bytes = \"1GiB\"\n",
            "store.segment_bytes: must be 4 KiB to 256 MiB\n --> steadfast.toml:2:17\n  |\n2 | segment_bytes = \
             \"1GiB\"\n  |                 ^^^^^^ must be 4 KiB to 256 MiB",
        ),
        (
            "[server\n",
            "unclosed table, expected `]`\n --> steadfast.toml:1:8\n  |\n1 | [server\n  |        ^ unclosed table, \
             expected `]`",
        ),
    ] {
        check_rejected(text, expected);
    }
}

#[test]
fn a_key_at_the_top_level_is_rejected_with_its_sections() {
    for (text, expected) in [
        (
            "port = 9000\n",
            "port: the key `port` must be in its section\n --> steadfast.toml:1:1\n  |\n1 | port = 9000\n  | ^^^^ the \
             key `port` must be in its section\n  |\n  = help: [server] port: write the section on a line before the \
             key",
        ),
        (
            "channels_max = 9000\n",
            "channels_max: the key `channels_max` must be in its section\n --> steadfast.toml:1:1\n  |\n1 | \
             channels_max = 9000\n  | ^^^^^^^^^^^^ the key `channels_max` must be in its section\n  |\n  = help: \
             [client] channels_max or [store] channels_max: write the section on a line before the key",
        ),
    ] {
        check_rejected(text, expected);
    }
}

#[test]
fn a_setting_that_a_store_in_memory_cannot_have_is_rejected_with_its_location() {
    for (text, expected) in [
        (
            "[store]\nkind = \"memory\"\nfsync = \"always\"\n",
            "store.fsync: has no effect with this `kind` of store\n --> steadfast.toml:3:1\n  |\n3 | fsync = \
             \"always\"\n  | ^^^^^ has no effect with this `kind` of store\n  |\n  = help: remove it, or set kind = \
             \"segments\"",
        ),
        (
            "[store]\nkind = \"memory\"\nbytes_max = \"1KiB\"\n",
            "store.bytes_max: must be 4 KiB to 1 TiB\n --> steadfast.toml:3:13\n  |\n3 | bytes_max = \
             \"1KiB\"\n  |             ^^^^^^ must be 4 KiB to 1 TiB",
        ),
    ] {
        check_rejected(text, expected);
    }
}

fn check_rejected(text: &str, expected: &str) {
    let outcome = LoadedConfig::parse(Path::new("steadfast.toml"), text).map_err(ServeError::from);

    let error = outcome.and_then(server::start).expect_err(text);

    assert_eq!(error.to_string(), expected, "{error}");
}

#[test]
fn an_invalid_setting_that_was_not_read_from_a_file_is_reported_without_a_location() {
    let mut config = config();
    config.server.handshake_timeout = crate::millis(1);

    let error = server::start(config).unwrap_err();

    assert_eq!(
        error.to_string(),
        "server.handshake_timeout: must be 100ms to 1h"
    );
}

#[test]
fn a_kind_of_store_that_overrides_the_file_makes_no_key_of_the_file_an_error() {
    let text =
        "[server]\nport = 0\nshards = 1\n[store]\ndirectory = \"\"\nsegment_bytes = \"1GiB\"\n";
    let mut loaded = LoadedConfig::parse(Path::new("steadfast.toml"), text).unwrap();

    loaded.override_key(STORE_KIND, "--memory").store.kind = StoreKind::Memory;

    assert!(server::start(loaded).is_ok());
}

#[test]
fn a_wrapper_around_the_log_is_rejected_without_a_log() {
    let error = server::start_with_log(config(), |log| log).unwrap_err();

    assert_eq!(
        error.to_string(),
        "store.kind: must be \"segments\" for a wrapper around the log"
    );
}

#[test]
fn the_effective_settings_of_a_gateway_in_memory_start_a_gateway() {
    let effective = config().effective();

    let read = LoadedConfig::parse(Path::new("effective.toml"), &effective).unwrap();

    assert!(server::start(read).is_ok(), "{effective}");
}

#[test]
fn the_effective_settings_can_be_read_back_unchanged() {
    let mut config = config();
    config.server.allowed_origins = vec!["https://example.org".to_owned()];

    let read = LoadedConfig::parse(Path::new("effective.toml"), &config.effective()).unwrap();

    assert_eq!(read.config, config);
}
