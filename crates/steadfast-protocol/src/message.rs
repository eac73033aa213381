//! Messages of the Centrifuge client protocol, version 2, independent of their encoding.
//!
//! A client sends commands; a server sends replies and pushes. Payloads are bytes in shared buffers, which no part of
//! Steadfast parses: publications say their [`PayloadKind`], everything else is raw JSON. Both roles use the same types,
//! so a property test checks the codec round trip.

mod debug;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use steadfast_machine::Position;

/// The name of a channel: immutable, ordered, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Returns the name as text.
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

/// The kind of a payload. No part of Steadfast parses a payload; its kind says which encodings can carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadKind {
    /// One JSON value.
    #[default]
    Json,
    /// Bytes of any value.
    Binary,
}

/// One command from a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The command's id: above 0 when the command expects a reply; 0 for [`Request::Send`] and [`Request::Pong`].
    pub id: u32,
    /// The method and its arguments.
    pub request: Request,
}

/// The method of a command and its arguments. When a command has several methods, the first method in the order of this
/// list is used.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Authenticates the connection; must be the first command.
    Connect(ConnectRequest),
    /// Starts a subscription, after a position if one is given.
    Subscribe(SubscribeRequest),
    /// Ends a subscription.
    Unsubscribe(ChannelRequest),
    /// Publishes to a channel without an idempotency key.
    Publish(PublishRequest),
    /// Requests the clients that are subscribed to a channel.
    Presence(ChannelRequest),
    /// Requests the number of clients that are subscribed to a channel.
    PresenceStats(ChannelRequest),
    /// Requests publications from the history.
    History(HistoryRequest),
    /// The `ping` command (field 11), which no server of this protocol supports.
    Ping,
    /// Sends a message that has no reply.
    Send(SendRequest),
    /// Calls a method of the application.
    Rpc(RpcRequest),
    /// Replaces the connection token.
    Refresh(RefreshRequest),
    /// Replaces the token of a subscription.
    SubRefresh(SubRefreshRequest),
    /// Replies to a server's ping: a command with id 0 and no fields.
    Pong,
}

/// The arguments of connect, the first command of a connection.
#[derive(Clone, Default, PartialEq)]
pub struct ConnectRequest {
    /// JSON Web Token; empty for none.
    pub token: String,
    /// Application data as raw JSON.
    pub data: Option<Bytes>,
    /// Server-side subscriptions to resume, by channel.
    pub subs: BTreeMap<String, SubscribeRequest>,
    /// Name of the client library, for example `js`.
    pub name: String,
    /// Version of the client library.
    pub version: String,
    /// Emulated HTTP headers.
    pub headers: BTreeMap<String, String>,
}

/// The arguments of subscribe.
#[derive(Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of the protocol, independent of each other"
)]
pub struct SubscribeRequest {
    /// Channel name; empty inside [`ConnectRequest::subs`].
    pub channel: String,
    /// Subscription token; empty for none.
    pub token: String,
    /// `true` when the client requests recovery: the publications after `position`.
    pub recover: bool,
    /// Position of the client; the default position when the client has none.
    pub position: Position,
    /// Application data as raw JSON.
    pub data: Option<Bytes>,
    /// `true` when the client requests that the server checks the client's position.
    pub positioned: bool,
    /// `true` when the client requests a recoverable subscription.
    pub recoverable: bool,
    /// `true` when the client requests join and leave pushes.
    pub join_leave: bool,
    /// Requested delta format, for example `fossil`; empty for none.
    pub delta: String,
    /// Feature bits: 1 offers channel compaction, 2 requests error 112 instead of an unrecovered subscription.
    pub flag: i64,
    /// Type of the subscription; 0 is a stream, all others are experimental.
    pub kind: i32,
    /// `true` when the client sent a tags filter.
    pub has_filter: bool,
}

/// Arguments that consist of a channel name only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct ChannelRequest {
    pub channel: String,
}

/// The arguments of publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct PublishRequest {
    pub channel: String,
    /// Payload of the kind [`Self::payload_kind`].
    pub data: Bytes,
    /// Kind of the payload, which the encoding of the command determines.
    pub payload_kind: PayloadKind,
    /// Type of the publication; 0 is a stream, all others are experimental.
    pub kind: i32,
}

/// The arguments of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct HistoryRequest {
    pub channel: String,
    /// Most publications to return: 0 requests the position only, -1 the server's maximum.
    pub limit: i32,
    /// Position to start after.
    pub since: Option<Position>,
    /// `true` for newest first.
    pub reverse: bool,
}

/// The arguments of send, a message that has no reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendRequest {
    /// Payload as raw JSON.
    pub data: Bytes,
}

/// The arguments of rpc.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct RpcRequest {
    pub method: String,
    /// Argument as raw JSON; empty when absent.
    pub data: Bytes,
}

/// The arguments of refresh, which replaces the connection token.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct RefreshRequest {
    pub token: String,
}

/// The arguments of `sub_refresh`, which replaces the token of a subscription.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct SubRefreshRequest {
    pub channel: String,
    pub token: String,
}

/// One message from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The result of the command with this id.
    Response {
        /// The command's id, above 0.
        id: u32,
        /// The result of the method, or the reason for the rejection.
        outcome: Result<ReplyResult, ReplyError>,
    },
    /// A message that does not belong to a command.
    Push(Push),
    /// The server's ping: an empty reply.
    Ping,
}

/// The rejection of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// Error code, see [`crate::codes::ErrorCode`].
    pub code: u32,
    /// Error text; never empty.
    pub message: String,
    /// `true` when the same request may succeed later.
    pub temporary: bool,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// The result in a successful reply; always present, even when it is empty.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyResult {
    /// The connection is authenticated.
    Connect(ConnectResult),
    /// The subscription is active.
    Subscribe(SubscribeResult),
    /// The subscription has ended.
    Unsubscribe,
    /// The publication is committed.
    Publish,
    /// The clients that are subscribed to the channel, by client id.
    Presence(BTreeMap<String, ClientInfo>),
    /// The number of clients that are subscribed to the channel.
    PresenceStats(PresenceStats),
    /// Publications from the history.
    History(HistoryResult),
    /// The reply to a `ping` command.
    Ping,
    /// The return value of the method as raw JSON.
    Rpc(Bytes),
    /// The connection token was replaced.
    Refresh(RefreshResult),
    /// The subscription token was replaced.
    SubRefresh(SubRefreshResult),
}

/// The result of connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResult {
    /// Client id of this connection; never empty.
    pub client: String,
    /// Name and version of the server.
    pub version: String,
    /// `true` when the connection expires unless its token is replaced.
    pub expires: bool,
    /// Seconds until the expiry.
    pub ttl: u32,
    /// Application data as raw JSON.
    pub data: Option<Bytes>,
    /// Interval of the server's pings in seconds; 0 for none.
    pub ping: u32,
    /// `true` when the client must reply to pings.
    pub pong: bool,
    /// Wall clock of the server in milliseconds since the Unix epoch; 0 when not sent.
    pub time: i64,
}

/// The result of subscribe.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of the protocol, independent of each other"
)]
pub struct SubscribeResult {
    /// `true` when the subscription expires unless its token is replaced.
    pub expires: bool,
    /// Seconds until the expiry.
    pub ttl: u32,
    /// `true` when the client must keep its position and send it when it resubscribes.
    pub recoverable: bool,
    /// Position after which the subscription starts: the requested position when recovered, else the high watermark.
    pub position: Position,
    /// Missed publications, oldest first; empty unless recovered.
    pub publications: Vec<Publication>,
    /// `true` when no publication after the requested position is missing.
    pub recovered: bool,
    /// `true` when the server checks the client's position.
    pub positioned: bool,
    /// Application data as raw JSON.
    pub data: Option<Bytes>,
    /// `true` when the client requested recovery.
    pub was_recovering: bool,
}

/// The result of `presence_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Number of subscribed connections.
    pub num_clients: u32,
    /// Number of distinct users among them.
    pub num_users: u32,
}

/// The result of history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryResult {
    /// The publications in the requested order.
    pub publications: Vec<Publication>,
    /// The high watermark of the channel.
    pub position: Position,
}

/// The result of refresh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshResult {
    /// Client id of this connection.
    pub client: String,
    /// Name and version of the server.
    pub version: String,
    /// `true` when the new token expires as well.
    pub expires: bool,
    /// Seconds until the expiry.
    pub ttl: u32,
}

/// The result of `sub_refresh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubRefreshResult {
    /// `true` when the new token expires as well.
    pub expires: bool,
    /// Seconds until the expiry.
    pub ttl: u32,
}

/// The identity of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// User id; empty for an anonymous user.
    pub user: String,
    /// Client id of the connection.
    pub client: String,
    /// Application data of the connection as raw JSON.
    pub conn_info: Option<Bytes>,
    /// Application data of the subscription as raw JSON.
    pub chan_info: Option<Bytes>,
}

/// One publication of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Payload of the kind [`Self::payload_kind`].
    pub data: Bytes,
    /// Kind of the payload; not sent, since the encoding implies it.
    pub payload_kind: PayloadKind,
    /// Publisher; absent when it is not a client.
    pub info: Option<ClientInfo>,
    /// Offset in the channel; 0 in channels without history.
    pub offset: u64,
    /// Labels of the publication.
    pub tags: BTreeMap<String, String>,
    /// Time of the publication in milliseconds since the Unix epoch; 0 when not sent.
    pub time: i64,
}

/// A message from the server that does not belong to a command.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct Push {
    /// Channel name; empty for pushes about the connection.
    pub channel: ChannelName,
    pub event: PushEvent,
}

/// The content of a push.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum PushEvent {
    /// A publication in the channel.
    Publication(Publication),
    /// A client subscribed to the channel.
    Join(ClientInfo),
    /// A client's subscription to the channel ended.
    Leave(ClientInfo),
    /// The server ended the subscription.
    Unsubscribe {
        /// Unsubscribe code, see [`crate::codes::UnsubscribeCode`].
        code: u32,
        reason: String,
    },
    /// A message without a channel as raw JSON.
    Message(Bytes),
    /// The server added a server-side subscription.
    Subscribe {
        /// `true` when the client must keep its position.
        recoverable: bool,
        /// Position after which the subscription starts.
        position: Position,
        /// `true` when the server checks the client's position.
        positioned: bool,
        /// Application data as raw JSON.
        data: Option<Bytes>,
    },
    /// The connect result on unidirectional transports.
    Connect(ConnectResult),
    /// The server closes the connection, on transports without close codes.
    Disconnect {
        /// Disconnect code, see [`crate::codes::DisconnectCode`].
        code: u32,
        reason: String,
    },
    /// The connection's expiry changed.
    Refresh {
        /// `true` when the connection expires unless its token is replaced.
        expires: bool,
        /// Seconds until the expiry.
        ttl: u32,
    },
}
