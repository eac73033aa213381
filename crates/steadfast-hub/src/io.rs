//! Inputs and outputs of a hub.

use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use steadfast_engine::{ChannelEpoch, EngineEvent, Request};
use steadfast_machine::Timestamp;
use steadfast_protocol::codec::IncompleteCommand;
use steadfast_protocol::codes::{DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, Command, ConnectRequest, PayloadKind, Reply,
};

use crate::event::Event;
pub use crate::identity::Identity;
pub use crate::ids::{ClientId, PeerId};

/// Whether a connection may connect without a credential, as the shell determined before the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// May connect without a credential.
    Anonymous,
    /// Must present a credential.
    CredentialNeeded,
}

/// A connect command that the hub does not decide itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectAttempt {
    /// The identity of the connection's client.
    pub client: ClientId,
    /// Whether the client must present a credential.
    pub access: Access,
    /// What the client sent: its token, data, name and version.
    pub request: ConnectRequest,
}

/// Whether a client may connect, decided outside of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectDecision {
    /// The client may connect, and is this one.
    Accept(Identity),
    /// The connect command is rejected with this error.
    Reject(ErrorCode),
    /// The connection is closed with this code.
    Disconnect(DisconnectCode),
}

/// What happens to a send buffer when its connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The close frame follows everything else.
    Send,
    /// The close frame follows the frame that is being written, and everything else is discarded: the peer does not
    /// accept it, and recovers what it misses.
    Discard,
}

/// A call of the server's API. The shell chooses the number, and the reply repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiCall(pub u64);

/// What an application publishes through the API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct ApiPublication {
    pub channel: String,
    pub kind: PayloadKind,
    pub data: Bytes,
    /// Publishing again with the same key stores nothing and returns the first result.
    pub idempotency_key: Option<Bytes>,
}

/// Where a publication is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The epoch of its channel.
    pub epoch: ChannelEpoch,
    /// Its offset in the channel.
    pub offset: u64,
    /// True when the idempotency key was known and nothing was stored.
    pub is_duplicate: bool,
}

/// Why a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ConnectionLoss {
    /// The peer sent a close frame; code and reason are the peer's. The code is `None` if the frame has none.
    CloseFrame { code: Option<u16>, reason: String },
    /// The peer closed the stream without a close frame.
    EndOfStream,
    /// Reading or writing failed, for example because of a connection reset.
    IoError,
}

/// A message between shards. It is not stored, and it may be dropped: the inbox of each shard is bounded. A shard
/// receives the messages of one sender in the order in which they were sent, in no order with the events of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ShardMessage {
    /// A client subscribed.
    Join {
        channel: ChannelName,
        info: ClientInfo,
    },
    /// A client's subscription ended.
    Leave {
        channel: ChannelName,
        info: ClientInfo,
    },
    /// A query to all shards for the clients of a channel.
    PresenceQuery {
        /// The shard that sent the query.
        shard: u16,
        /// Chosen by that shard; each response contains this number.
        number: u64,
        channel: ChannelName,
        detail: PresenceDetail,
    },
    /// The response of one shard, for the shard that sent the query.
    PresenceResponse {
        /// The shard that sent the query.
        shard: u16,
        /// The number of its query.
        number: u64,
        /// The clients on the responding shard.
        presence: ShardPresence,
    },
}

/// The shards to which a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Every shard, including the sender.
    AllShards,
    /// One shard, which may be the sender.
    Shard(u16),
}

impl ShardMessage {
    /// The number of a presence query; `None` for every other message.
    pub const fn query(&self) -> Option<u64> {
        match self {
            Self::PresenceQuery { number, .. } => Some(*number),
            Self::Join { .. } | Self::Leave { .. } | Self::PresenceResponse { .. } => None,
        }
    }

    /// The approximate size of the message in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            Self::Join { channel, info } | Self::Leave { channel, info } => {
                channel.as_str().len() + info_bytes(info)
            }
            Self::PresenceQuery { channel, .. } => channel.as_str().len(),
            Self::PresenceResponse { presence, .. } => match presence {
                ShardPresence::Clients(clients) => clients.iter().map(info_bytes).sum(),
                ShardPresence::Counts { users, .. } => {
                    users.iter().map(|user| 64 + user.len()).sum()
                }
            },
        };
        size_of::<Self>() + texts
    }

    /// The shards to which the message is sent.
    pub const fn destination(&self) -> Destination {
        match self {
            Self::Join { .. } | Self::Leave { .. } | Self::PresenceQuery { .. } => {
                Destination::AllShards
            }
            Self::PresenceResponse { shard, .. } => Destination::Shard(*shard),
        }
    }
}

fn info_bytes(info: &ClientInfo) -> usize {
    let ClientInfo {
        user,
        client,
        conn_info,
        chan_info,
    } = info;
    let info = [conn_info, chan_info].into_iter().flatten();
    size_of::<ClientInfo>() + user.len() + client.len() + info.map(Bytes::len).sum::<usize>()
}

/// What a presence query requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceDetail {
    /// All clients; at most one more than a reply may contain.
    Clients,
    /// Only the numbers of clients and users.
    Counts,
}

/// The presence of a channel on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum ShardPresence {
    Clients(Vec<ClientInfo>),
    Counts {
        clients: u32,
        /// The distinct users, so that the sum over all shards counts each user once.
        users: BTreeSet<String>,
    },
}

/// An event that the shell reports to the hub.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Input {
    /// A connection was upgraded to WebSocket. The client identity is random.
    Accepted {
        peer: PeerId,
        client: ClientId,
        access: Access,
    },
    /// A command arrived, or what should have been a command could not be decoded. The commands of one message are one
    /// input each, in their order; the driver stops decoding once the hub has closed or paused its peer.
    CommandReceived {
        peer: PeerId,
        command: Result<Command, DecodeError>,
        /// The wall-clock time, which the reply to a connect command contains.
        at: Timestamp,
    },
    /// Bytes arrived that complete no command, or a control frame: the peer is active.
    BytesReceived { peer: PeerId },
    /// A command has begun or continued, and its end has not arrived; `None` once the command of the last such input has
    /// ended and no other has begun. Reported at the end of each read that changes it.
    Incomplete {
        peer: PeerId,
        command: Option<IncompleteCommand>,
    },
    /// The bytes are not valid WebSocket traffic; the shell determined this close code for them.
    Malformed {
        peer: PeerId,
        /// RFC 6455 close code, for example 1002, 1007, 1009.
        code: u16,
        /// Plain text for the close frame.
        reason: &'static str,
    },
    /// The connection was lost.
    Lost { peer: PeerId, loss: ConnectionLoss },
    /// A write was short, and the send buffer now holds `bytes`. Reported again whenever bytes are added to the send
    /// buffer.
    SendBuffer {
        peer: PeerId,
        /// The size of the send buffer.
        bytes: usize,
    },
    /// The socket accepted some bytes of the send buffer; others remain in it. So the peer has acknowledged earlier
    /// bytes: otherwise the socket would have no space.
    Written { peer: PeerId, bytes: usize },
    /// The send buffer is empty.
    Drained { peer: PeerId },
    /// A ping is in the send buffer, before everything that can follow it. It is written once the socket has accepted
    /// this many bytes.
    PingBuffered { peer: PeerId, bytes: usize },
    /// The memory that all send buffers need now, in which what several peers have not accepted counts once. Reported
    /// at the end of each loop iteration in which it is not 0, and again after each peer that the hub closes in
    /// response.
    UnsentMemory { bytes: usize },
    /// An application published through the API.
    ApiPublishReceived {
        call: ApiCall,
        publication: ApiPublication,
    },
    /// The engine delivered its next events for this shard, in its order.
    Engine { events: Vec<EngineEvent> },
    /// A message from any shard arrived, including this one.
    ShardMessageReceived { message: ShardMessage },
    /// A message of this hub was dropped: the inbox of this shard is full.
    ShardMessageDropped {
        shard: u16,
        /// The number of the presence query that was dropped, if the message was one; it fails at once.
        query: Option<u64>,
    },
    /// A requested decision arrived. One that arrives too late, or for a peer that has left, has no effect.
    Decided {
        /// The number in [`Output::Decide`].
        number: u64,
        decision: ConnectDecision,
        /// The wall-clock time, which the reply to the connect command contains.
        at: Timestamp,
    },
    /// The process is shutting down: close every peer with a code whose advice is to reconnect.
    ShutdownRequested,
    /// A deadline may have passed.
    Tick,
}

/// What the shell must do for the hub.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum Output {
    /// Send this message to one peer, in its encoding. Consecutive messages for the same peer may share a frame.
    Send { peer: PeerId, message: Reply },
    /// Send this message to many peers, encoded once for each encoding that they use.
    Fanout {
        message: Reply,
        /// The receivers. Shared with the hub, which copies the list only if it changes while this output is still
        /// queued.
        to: Rc<Vec<PeerId>>,
    },
    /// Send a close frame and close the connection. The hub has already removed the peer.
    Disconnect {
        peer: PeerId,
        code: u16,
        /// Plain text, never empty, at most 123 bytes.
        reason: String,
        /// What is sent before the close frame.
        unsent: Unsent,
    },
    /// Stop reading from this peer: it has too many pending requests. The driver keeps what it has read already as it
    /// is, and feeds no command of it until reading resumes.
    PauseReading { peer: PeerId },
    /// Handle what was kept of this peer, then read from it again.
    ResumeReading { peer: PeerId },
    /// Send this request to the engine.
    Request(Request),
    /// Reply to an application: its publication is committed and has been delivered to every shard, or it is rejected.
    ReplyToApi {
        call: ApiCall,
        outcome: Result<Published, ErrorCode>,
    },
    /// Decide whether a client may connect, and report the decision with this number. Only a hub whose policy says that
    /// something outside of it decides emits this.
    Decide {
        number: u64,
        attempt: Box<ConnectAttempt>,
    },
    /// Send this message to the inboxes of its destination. A message that does not fit is dropped and reported.
    Broadcast(ShardMessage),
    /// Report this event for diagnostics.
    Notify(Event),
}
