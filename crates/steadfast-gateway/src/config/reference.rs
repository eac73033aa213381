//! The page of all settings: name, default, meaning. One table, checked against the settings themselves by a test.

use std::fmt::Write as _;

use super::Config;

/// One key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The section it stands in.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What may be written.
    pub values: &'static str,
    /// What it does, and why its default is what it is.
    pub about: &'static str,
}

impl Key {
    /// Section and name, as errors name it.
    pub(crate) fn full(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

const fn key(
    section: &'static str,
    name: &'static str,
    values: &'static str,
    about: &'static str,
) -> Key {
    Key {
        section,
        name,
        values,
        about,
    }
}

const SERVER: &str = "server";
const CLIENT: &str = "client";
const STORE: &str = "store";
const TEST: &str = "test";

/// All keys, in the order of the page.
pub const KEYS: &[Key] = &[
    key(
        SERVER,
        "address",
        "an IP address",
        "Where to listen. `0.0.0.0` takes connections from everywhere; by default only this machine may connect.",
    ),
    key(
        SERVER,
        "port",
        "0 to 65535",
        "The port. 0 takes any free one.",
    ),
    key(
        SERVER,
        "cores",
        "0 to 256",
        "Event loops, each a thread with its own connections. 0 takes one for each processor.",
    ),
    key(
        SERVER,
        "allowed_origins",
        "a list of origins",
        "Web pages that may connect besides those of the same host, for example `https://app.example.org`. A `*` stands for any characters; `*` alone allows all pages.",
    ),
    key(
        SERVER,
        "connections_max",
        "1 to 10000000",
        "Connections of the whole process, shared out evenly among the cores. Beyond it clients are told to come back later.",
    ),
    key(
        SERVER,
        "handshakes_max",
        "1 to 1000000",
        "Connections of one core that have not finished their first request. Beyond it nothing is accepted until one is done.",
    ),
    key(
        SERVER,
        "handshake_timeout",
        "100ms to 1h",
        "How long the first request may take to arrive.",
    ),
    key(
        SERVER,
        "close_wait",
        "100ms to 1m",
        "How long a closed connection may take to drain and to answer the close; then it is reset.",
    ),
    key(
        SERVER,
        "shutdown_wait",
        "0s to 10m",
        "How long a shutdown waits for the connections to close.",
    ),
    key(
        CLIENT,
        "anonymous",
        "\"loopback\" or \"everyone\"",
        "Who may connect without a credential. `loopback`: clients on this machine that also call it by a loopback name, which no foreign web page can, and not through a proxy that says so. `everyone`: all who can reach the port.",
    ),
    key(
        CLIENT,
        "anonymous_info",
        "true or false",
        "Whether the `data` of an anonymous client's connect, a JSON object of at most 1 KiB, is shown to others as `conn_info` in presence, joins and leaves. Off by default, since nobody vouches for what a stranger says about itself.",
    ),
    key(
        CLIENT,
        "join_leave",
        "\"offered\" or \"off\"",
        "Whether subscribers may ask for join and leave pushes.",
    ),
    key(
        CLIENT,
        "ping_interval",
        "1s to 1h, whole seconds",
        "Time between two pings of the same client. The first one comes after half to the whole of it, at random.",
    ),
    key(
        CLIENT,
        "pong_timeout",
        "100ms to below ping_interval",
        "How long a client may stay silent after a ping; any byte counts as life.",
    ),
    key(
        CLIENT,
        "stale_timeout",
        "from 100ms",
        "How long a client may take to send its connect command.",
    ),
    key(
        CLIENT,
        "refused_timeout",
        "from 100ms",
        "How long a client whose connect was refused may take to close.",
    ),
    key(
        CLIENT,
        "write_deadline",
        "from 100ms",
        "How long unsent bytes may wait before the client counts as slow and is told to come back.",
    ),
    key(
        CLIENT,
        "backlog_bytes_max",
        "from 4KiB",
        "How many unsent bytes may wait for one client before it counts as slow.",
    ),
    key(
        CLIENT,
        "message_bytes_max",
        "1KiB to 64MiB",
        "The longest message. SDKs take the refusal of a longer one as final.",
    ),
    key(
        CLIENT,
        "commands_per_message_max",
        "1 to 1000000",
        "Commands in one message.",
    ),
    key(
        CLIENT,
        "fragments_max",
        "1 to 1000000",
        "Fragments of one WebSocket message.",
    ),
    key(
        CLIENT,
        "channels_max",
        "1 to 1000000",
        "Subscriptions of one client.",
    ),
    key(
        CLIENT,
        "requests_max",
        "1 to 1000000",
        "Requests of one client that wait for the store. Beyond it nothing more is read from that client until one is answered.",
    ),
    key(
        CLIENT,
        "publications_per_reply_max",
        "1 to 100000",
        "Publications in one recovery or history reply; a recovery goes on with pushes.",
    ),
    key(
        CLIENT,
        "publication_bytes_per_reply_max",
        "from 1KiB",
        "Payload bytes in one recovery or history reply; a recovery goes on with pushes. More than a sixteenth of `backlog_bytes_max` lets several replies at once make a client slow.",
    ),
    key(
        CLIENT,
        "presence_max",
        "1 to 1000000",
        "Clients in one presence reply.",
    ),
    key(
        STORE,
        "kind",
        "\"segments\" or \"memory\"",
        "Files in the data directory, or memory: everything is gone when the process ends.",
    ),
    key(
        STORE,
        "directory",
        "a path",
        "The data directory. It is created, and locked against a second process.",
    ),
    key(
        STORE,
        "fsync",
        "\"always\", \"interval\" or \"never\"",
        "When a publication counts as stored: when the disk has it, or when it is written. After a crash without `always` every channel gets a new epoch, so clients know that something may be missing.",
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
        "The size of one file; the largest record takes a quarter of it.",
    ),
    key(
        STORE,
        "history_size",
        "1 to 10000000",
        "Publications of one channel that can be read again.",
    ),
    key(
        STORE,
        "history_ttl",
        "1s to 3660d",
        "How long a publication can be read again.",
    ),
    key(
        STORE,
        "bytes_max",
        "from 4 segments",
        "All files together; the oldest are removed whole.",
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
        "Channels at one time. Beyond it the first publication of a channel is refused.",
    ),
    key(
        STORE,
        "dedup_window",
        "1s to 1h",
        "How long the key of a keyed publish is remembered, so that a repeat is applied once.",
    ),
    key(
        STORE,
        "idempotency_keys_max",
        "1 to 16000000",
        "Keys that are remembered at one time. Beyond it keyed publishes are refused.",
    ),
    key(
        TEST,
        "echo",
        "true or false",
        "Adds `/test/echo`, a plain WebSocket echo for conformance suites. Never switch it on where others can connect.",
    ),
];

/// The names of the sections, in the order of the page.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections
}

/// The page `docs/reference/configuration.md`.
///
/// # Panics
///
/// Never: every key has a form in TOML, which a test checks.
pub fn page() -> String {
    let defaults = toml::Table::try_from(Config::default()).expect("every key has a form in TOML");
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

Settings stand in a TOML file that is named by `--config FILE` or `STEADFAST_CONFIG`.
Durations are written as `\"250ms\"`, `\"25s\"`, `\"2m\"`, `\"24h\"` or `\"30d\"`, sizes as `\"500B\"`, `\"64KiB\"`, `\"1MiB\"` or `\"1GiB\"`.
An unknown key or a value out of range is refused with its line.
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
            key.name, key.values, key.about
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_exactly_the_keys_that_exist() {
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

        // Written anew on request, so that a changed default is one command away from a correct page.
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
