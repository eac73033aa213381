//! Validated settings of a hub.

use std::fmt;
use std::time::Duration;

use steadfast_protocol::limits::Limits;

use crate::quota::Quota;
use crate::timer_wheel::TICK;

/// Limits and timeouts of one hub. Not validated; [`HubPolicy`] is the validated form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    /// This hub's number, below `shards`.
    pub shard: u16,
    /// The number of hubs that share the log; at least 1.
    pub shards: u16,
    /// Name and version sent to clients.
    pub server: String,
    /// Time between two pings to the same peer; whole seconds, 1 s to 1 h. The first ping is sent after half an
    /// interval to a full interval.
    pub ping_interval: Duration,
    /// Maximum silence of a peer after a ping; shorter than `ping_interval`.
    pub pong_timeout: Duration,
    /// Maximum time until a peer sends its connect command.
    pub connect_timeout: Duration,
    /// Maximum time until a rejected peer closes its connection.
    pub rejected_close_timeout: Duration,
    /// Maximum time in which the socket of a peer accepts nothing of its send buffer before the peer counts as a slow
    /// consumer.
    pub write_timeout: Duration,
    /// Maximum time in which a command that has begun makes no progress: neither ends nor gets another KiB.
    pub message_timeout: Duration,
    /// Maximum size of the send buffer of one peer. Subscribers get past a publication above half of it with a gap.
    pub send_buffer_bytes_max: usize,
    /// Maximum memory of the send buffers of all peers, in bytes; at least `send_buffer_bytes_max`. Above it, the peers
    /// with the largest send buffers are closed as slow consumers.
    pub unsent_memory_bytes_max: usize,
    /// Maximum memory of the incomplete commands of all peers, in bytes; at least `limits.message_bytes`. Above it, the
    /// peers whose commands have made no progress for the longest time are closed.
    pub incomplete_bytes_max: usize,
    /// Maximum number of open sessions of this hub; above it, connect commands are rejected with error 111.
    /// Connections, including those without a session, are limited to twice this number; above that number, new
    /// connections are closed with 1013.
    pub peers_max: usize,
    /// Maximum number of subscriptions of one peer.
    pub channels_per_peer_max: usize,
    /// How many channels one peer may create by publishing to them. Above it, its publications to channels that do not
    /// exist are rejected with error 111.
    pub new_channels_per_peer: Quota,
    /// How many idempotency keys one peer may use; a repeat does not count. Above it, its publications with a key are
    /// rejected with error 111.
    pub keys_per_peer: Quota,
    /// Maximum number of pending requests of one peer; at the limit the peer is not read from, and its commands are
    /// queued. A request whose response may be large (history, recovery, presence), and a command that waits for an
    /// earlier one in its channel, count as a quarter of the limit.
    pub pending_requests_per_peer_max: usize,
    /// Maximum number of pending requests of this hub to the log, and of its pending presence queries; above it, both
    /// are rejected with error 111.
    pub pending_requests_max: usize,
    /// Maximum number of bytes of this hub's pending appends, with about 512 bytes for each; at least 4 KiB. Above it,
    /// publications are rejected with error 111, but a single append is accepted whatever its size is.
    pub pending_request_bytes_max: usize,
    /// Maximum number of channels that are read at once after this hub lagged; the other ones wait for their turn. Each
    /// response may have the size of a recovery page.
    pub catch_up_reads_max: usize,
    /// Maximum number of publications in one recovery reply or page of pushes.
    pub recovery_publications_max: usize,
    /// Maximum payload bytes in the recovery replies of a peer within five seconds; at most `recovery_bytes_max`. The
    /// rest follows as pushes.
    pub recovery_reply_bytes_max: usize,
    /// Maximum payload bytes in one page of pushes.
    pub recovery_bytes_max: usize,
    /// Maximum number of publications in one history reply.
    pub history_publications_max: usize,
    /// Maximum number of clients in one presence reply; above it, error 106.
    pub presence_clients_max: usize,
    /// Maximum time until all shards respond to a presence query.
    pub presence_timeout: Duration,
    /// Whether subscribers may request join and leave pushes.
    pub join_leave: JoinLeave,
    /// How the connect data of an anonymous client is used.
    pub anonymous_info: AnonymousInfo,
    /// Who decides whether a client may connect.
    pub connect_decider: ConnectDecider,
    /// Size limits of what a peer sends.
    pub limits: Limits,
}

/// Whether subscribers may request join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinLeave {
    /// Subscribers may request join and leave pushes.
    On,
    /// Join and leave pushes are not available, and shards do not exchange them.
    Off,
}

/// What applies to one channel. Resolved when the channel is opened, and kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelOptions {
    pub(crate) join_leave: JoinLeave,
}

/// How the connect data of an anonymous client is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousInfo {
    /// Ignored, because it is not authenticated.
    Ignored,
    /// A JSON object of at most [`HubSettings::CONN_INFO_BYTES_MAX`] bytes is shown to other clients as the client's
    /// info.
    Shown,
}

/// Who decides whether a client may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectDecider {
    /// The hub, at once: every client that may connect without a credential is anonymous, and no token is valid.
    Hub,
    /// Something outside of the hub that takes time, such as a check of tokens or an application. The hub requests each
    /// decision from the shell and queues the commands of the client until it arrives.
    Outside {
        /// Maximum time until a decision arrives; at least 100 ms. After that, the connect command is rejected with a
        /// temporary error.
        timeout: Duration,
        /// Maximum number of pending decisions, including those for peers that have left; at least 1. Above it, connect
        /// commands are rejected with error 111.
        pending_max: usize,
    },
}

impl HubSettings {
    /// 1 KiB is enough for a name, a colour and the address of a picture; the info is repeated in every presence reply
    /// and every join.
    pub const CONN_INFO_BYTES_MAX: usize = 1024;

    /// Maximum payload bytes in one history reply: a quarter of the send buffer, or that of a recovery page if it is
    /// more. The client has requested this many publications, so the reply may be larger than a recovery page, which no
    /// limit of the client bounds.
    pub fn history_bytes_max(&self) -> usize {
        (self.send_buffer_bytes_max / 4).max(self.recovery_bytes_max)
    }

    /// The longest payload of a publication that a send buffer can hold, whatever the encoding adds to it. A longer one
    /// was stored under other settings.
    pub(crate) const fn publication_bytes_max(&self) -> usize {
        self.send_buffer_bytes_max / 2
    }
}

/// The reason with which peers are closed because [`HubSettings::incomplete_bytes_max`] is exceeded.
pub const INCOMPLETE_BYTES_REASON: &str =
    "too many requests: too many bytes of incomplete commands";

/// A field of [`HubSettings`] that can be out of range, or that is a limit which a hub reports.
///
/// A shell maps each of them to its own key by an exhaustive match, so that an error or an event never names a key that
/// has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "HubSettings documents the fields")]
pub enum HubSetting {
    Shard,
    Shards,
    PingInterval,
    PongTimeout,
    ConnectTimeout,
    RejectedCloseTimeout,
    WriteTimeout,
    MessageTimeout,
    SendBufferBytesMax,
    UnsentMemoryBytesMax,
    CommandBytesMax,
    IncompleteBytesMax,
    PeersMax,
    ChannelsPerPeerMax,
    NewChannelsPerPeer,
    KeysPerPeer,
    PendingRequestsPerPeerMax,
    PendingRequestsMax,
    PendingRequestBytesMax,
    CatchUpReadsMax,
    RecoveryPublicationsMax,
    RecoveryReplyBytesMax,
    RecoveryBytesMax,
    HistoryPublicationsMax,
    PresenceClientsMax,
    PresenceTimeout,
    DecisionTimeout,
    PendingDecisionsMax,
}

impl HubSetting {
    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Shards => "shards",
            Self::PingInterval => "ping_interval",
            Self::PongTimeout => "pong_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::RejectedCloseTimeout => "rejected_close_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::MessageTimeout => "message_timeout",
            Self::SendBufferBytesMax => "send_buffer_bytes_max",
            Self::UnsentMemoryBytesMax => "unsent_memory_bytes_max",
            Self::CommandBytesMax => "limits.message_bytes",
            Self::IncompleteBytesMax => "incomplete_bytes_max",
            Self::PeersMax => "peers_max",
            Self::ChannelsPerPeerMax => "channels_per_peer_max",
            Self::NewChannelsPerPeer => "new_channels_per_peer",
            Self::KeysPerPeer => "keys_per_peer",
            Self::PendingRequestsPerPeerMax => "pending_requests_per_peer_max",
            Self::PendingRequestsMax => "pending_requests_max",
            Self::PendingRequestBytesMax => "pending_request_bytes_max",
            Self::CatchUpReadsMax => "catch_up_reads_max",
            Self::RecoveryPublicationsMax => "recovery_publications_max",
            Self::RecoveryReplyBytesMax => "recovery_reply_bytes_max",
            Self::RecoveryBytesMax => "recovery_bytes_max",
            Self::HistoryPublicationsMax => "history_publications_max",
            Self::PresenceClientsMax => "presence_clients_max",
            Self::PresenceTimeout => "presence_timeout",
            Self::DecisionTimeout => "connect_decider.timeout",
            Self::PendingDecisionsMax => "connect_decider.pending_max",
        }
    }
}

impl fmt::Display for HubSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A setting outside its valid range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {expected}")]
pub struct HubPolicyError {
    /// The field of [`HubSettings`].
    pub setting: HubSetting,
    /// The valid range, in words.
    pub expected: &'static str,
}

/// Settings that have been validated.
#[derive(Clone, Debug)]
pub struct HubPolicy(HubSettings);

impl HubPolicy {
    /// The validated settings.
    pub const fn settings(&self) -> &HubSettings {
        &self.0
    }

    /// The options of a channel. All channels are in one namespace, so its name does not matter yet.
    pub(crate) const fn channel_options(&self, _name: &str) -> ChannelOptions {
        ChannelOptions {
            join_leave: self.0.join_leave,
        }
    }

    /// Seconds between pings, as sent to clients.
    pub(crate) fn ping_seconds(&self) -> u32 {
        u32::try_from(self.0.ping_interval.as_secs()).expect("a policy permits an hour at most")
    }
}

impl TryFrom<HubSettings> for HubPolicy {
    type Error = HubPolicyError;

    fn try_from(settings: HubSettings) -> Result<Self, HubPolicyError> {
        let violated = time_rules(&settings)
            .into_iter()
            .chain(size_rules(&settings))
            .chain(quota_rules(&settings))
            .chain(decision_rules(settings.connect_decider))
            .find(|rule| !rule.0);
        match violated {
            Some((_, setting, expected)) => Err(HubPolicyError { setting, expected }),
            None => Ok(Self(settings)),
        }
    }
}

/// Whether a rule is satisfied, which setting it is about, and what it requires.
type Rule = (bool, HubSetting, &'static str);

fn time_rules(s: &HubSettings) -> [Rule; 9] {
    let ping = s.ping_interval;
    let a_tick = "at least 100 ms";
    [
        (
            ping.subsec_nanos() == 0,
            HubSetting::PingInterval,
            "a whole number of seconds",
        ),
        (
            (1..=3600).contains(&ping.as_secs()),
            HubSetting::PingInterval,
            "from 1 s to 1 h",
        ),
        (s.pong_timeout >= TICK, HubSetting::PongTimeout, a_tick),
        (
            s.pong_timeout < ping,
            HubSetting::PongTimeout,
            "shorter than the ping interval",
        ),
        (
            s.connect_timeout >= TICK,
            HubSetting::ConnectTimeout,
            a_tick,
        ),
        (
            s.rejected_close_timeout >= TICK,
            HubSetting::RejectedCloseTimeout,
            a_tick,
        ),
        (s.write_timeout >= TICK, HubSetting::WriteTimeout, a_tick),
        (
            s.message_timeout >= TICK,
            HubSetting::MessageTimeout,
            a_tick,
        ),
        (
            s.presence_timeout >= TICK,
            HubSetting::PresenceTimeout,
            a_tick,
        ),
    ]
}

fn decision_rules(decider: ConnectDecider) -> [Rule; 2] {
    let (timeout, pending_max) = match decider {
        ConnectDecider::Hub => (TICK, 1),
        ConnectDecider::Outside {
            timeout,
            pending_max,
        } => (timeout, pending_max),
    };
    [
        (
            timeout >= TICK,
            HubSetting::DecisionTimeout,
            "at least 100 ms",
        ),
        (
            pending_max >= 1,
            HubSetting::PendingDecisionsMax,
            "at least 1",
        ),
    ]
}

fn quota_rules(s: &HubSettings) -> [Rule; 2] {
    let expected = "at least 1 in at least 1 s";
    [
        (s.new_channels_per_peer, HubSetting::NewChannelsPerPeer),
        (s.keys_per_peer, HubSetting::KeysPerPeer),
    ]
    .map(|(quota, setting)| {
        let is_valid = quota.uses_max >= 1 && quota.period >= Duration::from_secs(1);
        (is_valid, setting, expected)
    })
}

fn size_rules(s: &HubSettings) -> [Rule; 15] {
    let one = "at least 1";
    [
        (s.shards >= 1, HubSetting::Shards, one),
        (s.shard < s.shards, HubSetting::Shard, "below shards"),
        (
            s.send_buffer_bytes_max >= 4096,
            HubSetting::SendBufferBytesMax,
            "at least 4 KiB",
        ),
        (
            s.unsent_memory_bytes_max >= s.send_buffer_bytes_max,
            HubSetting::UnsentMemoryBytesMax,
            "at least send_buffer_bytes_max",
        ),
        (
            s.incomplete_bytes_max >= s.limits.message_bytes,
            HubSetting::IncompleteBytesMax,
            "at least limits.message_bytes",
        ),
        (s.peers_max >= 1, HubSetting::PeersMax, one),
        (
            s.channels_per_peer_max >= 1,
            HubSetting::ChannelsPerPeerMax,
            one,
        ),
        (
            s.pending_requests_per_peer_max >= 1,
            HubSetting::PendingRequestsPerPeerMax,
            one,
        ),
        (
            s.pending_requests_max >= s.pending_requests_per_peer_max,
            HubSetting::PendingRequestsMax,
            "at least pending_requests_per_peer_max",
        ),
        (
            s.pending_request_bytes_max >= 4096,
            HubSetting::PendingRequestBytesMax,
            "at least 4 KiB",
        ),
        (s.catch_up_reads_max >= 1, HubSetting::CatchUpReadsMax, one),
        (
            s.recovery_publications_max >= 1,
            HubSetting::RecoveryPublicationsMax,
            one,
        ),
        (
            s.recovery_reply_bytes_max >= 1024,
            HubSetting::RecoveryReplyBytesMax,
            "at least 1 KiB",
        ),
        (
            s.recovery_bytes_max >= s.recovery_reply_bytes_max,
            HubSetting::RecoveryBytesMax,
            "at least recovery_reply_bytes_max",
        ),
        (
            s.history_publications_max >= 1,
            HubSetting::HistoryPublicationsMax,
            one,
        ),
    ]
}
