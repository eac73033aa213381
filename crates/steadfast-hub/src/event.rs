//! Events of a hub for diagnostics: names in the past tense, and the fields that a log line needs, never payloads.

use std::time::Duration;

use steadfast_engine::Rejection;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::ChannelName;

use crate::ids::{ClientId, PeerId};
use crate::policy::HubSetting;

/// Something that an operator may need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Event {
    /// A peer's connect command succeeded.
    PeerConnected { peer: PeerId, client: ClientId },
    /// A connection was closed.
    PeerClosed {
        peer: PeerId,
        client: ClientId,
        /// Who closed the connection, with code and reason.
        closed_by: ClosedBy,
        /// Time since the connection was accepted.
        duration: Duration,
        /// Time since the peer's last activity.
        idle: Duration,
    },
    /// Commands were rejected, or connections refused, because a limit of the hub is reached. The first rejection is
    /// reported at once, further rejections at most once a second.
    LimitReached {
        limit: HubLimit,
        /// The number of rejections since the last report.
        count: u64,
    },
    /// This shard lagged behind the log and reads its channels again.
    ShardLagged {
        /// The number of channels that are read again.
        channels: usize,
    },
    /// Subscriptions of a channel were closed with a code whose advice is to recover: their position could not be
    /// continued on this shard.
    PositionLost {
        channel: ChannelName,
        /// The number of closed subscriptions.
        subscriptions: usize,
    },
    /// A message without a channel was ignored: it has no receiver.
    SendIgnored { peer: PeerId },
    /// A command was rejected because it is invalid, or exceeds a limit of what peers send.
    CommandInvalid {
        peer: PeerId,
        /// What is wrong with it; it quotes nothing of what was received.
        error: DecodeError,
    },
    /// The data of a connect command is not shown to other clients: it is not a JSON object, or it is too long.
    InfoIgnored { peer: PeerId },
    /// The log rejected requests. The first rejection is reported at once, further rejections at most once a second.
    RequestsRejected {
        rejection: Rejection,
        /// The number of rejections since the last report.
        count: u64,
    },
    /// Slow consumers were closed, because the send buffers of all peers need too much memory. The first one is reported
    /// at once, further ones at most once a second.
    UnsentMemoryLimitReached {
        /// The number of closed peers since the last report.
        count: u64,
    },
    /// Decisions about connect commands did not arrive in time. The first one is reported at once, further ones at most
    /// once a second.
    DecisionsTimedOut {
        /// The number of decisions since the last report.
        count: u64,
    },
    /// Decisions about connect commands arrived after their time, and had no effect. The first one is reported at once,
    /// further ones at most once a second.
    DecisionsLate {
        /// The number of decisions since the last report.
        count: u64,
    },
    /// Messages to a shard were dropped, because its inbox was full: its clients miss joins and leaves, and presence
    /// queries time out. The first dropped message is reported at once, further ones at most once a second.
    ShardMessagesDropped {
        /// The shard that did not receive them.
        shard: u16,
        /// The number of dropped messages since the last report.
        count: u64,
    },
}

/// A limit of a hub at which it rejects commands or refuses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HubLimit {
    /// The connections of the hub, including those without a session.
    Connections,
    /// The open sessions of the hub.
    Sessions,
    /// The subscriptions of one peer.
    ChannelsPerPeer,
    /// The pending requests of the hub to the log.
    PendingRequests,
    /// The bytes of the pending requests of the hub to the log.
    PendingRequestBytes,
    /// The pending presence queries of the hub.
    PresenceQueries,
    /// The channels that one peer has created lately.
    NewChannelsPerPeer,
    /// The idempotency keys that one peer has used lately.
    KeysPerPeer,
    /// The pending decisions about connect commands.
    PendingDecisions,
    /// The clients in one presence reply.
    PresenceClients,
    /// The length of one command.
    CommandBytes,
    /// The memory of the incomplete commands of all peers.
    IncompleteBytes,
}

impl HubLimit {
    /// The setting that determines the limit.
    pub const fn setting(self) -> HubSetting {
        match self {
            Self::Connections | Self::Sessions => HubSetting::PeersMax,
            Self::ChannelsPerPeer => HubSetting::ChannelsPerPeerMax,
            Self::PendingRequests | Self::PresenceQueries => HubSetting::PendingRequestsMax,
            Self::PendingRequestBytes => HubSetting::PendingRequestBytesMax,
            Self::NewChannelsPerPeer => HubSetting::NewChannelsPerPeer,
            Self::KeysPerPeer => HubSetting::KeysPerPeer,
            Self::PendingDecisions => HubSetting::PendingDecisionsMax,
            Self::PresenceClients => HubSetting::PresenceClientsMax,
            Self::CommandBytes => HubSetting::CommandBytesMax,
            Self::IncompleteBytes => HubSetting::IncompleteBytesMax,
        }
    }
}

/// Who closed a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ClosedBy {
    /// The gateway, with this code and reason.
    Server { code: u16, reason: String },
    /// The client, with a close frame. The code is `None` if the frame has none.
    Client { code: Option<u16>, reason: String },
    /// The stream ended without a close frame.
    EndOfStream,
    /// Reading or writing failed.
    IoError,
}
