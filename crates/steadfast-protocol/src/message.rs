//! Messages of the Centrifuge stream protocol, version 2, independent of their encoding.
//!
//! Commands travel from client to server; replies and pushes travel back. Payloads are raw JSON in shared buffers:
//! no part of Steadfast reads them. The two roles use the same types, so a codec round trip is a property test.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The name of a channel: cheap to clone, ordered, immutable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChannelName {
    fn from(name: &str) -> Self {
        Self(Arc::from(name))
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a channel's history: the publications up to and including `offset` have been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Identifies the history that the offset counts in; opaque to clients.
    pub epoch: String,
    /// The last publication seen; 0 before the first.
    pub offset: u64,
}

/// One command of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Above 0 for everything that wants a reply; 0 for [`Request::Send`] and [`Request::Pong`].
    pub id: u32,
    /// What is asked.
    pub request: Request,
}

/// What a command asks for. When a command names several, the first in this order wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Opens the session of this connection; must come first.
    Connect(ConnectRequest),
    /// Starts a subscription, at a position if one is given.
    Subscribe(SubscribeRequest),
    /// Ends a subscription.
    Unsubscribe(ChannelRequest),
    /// Publishes into a channel, without a key.
    Publish(PublishRequest),
    /// Asks who is in a channel.
    Presence(ChannelRequest),
    /// Asks how many are in a channel.
    PresenceStats(ChannelRequest),
    /// Asks for publications of the past.
    History(HistoryRequest),
    /// The `ping` command (field 11), which no server of this protocol supports.
    Ping,
    /// A message without a reply.
    Send(SendRequest),
    /// A call of a method.
    Rpc(RpcRequest),
    /// Hands in a fresh connection token.
    Refresh(RefreshRequest),
    /// Hands in a fresh subscription token.
    SubRefresh(SubRefreshRequest),
    /// The answer to a server's ping: a command with id 0 and nothing in it.
    Pong,
}

/// The first command of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectRequest {
    /// A JSON Web Token; empty for none.
    pub token: String,
    /// Application data, raw JSON.
    pub data: Option<Bytes>,
    /// Positions of server-side subscriptions to resume.
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// The kind of client, for example `js`.
    pub name: String,
    /// The version of the client.
    pub version: String,
    /// Emulated headers.
    pub headers: BTreeMap<String, String>,
}

/// Starts a subscription.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the protocol's own fields, independent of each other"
)]
pub struct SubscribeRequest {
    /// The channel; empty inside [`ConnectRequest::subs`].
    pub channel: String,
    /// A subscription token; empty for none.
    pub token: String,
    /// True when the client asks for what it missed after `position`.
    pub recover: bool,
    /// Where the client stands; the default position when it has none.
    pub position: Position,
    /// Application data, raw JSON.
    pub data: Option<Bytes>,
    /// The client wants the server to watch its position.
    pub positioned: bool,
    /// The client wants to be able to recover.
    pub recoverable: bool,
    /// The client wants join and leave pushes.
    pub join_leave: bool,
    /// The delta format asked for, for example `fossil`; empty for none.
    pub delta: String,
    /// Feature bits: 1 offers channel compaction, 2 wants error 112 rather than an unrecovered subscription.
    pub flag: i64,
    /// The kind of subscription; 0 is a stream, all others are experimental.
    pub kind: i32,
    /// True when a tags filter was sent.
    pub has_filter: bool,
}

/// A request that names only a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRequest {
    /// The channel.
    pub channel: String,
}

/// Publishes into a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishRequest {
    /// The channel.
    pub channel: String,
    /// The payload, raw JSON.
    pub data: Bytes,
    /// The kind of publication; 0 is a stream, all others are experimental.
    pub kind: i32,
}

/// Asks for publications of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryRequest {
    /// The channel.
    pub channel: String,
    /// How many: 0 asks for the position only, -1 for as many as the server gives.
    pub limit: i32,
    /// Where to begin, exclusive.
    pub since: Option<Position>,
    /// True for newest first.
    pub reverse: bool,
}

/// A message without a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendRequest {
    /// The payload, raw JSON.
    pub data: Bytes,
}

/// A call of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcRequest {
    /// The method.
    pub method: String,
    /// Its argument, raw JSON; empty when absent.
    pub data: Bytes,
}

/// Hands in a fresh connection token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshRequest {
    /// The token.
    pub token: String,
}

/// Hands in a fresh subscription token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubRefreshRequest {
    /// The channel.
    pub channel: String,
    /// The token.
    pub token: String,
}

/// One message of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The answer to the command with this id.
    Answer {
        /// The command's id, above 0.
        id: u32,
        /// What came of it.
        outcome: Result<ReplyResult, ReplyError>,
    },
    /// Something that the client did not ask for now.
    Push(Push),
    /// The server's ping: an empty reply.
    Ping,
}

/// A refusal in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// The number from the table of codes.
    pub code: u32,
    /// A text that is never empty.
    pub message: String,
    /// True when the same request may succeed later.
    pub temporary: bool,
}

/// The result inside a successful reply; always present, even when it is empty.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyResult {
    /// The session is open.
    Connect(ConnectResult),
    /// The subscription is live.
    Subscribe(SubscribeResult),
    /// The subscription is gone.
    Unsubscribe,
    /// The publication is durable.
    Publish,
    /// Who is in the channel, by client id.
    Presence(BTreeMap<String, ClientInfo>),
    /// How many are in the channel.
    PresenceStats(PresenceStats),
    /// Publications of the past.
    History(HistoryResult),
    /// The answer to a `ping` command.
    Ping,
    /// What the method returned, raw JSON.
    Rpc(Bytes),
    /// The connection's token was renewed.
    Refresh(RefreshResult),
    /// The subscription's token was renewed.
    SubRefresh(SubRefreshResult),
}

/// The session is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResult {
    /// The id of this connection's client; never empty.
    pub client: String,
    /// The server's name and version.
    pub version: String,
    /// True when the connection ends unless its token is renewed.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
    /// Application data, raw JSON.
    pub data: Option<Bytes>,
    /// The interval of the server's pings in seconds; 0 for none.
    pub ping: u32,
    /// True when the client must answer pings.
    pub pong: bool,
    /// The server's wall clock, milliseconds since the Unix epoch; 0 when not told.
    pub time: i64,
}

/// The subscription is live.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the protocol's own fields, independent of each other"
)]
pub struct SubscribeResult {
    /// True when the subscription ends unless its token is renewed.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
    /// True when the client shall keep its position and offer it again.
    pub recoverable: bool,
    /// Where the subscription begins: the requested offset when recovered, else the top.
    pub position: Position,
    /// What was missed, oldest first; empty unless recovered.
    pub publications: Vec<Publication>,
    /// True when nothing is missing between the requested position and what follows.
    pub recovered: bool,
    /// True when the server watches the position.
    pub positioned: bool,
    /// Application data, raw JSON.
    pub data: Option<Bytes>,
    /// True when the client had asked to recover.
    pub was_recovering: bool,
}

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub num_clients: u32,
    /// Different users among them.
    pub num_users: u32,
}

/// Publications of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryResult {
    /// In the order asked for.
    pub publications: Vec<Publication>,
    /// The channel's top.
    pub position: Position,
}

/// The connection's token was renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshResult {
    /// The id of this connection's client.
    pub client: String,
    /// The server's name and version.
    pub version: String,
    /// True when the new token ends as well.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
}

/// The subscription's token was renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubRefreshResult {
    /// True when the new token ends as well.
    pub expires: bool,
    /// Seconds until then.
    pub ttl: u32,
}

/// Who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user; empty for an anonymous one.
    pub user: String,
    /// The id of the connection's client.
    pub client: String,
    /// Application data of the connection, raw JSON.
    pub conn_info: Option<Bytes>,
    /// Application data of the subscription, raw JSON.
    pub chan_info: Option<Bytes>,
}

/// One publication of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The payload, raw JSON.
    pub data: Bytes,
    /// Who published it; absent when it did not come from a client.
    pub info: Option<ClientInfo>,
    /// Its place in the channel; 0 in channels without history.
    pub offset: u64,
    /// Small labels.
    pub tags: BTreeMap<String, String>,
    /// When it was published, milliseconds since the Unix epoch; 0 when not told.
    pub time: i64,
}

/// Something that the client did not ask for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// The channel; empty for pushes about the connection.
    pub channel: String,
    /// What happened.
    pub event: PushEvent,
}

/// What a push tells.
#[derive(Clone, Debug, PartialEq)]
pub enum PushEvent {
    /// A publication.
    Publication(Publication),
    /// Somebody came.
    Join(ClientInfo),
    /// Somebody went.
    Leave(ClientInfo),
    /// The server ended the subscription.
    Unsubscribe {
        /// From the table of codes.
        code: u32,
        /// Plain text.
        reason: String,
    },
    /// A message outside all channels, raw JSON.
    Message(Bytes),
    /// The server added a server-side subscription.
    Subscribe {
        /// True when the client shall keep its position.
        recoverable: bool,
        /// Where it begins.
        position: Position,
        /// True when the server watches the position.
        positioned: bool,
        /// Application data, raw JSON.
        data: Option<Bytes>,
    },
    /// The connect result, on one-way transports.
    Connect(ConnectResult),
    /// The server ends the connection, on transports without close codes.
    Disconnect {
        /// From the table of codes.
        code: u32,
        /// Plain text.
        reason: String,
    },
    /// The connection's expiry changed.
    Refresh {
        /// True when the connection ends unless its token is renewed.
        expires: bool,
        /// Seconds until then.
        ttl: u32,
    },
}
