//! What people write to configure the gateway: one section per part, human units, a documented default for each key.
//!
//! Owns names, defaults and their reasons. [`load`] reads a file, [`policy`] turns the settings into what the machines
//! take, [`mod@reference`] prints the page of all keys. Reads no environment: the command line tool hands its values in.

pub mod load;
pub mod policy;
pub mod reference;
pub mod units;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_machine::ByteSize;

use self::units::{Size, Span};

/// All settings of a gateway. [`Config::default`] serves on `127.0.0.1:8000` and stores in `./steadfast-data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how connections are taken.
    pub server: ServerConfig,
    /// What one client may do.
    pub client: ClientConfig,
    /// Where publications are kept, and how long.
    pub store: StoreConfig,
    /// What exists for tests only.
    pub test: TestConfig,
}

impl Config {
    /// All settings in force, as a configuration file.
    ///
    /// # Panics
    ///
    /// Never: every key has a form in TOML.
    pub fn effective(&self) -> String {
        toml::to_string(self).expect("every key has a form in TOML")
    }
}

/// Where and how connections are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address to listen on.
    pub address: IpAddr,
    /// The port to listen on; 0 takes any free one.
    pub port: u16,
    /// Event loops; 0 takes one for each processor.
    pub cores: u16,
    /// Web pages of these origins may connect besides those of the same host; `*` alone allows all.
    pub allowed_origins: Vec<String>,
    /// Connections of the whole process.
    pub connections_max: u32,
    /// Connections that have not finished their first request, of one core.
    pub handshakes_max: u32,
    /// How long the first request may take to arrive.
    pub handshake_timeout: Span,
    /// How long a closed connection may take to drain and to answer the close.
    pub close_wait: Span,
    /// How long a shutdown waits for the connections to close.
    pub shutdown_wait: Span,
}

impl ServerConfig {
    /// Loopback: what is reachable from elsewhere is a decision of the one who deploys.
    pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// 8000, the usual port of this protocol.
    pub const PORT: u16 = 8000;
    /// 100,000 connections take about 0.5 GB; the limit of open files usually ends it earlier.
    pub const CONNECTIONS_MAX: u32 = 100_000;
    /// 4,096, as many as may wait to be accepted.
    pub const HANDSHAKES_MAX: u32 = 4096;
    /// 10 s: a request head is one packet; the rest is for slow mobile links.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    /// 5 s, the protocol's wait for a close handshake.
    pub const CLOSE_WAIT: Duration = Duration::from_secs(5);
    /// 5 s: enough for every close frame to be sent and answered.
    pub const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: Self::ADDRESS,
            port: Self::PORT,
            cores: 0,
            allowed_origins: Vec::new(),
            connections_max: Self::CONNECTIONS_MAX,
            handshakes_max: Self::HANDSHAKES_MAX,
            handshake_timeout: Span(Self::HANDSHAKE_TIMEOUT),
            close_wait: Span(Self::CLOSE_WAIT),
            shutdown_wait: Span(Self::SHUTDOWN_WAIT),
        }
    }
}

/// What one client may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// Who may connect without a credential.
    pub anonymous: Anonymous,
    /// Whether others are shown what an anonymous client says about itself.
    pub anonymous_info: bool,
    /// Whether subscribers may ask for join and leave pushes.
    pub join_leave: JoinLeaveChoice,
    /// Time between two pings.
    pub ping_interval: Span,
    /// How long a client may stay silent after a ping.
    pub pong_timeout: Span,
    /// How long a client may take to send its connect command.
    pub stale_timeout: Span,
    /// How long a refused client may take to close.
    pub refused_timeout: Span,
    /// How long unsent bytes may wait.
    pub write_deadline: Span,
    /// How many unsent bytes may wait.
    pub backlog_bytes_max: Size,
    /// The longest message.
    pub message_bytes_max: Size,
    /// Commands in one message.
    pub commands_per_message_max: u32,
    /// Fragments of one message.
    pub fragments_max: u32,
    /// Subscriptions of one client.
    pub channels_max: u32,
    /// Requests of one client that wait for the store.
    pub requests_max: u32,
    /// Publications in one reply.
    pub publications_per_reply_max: u32,
    /// Payload bytes in one reply.
    pub publication_bytes_per_reply_max: Size,
    /// Clients in one presence reply.
    pub presence_max: u32,
}

impl ClientConfig {
    /// 25 s, the protocol's default: SDKs give up 10 s after a ping that did not come.
    pub const PING_INTERVAL: Duration = Duration::from_secs(25);
    /// 8 s, the protocol's default.
    pub const PONG_TIMEOUT: Duration = Duration::from_secs(8);
    /// 10 s, the protocol's default.
    pub const STALE_TIMEOUT: Duration = Duration::from_secs(10);
    /// 5 s, the protocol's wait after a refused connect.
    pub const REFUSED_TIMEOUT: Duration = Duration::from_secs(5);
    /// 5 s: longer than a change of network takes, shorter than a ping interval.
    pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);
    /// 1 MiB, the protocol's default for what may wait for one client.
    pub const BACKLOG_BYTES_MAX: ByteSize = ByteSize::from_mib(1);
    /// 64 KiB, the protocol's default.
    pub const MESSAGE_BYTES_MAX: ByteSize = ByteSize::from_kib(64);
    /// 1,024: SDKs send connect and all subscribes in one message, 128 by default.
    pub const COMMANDS_PER_MESSAGE_MAX: u32 = 1024;
    /// 1,024: clients of this protocol send whole frames.
    pub const FRAGMENTS_MAX: u32 = 1024;
    /// 128, the protocol's default.
    pub const CHANNELS_MAX: u32 = 128;
    /// 256: four times what the heaviest measured publisher keeps in flight.
    pub const REQUESTS_MAX: u32 = 256;
    /// 300, what SDKs expect of one reply.
    pub const PUBLICATIONS_PER_REPLY_MAX: u32 = 300;
    /// 64 KiB, a sixteenth of the backlog: four such replies and a page of a recovery may come in one turn, before the
    /// client takes anything. They fit behind what may wait before them, so that replies alone never make it slow.
    pub const PUBLICATION_BYTES_PER_REPLY_MAX: ByteSize = ByteSize::from_kib(64);
    /// 1,000 entries are about 100 KB.
    pub const PRESENCE_MAX: u32 = 1000;
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Loopback,
            anonymous_info: false,
            join_leave: JoinLeaveChoice::Offered,
            ping_interval: Span(Self::PING_INTERVAL),
            pong_timeout: Span(Self::PONG_TIMEOUT),
            stale_timeout: Span(Self::STALE_TIMEOUT),
            refused_timeout: Span(Self::REFUSED_TIMEOUT),
            write_deadline: Span(Self::WRITE_DEADLINE),
            backlog_bytes_max: Size(Self::BACKLOG_BYTES_MAX),
            message_bytes_max: Size(Self::MESSAGE_BYTES_MAX),
            commands_per_message_max: Self::COMMANDS_PER_MESSAGE_MAX,
            fragments_max: Self::FRAGMENTS_MAX,
            channels_max: Self::CHANNELS_MAX,
            requests_max: Self::REQUESTS_MAX,
            publications_per_reply_max: Self::PUBLICATIONS_PER_REPLY_MAX,
            publication_bytes_per_reply_max: Size(Self::PUBLICATION_BYTES_PER_REPLY_MAX),
            presence_max: Self::PRESENCE_MAX,
        }
    }
}

/// Who may connect without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Clients on this machine that also call it by a loopback name, which no foreign web page can.
    Loopback,
    /// Everyone who can reach the port.
    Everyone,
}

/// Whether subscribers may ask for join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinLeaveChoice {
    /// They may.
    Offered,
    /// They may not.
    Off,
}

/// Where publications are kept, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Files, or memory.
    pub kind: StoreKind,
    /// Where the files are.
    pub directory: PathBuf,
    /// When a publication counts as stored.
    pub fsync: Fsync,
    /// Time between two syncs with `fsync = "interval"`.
    pub fsync_interval: Span,
    /// The size of one file.
    pub segment_bytes: Size,
    /// Publications of one channel that can be read again.
    pub history_size: u64,
    /// How long a publication can be read again.
    pub history_ttl: Span,
    /// All files together.
    pub bytes_max: Size,
    /// How long a channel without publications keeps its epoch.
    pub channel_ttl: Span,
    /// Channels at one time.
    pub channels_max: u32,
    /// How long the key of a keyed publish is remembered.
    pub dedup_window: Span,
    /// Keys that are remembered at one time.
    pub idempotency_keys_max: u32,
}

impl StoreConfig {
    /// Beside where the gateway was started, so that nothing outside is touched unasked.
    pub const DIRECTORY: &'static str = "steadfast-data";
    /// 50 ms: what a power cut may cost with `fsync = "interval"`.
    pub const FSYNC_INTERVAL: Duration = Duration::from_millis(50);
    /// 64 MiB: whole segments are removed, so 16 of them make retention smooth.
    pub const SEGMENT_BYTES: ByteSize = ByteSize::from_mib(64);
    /// 10,000 publications: three minutes of a channel with 50 a second.
    pub const HISTORY_SIZE: u64 = 10_000;
    /// 24 h: a client that was away for a night can recover.
    pub const HISTORY_TTL: Duration = Duration::from_hours(24);
    /// 1 GiB: opens in seconds after a kill.
    pub const BYTES_MAX: ByteSize = ByteSize::from_mib(1024);
    /// 30 days: a client that was away longer reloads.
    pub const CHANNEL_TTL: Duration = Duration::from_hours(30 * 24);
    /// 100,000: each costs about 100 bytes of memory and of every checkpoint.
    pub const CHANNELS_MAX: u32 = 100_000;
    /// 2 min: longer than any reconnect that repeats a publish.
    pub const DEDUP_WINDOW: Duration = Duration::from_mins(2);
    /// 200,000: 1,600 keyed publishes a second for the whole window.
    pub const IDEMPOTENCY_KEYS_MAX: u32 = 200_000;
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Segments,
            directory: PathBuf::from(Self::DIRECTORY),
            fsync: Fsync::Always,
            fsync_interval: Span(Self::FSYNC_INTERVAL),
            segment_bytes: Size(Self::SEGMENT_BYTES),
            history_size: Self::HISTORY_SIZE,
            history_ttl: Span(Self::HISTORY_TTL),
            bytes_max: Size(Self::BYTES_MAX),
            channel_ttl: Span(Self::CHANNEL_TTL),
            channels_max: Self::CHANNELS_MAX,
            dedup_window: Span(Self::DEDUP_WINDOW),
            idempotency_keys_max: Self::IDEMPOTENCY_KEYS_MAX,
        }
    }
}

/// Files, or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Segment files in the data directory.
    Segments,
    /// Memory: everything is gone when the process ends.
    Memory,
}

/// When a publication counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// When the disk has it. Publications that arrive together share one sync.
    Always,
    /// When it is written; the disk is synced from time to time. After a crash every channel gets a new epoch.
    Interval,
    /// When it is written; the system decides about the disk. After a crash every channel gets a new epoch.
    Never,
}

/// What exists for tests only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestConfig {
    /// Adds `/test/echo`, a plain WebSocket echo for conformance suites.
    pub echo: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys, offset, time and the publisher of one publication in a reply.
    const ENVELOPE_BYTES: u64 = 160;

    #[test]
    fn all_replies_of_one_turn_fit_into_the_backlog_behind_what_may_wait_before_them() {
        let client = ClientConfig::default();
        let backlog = client.backlog_bytes_max.0.as_bytes();
        let payloads = client.publication_bytes_per_reply_max.0.as_bytes();
        let reply = payloads + u64::from(client.publications_per_reply_max) * ENVELOPE_BYTES;

        // Four requests with large answers and one page of a recovery may be under way. Each answer looks only at what
        // waited before the turn, which with its own payloads is half of the backlog at most.
        let waited = backlog / 2 - payloads;

        assert!(waited + 5 * reply <= backlog, "{waited} + 5 * {reply}");
    }
}
