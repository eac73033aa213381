//! The configuration of the gateway: one section per part, human-readable units, a documented default for each key.
//!
//! Defines the keys, the defaults and their reasons. [`load`] reads a file, [`policy`] converts the settings to the
//! policies of the state machines, [`mod@reference`] generates the page of all keys. Does not read the environment: the
//! command line tool passes the values of the environment in.

mod contradiction;
pub(crate) mod keys;
pub mod load;
pub mod policy;
pub mod reference;
pub mod units;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_machine::ByteSize;

use self::units::{ConfigDuration, ConfigSize};

/// All settings of a gateway. [`Config::default`] serves on `127.0.0.1:8000` and stores in `./steadfast-data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listening and connections.
    pub server: ServerConfig,
    /// Access and limits of one client.
    pub client: ClientConfig,
    /// Storage and retention.
    pub store: StoreConfig,
    /// Features that exist for tests only.
    pub test: TestConfig,
}

impl Config {
    /// Returns all settings that have an effect, as a configuration file.
    ///
    /// # Panics
    ///
    /// Never: every setting can be written in TOML.
    pub fn effective(&self) -> String {
        let settings = toml::Table::try_from(self).expect("every setting can be written in TOML");
        reference::file(&settings, self.store.kind)
    }
}

/// Listening and connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The address to listen on.
    pub address: IpAddr,
    /// The port to listen on; 0 selects any free port.
    pub port: u16,
    /// The number of shards; 0 selects one per processor.
    pub shards: u16,
    /// Web pages of these origins may connect in addition to those of the same host; a single `*` allows all.
    pub allowed_origins: Vec<String>,
    /// The maximum number of connections of the process.
    pub connections_max: u32,
    /// The maximum memory of the send buffers of all clients.
    pub send_buffers_bytes_max: ConfigSize,
    /// The maximum memory of the incomplete commands of all clients.
    pub incomplete_bytes_max: ConfigSize,
    /// The maximum number of connections of one shard that have not finished their first request.
    pub handshakes_max: u32,
    /// How long the first request may take to arrive.
    pub handshake_timeout: ConfigDuration,
    /// The maximum length of the head of a request, in bytes.
    pub request_head_bytes_max: ConfigSize,
    /// The maximum number of header fields of a request.
    pub request_fields_max: u32,
    /// How long a closing connection may take to drain and to reply to the close frame.
    pub close_timeout: ConfigDuration,
    /// How long a shutdown waits for clients to disconnect.
    pub shutdown_timeout: ConfigDuration,
}

impl ServerConfig {
    /// Loopback: an operator must decide explicitly to accept clients of other machines.
    pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// 8000, the usual port of this protocol.
    pub const PORT: u16 = 8000;
    /// 100,000 connections need about 0.5 GB; the limit of open files is usually lower.
    pub const CONNECTIONS_MAX: u32 = 100_000;
    /// 256 MiB: 256 clients with a full send buffer of their own, or any number of clients that have not read the same
    /// publications, which need memory once.
    pub const SEND_BUFFERS_BYTES_MAX: ByteSize = ByteSize::from_mib(256);
    /// 64 MiB: 1,024 commands of the maximum length that arrive slowly at the same time.
    pub const INCOMPLETE_BYTES_MAX: ByteSize = ByteSize::from_mib(64);
    /// 4,096, the same as the listen backlog.
    pub const HANDSHAKES_MAX: u32 = 4096;
    /// 10 s: a request head is one packet; the remaining time is for slow mobile links.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    /// 16 KiB, as `HAProxy` and Node.js: cookies of a browser may have 4 KiB each, and proxies add tokens.
    pub const REQUEST_HEAD_BYTES_MAX: ByteSize = ByteSize::from_kib(16);
    /// 100, as Apache: browsers send about 20, and chains of proxies add dozens.
    pub const REQUEST_FIELDS_MAX: u32 = 100;
    /// 5 s, the protocol's timeout of a close handshake.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// 5 s: enough to send every close frame and receive the replies.
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: Self::ADDRESS,
            port: Self::PORT,
            shards: 0,
            allowed_origins: Vec::new(),
            connections_max: Self::CONNECTIONS_MAX,
            send_buffers_bytes_max: ConfigSize(Self::SEND_BUFFERS_BYTES_MAX),
            incomplete_bytes_max: ConfigSize(Self::INCOMPLETE_BYTES_MAX),
            handshakes_max: Self::HANDSHAKES_MAX,
            handshake_timeout: ConfigDuration(Self::HANDSHAKE_TIMEOUT),
            request_head_bytes_max: ConfigSize(Self::REQUEST_HEAD_BYTES_MAX),
            request_fields_max: Self::REQUEST_FIELDS_MAX,
            close_timeout: ConfigDuration(Self::CLOSE_TIMEOUT),
            shutdown_timeout: ConfigDuration(Self::SHUTDOWN_TIMEOUT),
        }
    }
}

/// Access and limits of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    /// Which clients may connect without a credential.
    pub anonymous: Anonymous,
    /// Whether the `data` of an anonymous client's connect command is shown to other clients.
    pub anonymous_info: bool,
    /// Whether subscribers may request join and leave pushes.
    pub join_leave: JoinLeaveChoice,
    /// Time between two pings.
    pub ping_interval: ConfigDuration,
    /// How long the gateway waits for bytes from a client after a ping.
    pub pong_timeout: ConfigDuration,
    /// How long a client may take to send its connect command.
    pub connect_timeout: ConfigDuration,
    /// How long a client whose connect command was rejected may take to close.
    pub rejected_close_timeout: ConfigDuration,
    /// How long a client's socket may accept nothing of its send buffer.
    pub write_timeout: ConfigDuration,
    /// How long a command that has begun to arrive may make no progress.
    pub message_timeout: ConfigDuration,
    /// The maximum number of bytes in a client's send buffer.
    pub send_buffer_bytes_max: ConfigSize,
    /// The size of the longest command, and of the longest publication.
    pub message_bytes_max: ConfigSize,
    /// The maximum number of subscriptions of one client.
    pub channels_max: u32,
    /// The maximum number of channels that one client creates per minute.
    pub new_channels_per_minute: u32,
    /// The maximum number of idempotency keys of one client in `store.dedup_window`.
    pub idempotency_keys_max: u32,
    /// The maximum number of pending requests of one client to the store.
    pub pending_requests_max: u32,
    /// The maximum number of publications in one reply.
    pub publications_per_reply_max: u32,
    /// The maximum number of payload bytes in the recovery replies of one client within five seconds.
    pub recovery_bytes_per_reply_max: ConfigSize,
    /// The maximum number of payload bytes in one history reply, or in one page of a recovery.
    pub publication_bytes_per_reply_max: ConfigSize,
    /// The maximum number of clients in one presence reply.
    pub presence_max: u32,
}

impl ClientConfig {
    /// 25 s, the protocol's default: SDKs disconnect when a ping is 10 s late.
    pub const PING_INTERVAL: Duration = Duration::from_secs(25);
    /// 8 s, the protocol's default.
    pub const PONG_TIMEOUT: Duration = Duration::from_secs(8);
    /// 10 s, the protocol's default.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// 5 s, the protocol's timeout after a rejected connect.
    pub const REJECTED_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
    /// 10 s: longer than a change of network takes, and than 16 kbit/s take for what the kernel holds of a connection;
    /// shorter than a ping interval.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
    /// 30 s: 16 kbit/s take that long for a command of the maximum length, of which each KiB is progress.
    pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
    /// 1 MiB, the protocol's default for the send buffer of one client.
    pub const SEND_BUFFER_BYTES_MAX: ByteSize = ByteSize::from_mib(1);
    /// 64 KiB, the protocol's default.
    pub const MESSAGE_BYTES_MAX: ByteSize = ByteSize::from_kib(64);
    /// 128, the protocol's default.
    pub const CHANNELS_MAX: u32 = 128;
    /// 200: a client that publishes to a hundred new channels at once creates them, and one that creates nothing else needs eight hours
    /// to use up the default of `store.channels_max`.
    pub const NEW_CHANNELS_PER_MINUTE: u32 = 200;
    /// 0, half of `store.idempotency_keys_max`: one connection cannot use up what all share, and a server that publishes over
    /// one connection gets as much as it can without that. By default these are 833 idempotent publications per second without
    /// end.
    pub const IDEMPOTENCY_KEYS_MAX: u32 = 0;
    /// 256: four times what the heaviest measured publisher keeps in flight.
    pub const PENDING_REQUESTS_MAX: u32 = 256;
    /// 300, the number that SDKs expect in one reply.
    pub const PUBLICATIONS_PER_REPLY_MAX: u32 = 300;
    /// 4 KiB: 16 kbit/s take two seconds for it, and SDKs wait five seconds for the reply to a subscribe command.
    pub const RECOVERY_BYTES_PER_REPLY_MAX: ByteSize = ByteSize::from_kib(4);
    /// 64 KiB, a sixteenth of the send buffer: four such replies and a page of a recovery may be sent in one loop
    /// iteration, before the client reads anything. They fit into the send buffer in addition to what it may already
    /// contain, so that replies alone never make a client a slow consumer.
    pub const PUBLICATION_BYTES_PER_REPLY_MAX: ByteSize = ByteSize::from_kib(64);
    /// 1,000 entries, which are about 100 KB.
    pub const PRESENCE_MAX: u32 = 1000;
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Loopback,
            anonymous_info: false,
            join_leave: JoinLeaveChoice::On,
            ping_interval: ConfigDuration(Self::PING_INTERVAL),
            pong_timeout: ConfigDuration(Self::PONG_TIMEOUT),
            connect_timeout: ConfigDuration(Self::CONNECT_TIMEOUT),
            rejected_close_timeout: ConfigDuration(Self::REJECTED_CLOSE_TIMEOUT),
            write_timeout: ConfigDuration(Self::WRITE_TIMEOUT),
            message_timeout: ConfigDuration(Self::MESSAGE_TIMEOUT),
            send_buffer_bytes_max: ConfigSize(Self::SEND_BUFFER_BYTES_MAX),
            message_bytes_max: ConfigSize(Self::MESSAGE_BYTES_MAX),
            channels_max: Self::CHANNELS_MAX,
            new_channels_per_minute: Self::NEW_CHANNELS_PER_MINUTE,
            idempotency_keys_max: Self::IDEMPOTENCY_KEYS_MAX,
            pending_requests_max: Self::PENDING_REQUESTS_MAX,
            publications_per_reply_max: Self::PUBLICATIONS_PER_REPLY_MAX,
            recovery_bytes_per_reply_max: ConfigSize(Self::RECOVERY_BYTES_PER_REPLY_MAX),
            publication_bytes_per_reply_max: ConfigSize(Self::PUBLICATION_BYTES_PER_REPLY_MAX),
            presence_max: Self::PRESENCE_MAX,
        }
    }
}

/// Which clients may connect without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Clients on this machine whose `Host` header is a loopback name, which a foreign web page cannot send.
    Loopback,
    /// All clients that can reach the port.
    All,
}

/// Whether subscribers may request join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinLeaveChoice {
    /// A subscriber gets the pushes that it requests.
    On,
    /// Requests for the pushes are ignored.
    Off,
}

/// Storage and retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Segment files or memory.
    pub kind: StoreKind,
    /// The data directory.
    pub directory: PathBuf,
    /// When a publication is acknowledged.
    pub fsync: Fsync,
    /// Time between two syncs with `fsync = "interval"`.
    pub fsync_interval: ConfigDuration,
    /// The size of one segment file.
    pub segment_bytes: ConfigSize,
    /// The maximum number of publications in the history of one channel.
    pub history_size: u64,
    /// How long a publication stays in the history.
    pub history_ttl: ConfigDuration,
    /// The maximum number of bytes of all segment files, or of all publications in memory.
    pub bytes_max: ConfigSize,
    /// The maximum number of bytes of one channel that may remove young publications of others; 0 selects a quarter of
    /// `bytes_max`.
    pub channel_bytes_max: ConfigSize,
    /// How long a channel keeps its epoch after its last publication.
    pub channel_ttl: ConfigDuration,
    /// The maximum number of channels at one time.
    pub channels_max: u32,
    /// How long the gateway remembers an idempotency key.
    pub dedup_window: ConfigDuration,
    /// The maximum number of idempotency keys that are remembered at one time.
    pub idempotency_keys_max: u32,
    /// The maximum number of bytes of publications that wait for the store.
    pub pending_bytes_max: ConfigSize,
}

impl StoreConfig {
    /// In the working directory, so that by default no file is written outside of it.
    pub const DIRECTORY: &'static str = "steadfast-data";
    /// 50 ms: a power failure may lose the publications of this time with `fsync = "interval"`.
    pub const FSYNC_INTERVAL: Duration = Duration::from_millis(50);
    /// 64 MiB: retention removes entire segments, so with 16 of them it removes a sixteenth at a time.
    pub const SEGMENT_BYTES: ByteSize = ByteSize::from_mib(64);
    /// 10,000 publications: three minutes of a channel with 50 per second.
    pub const HISTORY_SIZE: u64 = 10_000;
    /// 24 h: a client that was away for a night can recover.
    pub const HISTORY_TTL: Duration = Duration::from_hours(24);
    /// 1 GiB: crash recovery takes seconds.
    pub const BYTES_MAX: ByteSize = ByteSize::from_mib(1024);
    /// 0, a quarter of `bytes_max`: three channels above it at the same time still leave space for all others.
    pub const CHANNEL_BYTES_MAX: ByteSize = ByteSize::from_bytes(0);
    /// 30 days: a client that was away longer reloads.
    pub const CHANNEL_TTL: Duration = Duration::from_hours(30 * 24);
    /// 100,000: each needs about 100 bytes in every checkpoint, and less than a kilobyte in memory.
    pub const CHANNELS_MAX: u32 = 100_000;
    /// 2 min: longer than any reconnect after which a publication is resent.
    pub const DEDUP_WINDOW: Duration = Duration::from_mins(2);
    /// 200,000: 1,600 idempotent publications per second during the entire window. The default of `bytes_max` has space for
    /// a million keys of 36 characters.
    pub const IDEMPOTENCY_KEYS_MAX: u32 = 200_000;
    /// 64 MiB: 16 full batches, which a disk stores in about a second.
    pub const PENDING_BYTES_MAX: ByteSize = ByteSize::from_mib(64);
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Segments,
            directory: PathBuf::from(Self::DIRECTORY),
            fsync: Fsync::Always,
            fsync_interval: ConfigDuration(Self::FSYNC_INTERVAL),
            segment_bytes: ConfigSize(Self::SEGMENT_BYTES),
            history_size: Self::HISTORY_SIZE,
            history_ttl: ConfigDuration(Self::HISTORY_TTL),
            bytes_max: ConfigSize(Self::BYTES_MAX),
            channel_bytes_max: ConfigSize(Self::CHANNEL_BYTES_MAX),
            channel_ttl: ConfigDuration(Self::CHANNEL_TTL),
            channels_max: Self::CHANNELS_MAX,
            dedup_window: ConfigDuration(Self::DEDUP_WINDOW),
            idempotency_keys_max: Self::IDEMPOTENCY_KEYS_MAX,
            pending_bytes_max: ConfigSize(Self::PENDING_BYTES_MAX),
        }
    }
}

/// Segment files or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Segment files in the data directory.
    Segments,
    /// Memory: everything is lost when the process exits.
    Memory,
}

/// When a publication is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// After fsync. Publications that arrive together share one sync.
    Always,
    /// After the write, with fsync later, at an interval. After a crash every channel gets a new epoch.
    Interval,
    /// After the write, with fsync left to the kernel. After a crash every channel gets a new epoch.
    Never,
}

/// Features that exist for tests only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestConfig {
    /// Adds `/test/echo`, a plain WebSocket echo for conformance suites.
    pub echo: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON keys, offset, time and publisher of one publication in a reply.
    const ENVELOPE_BYTES: u64 = 160;

    #[test]
    fn all_replies_of_one_iteration_fit_into_the_send_buffer_after_what_it_may_contain_already() {
        let client = ClientConfig::default();
        let limit = client.send_buffer_bytes_max.0.as_bytes();
        let payloads = client.publication_bytes_per_reply_max.0.as_bytes();
        let reply = payloads + u64::from(client.publications_per_reply_max) * ENVELOPE_BYTES;

        // Four requests with large replies and one page of a recovery may be in flight. For each reply, only what the
        // send buffer contained before the iteration is considered; together with the payloads of the reply, this is at
        // most half of the limit.
        let buffered = limit / 2 - payloads;

        assert!(buffered + 5 * reply <= limit, "{buffered} + 5 * {reply}");
    }
}
