//! What an application sends and receives over this protocol.

use bytes::Bytes;
use steadfast_machine::Position;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, HistoryResult, PresenceStats, Publication,
};

use crate::dialect::{self, Delivery};
use crate::io::SubscribeOptions;

/// A publication to send. Publications of one channel are sent in the order in which they are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publish {
    /// The name of the channel.
    pub channel: ChannelName,
    /// The payload, raw JSON.
    pub data: Bytes,
    /// Identifies a resend to the server; unique for each publication, 1 to 64 bytes.
    pub idempotency_key: String,
}

impl Publish {
    /// A publication of this payload, raw JSON, with an idempotency key of 1 to 64 bytes.
    pub const fn new(channel: ChannelName, data: Bytes, idempotency_key: String) -> Self {
        Self {
            channel,
            data,
            idempotency_key,
        }
    }
}

impl dialect::Message for Publish {
    type Lane = ChannelName;

    fn lane(&self) -> &ChannelName {
        &self.channel
    }

    fn bytes(&self) -> usize {
        self.data.len()
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }
}

/// What the server says when it has stored a publication.
///
/// ```no_run
/// use steadfast_core::dialect::centrifuge::Acknowledgement;
///
/// fn report(stored: &Acknowledgement) {
///     let was_stored = if stored.duplicate { "was stored before" } else { "is stored" };
///     println!("{was_stored} at offset {}", stored.position.offset);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// The position of the publication in its channel.
    pub position: Position,
    /// The server had already stored the publication, from an earlier command.
    pub duplicate: bool,
}

/// A command to the server that has a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
#[non_exhaustive]
pub enum Call {
    /// A method call; not repeated if its reply is lost.
    Rpc {
        method: String,
        /// The argument, raw JSON.
        data: Bytes,
    },
    /// Reads the history of a channel.
    History {
        channel: String,
        /// The maximum number of publications; -1 requests the server's maximum, 0 the position only.
        limit: i32,
        /// Publications after this position; `None` for all.
        since: Option<Position>,
        /// Newest publications first.
        reverse: bool,
    },
    /// Lists the clients that are subscribed to a channel.
    Presence { channel: String },
    /// Counts the clients that are subscribed to a channel.
    PresenceStats { channel: String },
}

impl dialect::Call for Call {
    fn is_idempotent(&self) -> bool {
        match self {
            Self::Rpc { .. } => false,
            Self::History { .. } => true,
            Self::Presence { .. } => true,
            Self::PresenceStats { .. } => true,
        }
    }
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// The result of the method, raw JSON.
    Rpc(Bytes),
    /// Publications, and the position of the channel.
    History(HistoryResult),
    /// The subscribed clients.
    Presence(Vec<ClientInfo>),
    /// The number of subscribed clients.
    PresenceStats(PresenceStats),
}

/// A channel to subscribe to; see [`SubscribeOptions::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// The name of the channel.
    pub name: ChannelName,
    /// Receive the joins and leaves of other clients.
    pub join_leave: bool,
}

impl dialect::Topic for Channel {
    type Key = ChannelName;

    fn key(&self) -> &ChannelName {
        &self.name
    }
}

impl SubscribeOptions<Channel> {
    /// The options of a subscription to this channel from now on, with a buffer of this many events.
    pub fn new(channel: &str, buffer_len_max: usize) -> Self {
        let topic = Channel {
            name: ChannelName::from(channel),
            join_leave: false,
        };
        Self::to(topic, buffer_len_max)
    }

    /// Receives the joins and leaves of other clients.
    #[must_use]
    pub const fn join_leave(mut self) -> Self {
        self.topic.join_leave = true;
        self
    }
}

/// What a subscription delivers.
///
/// ```no_run
/// use steadfast_core::dialect::centrifuge::Item;
///
/// fn print(item: &Item) {
///     match item {
///         Item::Publication(it) => println!("{}: {:?}", it.offset, it.data),
///         Item::Join(client) => println!("{} subscribed", client.client),
///         Item::Leave(client) => println!("{} left", client.client),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// A publication of the channel.
    Publication(Publication),
    /// Another client subscribed.
    Join(ClientInfo),
    /// Another client unsubscribed or disconnected.
    Leave(ClientInfo),
}
