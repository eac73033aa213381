//! The table of all configuration keys, and the page that is generated from it. A test compares the table with
//! [`Config`].

use std::fmt::Write as _;

use super::{Config, StoreKind};

/// One key of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigKey {
    /// The section that contains the key.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// The valid values, in words.
    pub values: &'static str,
    /// What the key does, and what happens at the limit.
    pub meaning: &'static str,
}

impl ConfigKey {
    /// Returns section and name, in the form that errors print.
    pub(crate) fn full(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// Returns the entry of a key of the section `server`; in a `const` block, a key that does not exist fails the build.
pub(crate) const fn server(name: &str) -> &'static ConfigKey {
    named(SERVER, name)
}

/// Returns the entry of a key of the section `client`, as [`server`] does.
pub(crate) const fn client(name: &str) -> &'static ConfigKey {
    named(CLIENT, name)
}

/// Returns the entry of a key of the section `store`, as [`server`] does.
pub(crate) const fn store(name: &str) -> &'static ConfigKey {
    named(STORE, name)
}

const fn named(section: &str, name: &str) -> &'static ConfigKey {
    let mut keys = KEYS;
    while let Some((key, rest)) = keys.split_first() {
        if is_same(key.section, section) && is_same(key.name, name) {
            return key;
        }
        keys = rest;
    }
    panic!("no such configuration key")
}

/// Compares two texts; the comparison of the standard library is not available in constants.
const fn is_same(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while let (Some((left_first, left_rest)), Some((right_first, right_rest))) =
        (left.split_first(), right.split_first())
    {
        if *left_first != *right_first {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.is_empty() && right.is_empty()
}

const fn key(
    section: &'static str,
    name: &'static str,
    values: &'static str,
    meaning: &'static str,
) -> ConfigKey {
    ConfigKey {
        section,
        name,
        values,
        meaning,
    }
}

const SERVER: &str = "server";
const CLIENT: &str = "client";
const STORE: &str = "store";
const TEST: &str = "test";

/// All keys, in the order of the page.
pub const KEYS: &[ConfigKey] = &[
    key(
        SERVER,
        "address",
        "an IP address",
        "The address to listen on. `0.0.0.0` accepts connections from other machines; by default only this machine can connect.",
    ),
    key(
        SERVER,
        "port",
        "0 to 65535",
        "The port to listen on. 0 selects any free port.",
    ),
    key(
        SERVER,
        "shards",
        "0 to 256",
        "The number of event loops, each a thread with its own connections. 0 selects one per processor.",
    ),
    key(
        SERVER,
        "allowed_origins",
        "a list of origins as browsers send them, with scheme and without path: \"https://app.example.org\"",
        "Web pages of these origins may connect in addition to those of the same host and port. A `*` matches any characters; a single `*` allows all pages. `file://` and `null` are origins too; every page can show a frame whose origin is `null`.",
    ),
    key(
        SERVER,
        "connections_max",
        "1 to 10000000",
        "The maximum number of connections of the process, divided evenly among the shards. Above it, connect commands are rejected with error 111 and a retry delay.",
    ),
    key(
        SERVER,
        "send_buffers_bytes_max",
        "from send_buffer_bytes_max for each shard",
        "The maximum memory of the send buffers of all clients, divided evenly among the shards. What several clients have not read yet counts once. Above it, the clients with the largest send buffers count as slow consumers and are disconnected with reconnect advice.",
    ),
    key(
        SERVER,
        "incomplete_bytes_max",
        "from message_bytes_max for each shard",
        "The maximum memory of the incomplete commands of all clients, divided evenly among the shards. Above it, the clients whose commands have made no progress for the longest time are disconnected with reconnect advice.",
    ),
    key(
        SERVER,
        "handshakes_max",
        "1 to 1000000",
        "The maximum number of connections of one shard that have not finished their first request. Above it, the oldest one of the address that has most of them is dropped in favour of a new one.",
    ),
    key(
        SERVER,
        "handshake_timeout",
        "100ms to 1h",
        "How long the first request may take to arrive.",
    ),
    key(
        SERVER,
        "request_head_bytes_max",
        "1KiB to 64KiB",
        "The maximum length of the head of a request: request line and header fields, cookies included. A longer one gets status 431.",
    ),
    key(
        SERVER,
        "request_fields_max",
        "10 to 500",
        "The maximum number of header fields of a request. One with more gets status 431.",
    ),
    key(
        SERVER,
        "close_timeout",
        "100ms to 1m",
        "How long a closing connection may take to drain and to reply to the close frame; then it is reset.",
    ),
    key(
        SERVER,
        "shutdown_timeout",
        "0s to 10m",
        "How long a shutdown waits for clients to disconnect.",
    ),
    key(
        CLIENT,
        "anonymous",
        "\"loopback\" or \"all\"",
        "Which clients may connect without a credential. `loopback`: clients on this machine whose `Host` header is a loopback name, which a foreign web page cannot send, and whose request has no proxy header. `all`: all clients that can reach the port.",
    ),
    key(
        CLIENT,
        "anonymous_info",
        "true or false",
        "Whether the `data` of an anonymous client's connect command, a JSON object of at most 1 KiB, is shown to other clients as `conn_info` in presence, joins and leaves. Off by default, because the gateway cannot verify what an anonymous client says about itself.",
    ),
    key(
        CLIENT,
        "join_leave",
        "\"on\" or \"off\"",
        "Whether subscribers may request join and leave pushes.",
    ),
    key(
        CLIENT,
        "ping_interval",
        "1s to 1h, whole seconds",
        "Time between two pings of one client. The first ping is sent after a random time between half of the interval and the full interval.",
    ),
    key(
        CLIENT,
        "pong_timeout",
        "100ms to below ping_interval",
        "How long after a ping the gateway waits for data from a client before it disconnects it; any byte counts, not only a pong. While a client on a slow link acknowledges what was sent before, the gateway waits up to `ping_interval`.",
    ),
    key(
        CLIENT,
        "connect_timeout",
        "from 100ms",
        "How long a client may take to send its connect command.",
    ),
    key(
        CLIENT,
        "rejected_close_timeout",
        "from 100ms",
        "How long a client whose connect command was rejected may take to close.",
    ),
    key(
        CLIENT,
        "write_timeout",
        "from 100ms",
        "How long a client may accept nothing of its send buffer before it counts as a slow consumer and is disconnected with reconnect advice. A client that accepts a part of it in this time is slow but stays connected.",
    ),
    key(
        CLIENT,
        "message_timeout",
        "from 100ms",
        "How long a command that has begun to arrive may make no progress: it must end, or at least 1 KiB of it must arrive. Then the client is disconnected with reconnect advice.",
    ),
    key(
        CLIENT,
        "send_buffer_bytes_max",
        "from twice message_bytes_max",
        "The maximum number of bytes in the send buffer of one client. Above it, the client counts as a slow consumer and is disconnected with reconnect advice. Clients get past a stored publication above half of it with a gap.",
    ),
    key(
        CLIENT,
        "message_bytes_max",
        "1KiB to 64MiB, at most half of send_buffer_bytes_max",
        "The size of the longest command, and so of the longest publication. A longer command is rejected with error 107; the connection stays open. A WebSocket message may contain any number of commands: SDKs send connect and all subscribe commands in one. SDKs see no ping within a message: the slowest client must receive the longest publication within the ping interval and 10 s, as 64 KiB on a link of 16 kbit/s.",
    ),
    key(
        CLIENT,
        "channels_max",
        "1 to 1000000",
        "The maximum number of subscriptions of one client.",
    ),
    key(
        CLIENT,
        "new_channels_per_minute",
        "1 to 1000000",
        "The maximum number of channels that one client creates, by being the first to publish to them: this many at once, and as many in each minute after that. Above it, its publications to channels that do not exist are rejected with error 111, which is temporary. The limit is one of the connection, so a client that reconnects can use all of it again.",
    ),
    key(
        CLIENT,
        "idempotency_keys_max",
        "0 to 16000000",
        "The maximum number of idempotency keys that one client uses: this many at once, and as many in each `store.dedup_window` after that; a repeat does not count. 0 selects half of `store.idempotency_keys_max`: one client cannot use up what all share, and a server that publishes over one connection needs no other setting. Above it, publications with a key are rejected with error 111, which is temporary. The limit is one of the connection, so a client that reconnects can use all of it again.",
    ),
    key(
        CLIENT,
        "pending_requests_max",
        "1 to 16384",
        "The maximum number of pending requests of one client to the store; one whose reply may be large (history, recovery, presence), and a command that waits for an earlier one in its channel, count as a quarter of the limit. At the limit the gateway stops reading from that client until at most half of the limit is pending.",
    ),
    key(
        CLIENT,
        "publications_per_reply_max",
        "1 to 100000",
        "The maximum number of publications in one recovery or history reply, and in one page of the pushes with which a recovery continues.",
    ),
    key(
        CLIENT,
        "recovery_bytes_per_reply_max",
        "1KiB to publication_bytes_per_reply_max",
        "The maximum number of payload bytes in the recovery replies of one client within five seconds; the rest follows as pushes. SDKs wait a few seconds for a reply, however slow the link is.",
    ),
    key(
        CLIENT,
        "publication_bytes_per_reply_max",
        "from recovery_bytes_per_reply_max",
        "The maximum number of payload bytes in one page of the pushes with which a recovery continues. A history reply has at most as many, or a quarter of `send_buffer_bytes_max` if that is more. With more than a sixteenth of `send_buffer_bytes_max`, several replies at once can make a client a slow consumer.",
    ),
    key(
        CLIENT,
        "presence_max",
        "1 to 1000000",
        "The maximum number of clients in one presence reply.",
    ),
    key(
        STORE,
        "kind",
        "\"segments\" or \"memory\"",
        "Segment files in the data directory, or memory: everything is lost when the process exits. With `memory`, the keys `directory`, `fsync`, `fsync_interval` and `segment_bytes` have no effect, and a file that contains one of them is rejected.",
    ),
    key(
        STORE,
        "directory",
        "the path of a directory, not empty",
        "The data directory. It is created if it does not exist, and locked against a second process.",
    ),
    key(
        STORE,
        "fsync",
        "\"always\", \"interval\" or \"never\"",
        "When a publication is acknowledged: after fsync (`always`), or after the write, with fsync later (`interval`) or left to the kernel (`never`). After a crash without `always` every channel gets a new epoch, so that clients know that publications may be missing.",
    ),
    key(
        STORE,
        "fsync_interval",
        "1ms to 1h",
        "Time between two syncs with `fsync = \"interval\"`.",
    ),
    key(
        STORE,
        "segment_bytes",
        "4KiB to 256MiB",
        "The size of one segment file. A publication with its channel may use at most a quarter of it, or somewhat less below 8KiB, and an idempotency key with its user a sixteenth.",
    ),
    key(
        STORE,
        "history_size",
        "1 to 10000000",
        "The maximum number of publications in the history of one channel.",
    ),
    key(
        STORE,
        "history_ttl",
        "1s to 3660d",
        "How long a publication stays in the history.",
    ),
    key(
        STORE,
        "bytes_max",
        "from 4 segments; 4KiB to 1TiB in memory",
        "The maximum number of bytes of all segment files, or of everything that is kept in memory: publications, channels and idempotency keys. Above it, the oldest segments or publications are removed. Idempotency keys may use nearly an eighth of the segment files; in memory, keys and channels may each use five sixteenths, and a publication a quarter. After it was lowered, the files shrink as segments are replaced, and if they hold more keys than fit, the oldest keys are forgotten.",
    ),
    key(
        STORE,
        "channel_bytes_max",
        "0, or from 1KiB to bytes_max",
        "The maximum number of bytes of one channel in the segment files, or of its publications in memory. 0 selects a quarter of `bytes_max`. A channel above it does not remove publications of other channels that are younger than 10 minutes: while it would, its publications are rejected with error 111, which is temporary; in memory, its own oldest publications are removed instead. While it harms no other, it may use everything.",
    ),
    key(
        STORE,
        "channel_ttl",
        "from history_ttl and dedup_window to 3660d",
        "How long a channel keeps its epoch after its last publication.",
    ),
    key(
        STORE,
        "channels_max",
        "1 to 1048576",
        "The maximum number of channels at one time. A checkpoint of all channels may also use at most three eighths of a segment. Above it, a new channel takes the place of the oldest channel that has neither visible publications nor idempotency keys in the window, which is forgotten as if it had expired; if there is none, the first publication of the new channel is rejected with error 106.",
    ),
    key(
        STORE,
        "dedup_window",
        "1s to 1h",
        "How long the gateway remembers an idempotency key, so that a repeated publication is stored once. A repeat has the same data, byte for byte; the same key with other data is rejected with error 107. Keys belong to a user and a channel; all anonymous clients are one user and share their keys, so use random ones.",
    ),
    key(
        STORE,
        "idempotency_keys_max",
        "1 to 16000000, at most what bytes_max has space for",
        "The maximum number of idempotency keys that are remembered at one time. All keys together may also use nearly an eighth of `bytes_max`, 60 bytes each in addition to user and key. Above it, publications with a new key are rejected with error 111, which is temporary.",
    ),
    key(
        STORE,
        "pending_bytes_max",
        "1MiB to 1GiB",
        "The maximum number of bytes of publications that wait for the store, divided evenly among the shards. It is reached only when publications arrive faster than the disk stores them, or when the disk is stuck: then further publications are rejected with error 111, which is temporary, and those that wait are stored as soon as the disk continues.",
    ),
    key(
        TEST,
        "echo",
        "true or false",
        "Adds `/test/echo`, a plain WebSocket echo endpoint for conformance suites. Never enable it where other machines can connect.",
    ),
];

/// Keys of earlier versions, with what to do about them.
const REMOVED: [(&str, &str, &str); 2] = [
    (
        CLIENT,
        "commands_per_message_max",
        "remove it: a message may contain any number of commands, which are handled one by one",
    ),
    (
        CLIENT,
        "fragments_max",
        "remove it: commands are handled as they arrive, so a message may have any number of fragments",
    ),
];

/// Returns what to do about a key that an earlier version had; `None` for any other key.
pub(super) fn removed(section: &str, name: &str) -> Option<&'static str> {
    let mut removed = REMOVED.iter();
    let (_, _, help) = removed.find(|key| (key.0, key.1) == (section, name))?;
    Some(help)
}

/// Returns the keys without effect for this kind of store.
pub(crate) const fn without_effect(kind: StoreKind) -> &'static [&'static ConfigKey] {
    match kind {
        StoreKind::Segments => &[],
        StoreKind::Memory => {
            const {
                &[
                    store("directory"),
                    store("fsync"),
                    store("fsync_interval"),
                    store("segment_bytes"),
                ]
            }
        }
    }
}

/// Returns a configuration file with all keys of these settings that have an effect.
pub(super) fn file(settings: &toml::Table, kind: StoreKind) -> String {
    let mut file = String::new();
    for section in sections() {
        if !file.is_empty() {
            file.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(file, "[{section}]");
        for key in KEYS.iter().filter(|key| key.section == section) {
            let value = settings.get(section).and_then(|table| table.get(key.name));
            let has_effect = !without_effect(kind)
                .iter()
                .any(|other| other.full() == key.full());
            if let Some(value) = value.filter(|_| has_effect) {
                let _ = writeln!(file, "{} = {value}", key.name);
            }
        }
    }
    file
}

/// Returns the names of the sections, in the order of the page.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections
}

/// Returns the text of `docs/reference/configuration.md`.
///
/// # Panics
///
/// Never: every setting can be written in TOML, which a test checks.
pub fn page() -> String {
    let defaults =
        toml::Table::try_from(Config::default()).expect("every setting can be written in TOML");
    let mut page = String::from(HEAD);
    for section in sections() {
        write_section(&mut page, section, &defaults);
    }
    page
}

const HEAD: &str = "\
# Configuration

All settings of `steadfast serve`, with their defaults.
This page is generated from the source; a test compares it.

Settings are read from the TOML file that `--config FILE` or `STEADFAST_CONFIG` names.
Durations are written as `\"250ms\"`, `\"25s\"`, `\"2m\"`, `\"24h\"` or `\"30d\"`, sizes as `\"500B\"`, `\"64KiB\"`, `\"1MiB\"` or `\"1GiB\"`.
An unknown key or a value out of range is rejected with an error that contains the line.
";

fn write_section(page: &mut String, section: &str, defaults: &toml::Table) {
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n## `[{section}]`\n\n| key | default | values | meaning |\n| --- | --- | --- | --- |\n"
    );
    for key in KEYS.iter().filter(|key| key.section == section) {
        let default = defaults.get(section).and_then(|table| table.get(key.name));
        let default = default.map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(
            page,
            "| `{}` | `{default}` | {} | {} |",
            key.name, key.values, key.meaning
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_contains_exactly_the_existing_keys() {
        let defaults = toml::Table::try_from(Config::default()).unwrap();

        let mut existing: Vec<String> = Vec::new();
        for (section, keys) in &defaults {
            existing.extend(
                keys.as_table()
                    .unwrap()
                    .keys()
                    .map(|key| format!("{section}.{key}")),
            );
        }
        let mut named: Vec<String> = KEYS
            .iter()
            .map(|key| format!("{}.{}", key.section, key.name))
            .collect();
        existing.sort();
        named.sort();

        assert_eq!(named, existing);
    }

    #[test]
    fn the_page_in_the_documentation_is_the_generated_one() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/configuration.md"
        );

        // The page is regenerated on request, so that one command updates the page after a default has changed.
        if option_env!("STEADFAST_WRITE_REFERENCE").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference"))
                .unwrap();
            std::fs::write(path, page()).unwrap();
        }

        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == page(),
            "run STEADFAST_WRITE_REFERENCE=1 cargo test -p steadfast-gateway reference"
        );
    }
}
