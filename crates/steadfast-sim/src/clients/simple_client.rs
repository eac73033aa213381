//! A simple client: it does what a third-party client does, and no more. It keeps positions, resends unacknowledged
//! publications with the same idempotency key, and reports everything that it receives to the reference model.

mod incoming;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steadfast_machine::convert;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::message::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, Position, Request, RpcRequest,
    SubscribeRequest,
};
use steadfast_protocol::websocket::{self, ControlFrame, Decoder, Role, WebSocketEndpoint};

use crate::recorder::OTHER_DATA;
use crate::words;

/// What the world must do after a client has received a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientAction {
    Send(Bytes),
    /// The connection cannot be used any more.
    Close,
    /// A publication was temporarily rejected.
    ResendLater,
}

/// What the bytes of one read contain.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) messages: Vec<Bytes>,
    /// Control frames in reply.
    pub(crate) controls: Vec<ControlFrame>,
    pub(crate) is_closed: bool,
}

/// The purpose of a command that is in flight.
#[derive(Clone, Debug)]
enum PendingCommand {
    Connect,
    Subscribe {
        index: usize,
        /// The number of the subscribe command, among those for this channel.
        number: u64,
        from: Option<Position>,
    },
    /// To a channel without publications.
    SubscribeFurther,
    Publish {
        number: u64,
    },
    /// A publication with the key of an acknowledged one and other data.
    PublishOtherData {
        number: u64,
    },
    Presence,
    Unsubscribe,
    History,
}

#[derive(Debug)]
struct ClientSubscription {
    channel: String,
    /// The position of the last publication; `None` before the first subscription.
    position: Option<Position>,
    is_live: bool,
    /// The number of subscribe commands. Only the reply to the last one counts.
    requested: u64,
    /// Whether the client has replaced its subscription: everything before the reply belongs to the former one.
    is_being_replaced: bool,
}

/// A simple client with its subscriptions and unacknowledged publications.
#[derive(Debug)]
pub(crate) struct SimpleClient {
    name: String,
    encoding: Encoding,
    subscriptions: Vec<ClientSubscription>,
    /// Unacknowledged publications: the channel of each, by number.
    outbox: BTreeMap<u64, usize>,
    /// Whether the outbox is resent soon. One repetition is due for any number of rejected publications: one for each
    /// would multiply them for as long as the gateway rejects them.
    will_resend: bool,
    /// Acknowledged publications: the channel of each, by number.
    acknowledged: BTreeMap<u64, usize>,
    /// Publications whose key was sent with other data. If the gateway had lost the first one, it knows the other data.
    reused: BTreeSet<u64>,
    published: u64,
    pending: BTreeMap<u32, PendingCommand>,
    last_command: u32,
    is_connected: bool,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    /// Padding that is added to each payload.
    padding: String,
    /// Whether the client requests joins and leaves.
    is_listener: bool,
    /// The number of channels without publications that the client subscribes to, and how many of these subscriptions are
    /// missing on the current connection.
    further_channels: usize,
    further_missing: usize,
}

impl SimpleClient {
    pub(crate) fn new(
        index: usize,
        encoding: Encoding,
        channels: &[String],
        padding: usize,
    ) -> Self {
        let subscription = |channel: &String| ClientSubscription {
            channel: channel.clone(),
            position: None,
            is_live: false,
            requested: 0,
            is_being_replaced: false,
        };
        Self {
            name: format!("c{index}"),
            encoding,
            subscriptions: channels.iter().map(subscription).collect(),
            outbox: BTreeMap::new(),
            will_resend: false,
            acknowledged: BTreeMap::new(),
            reused: BTreeSet::new(),
            published: 0,
            pending: BTreeMap::new(),
            last_command: 0,
            is_connected: false,
            decoder: decoder(),
            endpoint: WebSocketEndpoint::new(Role::Client),
            padding: ".".repeat(padding),
            is_listener: index.is_multiple_of(2),
            further_channels: 0,
            further_missing: 0,
        }
    }

    /// The same client with subscriptions to further channels, which get no publications.
    pub(crate) const fn with_further_channels(mut self, count: usize) -> Self {
        self.further_channels = count;
        self
    }

    pub(crate) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(crate) const fn published(&self) -> u64 {
        self.published
    }

    /// Returns the first message on a new connection: the connect command and all subscribe commands, as SDKs send
    /// them. With `has_invalid_position` the offsets are above those of every channel.
    pub(crate) fn connect_message(&mut self, has_invalid_position: bool) -> Bytes {
        self.decoder = decoder();
        self.endpoint = WebSocketEndpoint::new(Role::Client);
        self.pending.clear();
        self.last_command = 0;
        let mut message = Vec::new();
        self.append_command(
            &mut message,
            PendingCommand::Connect,
            Request::Connect(ConnectRequest::default()),
        );
        for index in 0..self.subscriptions.len() {
            message.extend_from_slice(self.encoding.separator());
            self.subscribe(&mut message, index, has_invalid_position);
        }
        self.further_missing = self.further_channels;
        for number in 0..self.further_channels {
            message.extend_from_slice(self.encoding.separator());
            self.subscribe_further(&mut message, number);
        }
        Bytes::from(message)
    }

    /// The connection is lost; unacknowledged publications stay.
    pub(crate) fn on_connection_lost(&mut self) {
        self.is_connected = false;
        for subscription in &mut self.subscriptions {
            subscription.is_live = false;
            subscription.is_being_replaced = false;
        }
    }

    /// Replaces a subscription twice and queries the presence, in one message: the gateway may not have replied to the first command when it
    /// receives the second. The first one starts at another position than the second. `None` unless the client is
    /// subscribed.
    pub(crate) fn replace_subscription(&mut self, pick: u64) -> Option<Bytes> {
        let count = convert::to_u64(self.subscriptions.len());
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        let is_ready = |it: &ClientSubscription| it.is_live && !it.is_being_replaced;
        let subscription = self
            .subscriptions
            .get_mut(index)
            .filter(|it| is_ready(it))?;
        subscription.is_being_replaced = true;
        let mut message = Vec::new();
        for has_invalid_position in [true, false] {
            self.unsubscribe(&mut message, index);
            message.extend_from_slice(self.encoding.separator());
            self.subscribe(&mut message, index, has_invalid_position);
            if has_invalid_position {
                message.extend_from_slice(self.encoding.separator());
            }
        }
        if let Some(query) = self.query_presence(index, true) {
            message.extend_from_slice(self.encoding.separator());
            message.extend_from_slice(&query);
        }
        Some(Bytes::from(message))
    }

    /// Queries the presence of a channel, in one of two ways. `None` unless the client is connected, and waits for no
    /// such reply: the gateway does not read from a client that waits for many.
    pub(crate) fn query_presence(&mut self, channel: usize, has_clients: bool) -> Option<Bytes> {
        let channel = channel % self.subscriptions.len();
        let channel = self.subscriptions.get(channel)?.channel.clone();
        let mut pending = self.pending.values();
        let is_waiting = pending.any(|it| matches!(it, PendingCommand::Presence));
        (self.is_connected && !is_waiting).then(|| {
            let request = ChannelRequest { channel };
            let request = if has_clients {
                Request::Presence(request)
            } else {
                Request::PresenceStats(request)
            };
            let mut message = Vec::new();
            self.append_command(&mut message, PendingCommand::Presence, request);
            Bytes::from(message)
        })
    }

    /// Makes a new publication; returns the message if the client is connected.
    pub(crate) fn publish(&mut self, channel: usize) -> Option<Bytes> {
        self.published += 1;
        let number = self.published;
        self.outbox
            .insert(number, channel % self.subscriptions.len());
        self.is_connected.then(|| {
            let mut message = Vec::new();
            self.append_publish(&mut message, number);
            Bytes::from(message)
        })
    }

    /// Publishes twice, and reads the newest publications in between, all in one message. `None` unless the client is
    /// connected.
    pub(crate) fn publish_around_history(&mut self, channel: usize) -> Option<Bytes> {
        let index = channel % self.subscriptions.len();
        let channel = self.subscriptions.get(index)?.channel.clone();
        if !self.is_connected {
            return None;
        }
        let first = self.published + 1;
        self.published += 2;
        self.outbox.extend([(first, index), (first + 1, index)]);
        let mut message = Vec::new();
        self.append_publish(&mut message, first);
        message.extend_from_slice(self.encoding.separator());
        let history = HistoryRequest {
            channel,
            limit: 4,
            since: None,
            reverse: true,
        };
        self.append_command(
            &mut message,
            PendingCommand::History,
            Request::History(history),
        );
        message.extend_from_slice(self.encoding.separator());
        self.append_publish(&mut message, first + 1);
        Some(Bytes::from(message))
    }

    /// Publishes an acknowledged publication again, as an application does that has lost its own state. The new
    /// acknowledgement must be the same as the first acknowledgement, whichever segment contains the record.
    pub(crate) fn publish_again(&mut self, pick: u64) -> Option<Bytes> {
        let count = convert::to_u64(self.acknowledged.len());
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        let number = *self.acknowledged.keys().nth(index)?;
        let channel = self.acknowledged.remove(&number)?;
        self.outbox.insert(number, channel);
        self.is_connected.then(|| {
            let mut message = Vec::new();
            self.append_publish(&mut message, number);
            Bytes::from(message)
        })
    }

    /// Publishes other data with the key of an acknowledged publication, as an application with a bug does. The gateway
    /// must reject it, unless it has lost the publication.
    pub(crate) fn publish_other_data(&mut self, pick: u64) -> Option<Bytes> {
        let count = convert::to_u64(self.acknowledged.len());
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        let (number, channel) = self.acknowledged.iter().nth(index)?;
        let (number, channel) = (*number, self.subscriptions.get(*channel)?.channel.clone());
        // Once for each key: if the gateway had lost the publication, the same data again would be a repeat.
        if !self.is_connected || !self.reused.insert(number) {
            return None;
        }
        let key = self.key(number);
        let publish = IdempotentPublish {
            channel,
            data: Bytes::from(format!("\"{key} {}{OTHER_DATA}\"", self.padding)),
            idempotency_key: key,
        };
        let mut message = Vec::new();
        let pending = PendingCommand::PublishOtherData { number };
        self.append_command(&mut message, pending, call(&publish));
        Some(Bytes::from(message))
    }

    /// Returns all unacknowledged publications again, in order, in messages within the limits.
    pub(crate) fn resend(&mut self) -> Vec<Bytes> {
        self.will_resend = false;
        if !self.is_connected {
            return Vec::new();
        }
        let numbers: Vec<u64> = self.outbox.keys().copied().collect();
        let resent = numbers.chunks(RESENDS_PER_MESSAGE).map(|numbers| {
            let mut message = Vec::new();
            for number in numbers {
                if !message.is_empty() {
                    message.extend_from_slice(self.encoding.separator());
                }
                self.append_publish(&mut message, *number);
            }
            Bytes::from(message)
        });
        resent.collect()
    }

    /// Whether nothing is left to do, given the channels' high watermarks.
    pub(crate) fn is_settled(&self, high_watermarks: &BTreeMap<String, Position>) -> bool {
        let is_current = |subscription: &ClientSubscription| {
            subscription.is_live
                && !subscription.is_being_replaced
                && subscription.position.as_ref() == high_watermarks.get(&subscription.channel)
        };
        self.outbox.is_empty()
            && self.is_connected
            && self.further_missing == 0
            && self.subscriptions.iter().all(is_current)
    }

    /// Describes what is not settled, as text for the operator.
    pub(crate) fn describe(&self) -> String {
        let Self {
            name,
            outbox,
            is_connected,
            subscriptions,
            ..
        } = self;
        let subscriptions: Vec<String> = subscriptions
            .iter()
            .map(|it| words::subscription(&it.channel, it.position.as_ref()))
            .collect();
        let state = if *is_connected {
            "connected"
        } else {
            "not connected"
        };
        format!(
            "{name}: {state}, publications unacknowledged {}, {}",
            outbox.len(),
            subscriptions.join(", ")
        )
    }

    pub(super) fn subscribe(
        &mut self,
        message: &mut Vec<u8>,
        index: usize,
        has_invalid_position: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let mut from = subscription.position.clone();
        if let Some(from) = from.as_mut().filter(|_| has_invalid_position) {
            from.offset += INVALID_OFFSET;
        }
        let request = SubscribeRequest {
            channel: subscription.channel.clone(),
            recover: from.is_some(),
            position: from.clone().unwrap_or_default(),
            join_leave: self.is_listener,
            ..SubscribeRequest::default()
        };
        subscription.requested += 1;
        let pending = PendingCommand::Subscribe {
            index,
            number: subscription.requested,
            from,
        };
        self.append_command(message, pending, Request::Subscribe(request));
    }

    pub(super) fn subscribe_further(&mut self, message: &mut Vec<u8>, number: usize) {
        let request = SubscribeRequest {
            channel: format!("{FURTHER_PREFIX}{number}"),
            data: Some(Bytes::from(format!("\"{}\"", ".".repeat(FURTHER_BYTES)))),
            ..SubscribeRequest::default()
        };
        let pending = PendingCommand::SubscribeFurther;
        self.append_command(message, pending, Request::Subscribe(request));
    }

    fn unsubscribe(&mut self, message: &mut Vec<u8>, index: usize) {
        if let Some(subscription) = self.subscriptions.get(index) {
            let channel = subscription.channel.clone();
            let request = Request::Unsubscribe(ChannelRequest { channel });
            self.append_command(message, PendingCommand::Unsubscribe, request);
        }
    }

    /// Whether no later subscribe command was sent for this channel.
    pub(super) fn is_last_request(&self, index: usize, number: u64) -> bool {
        let subscription = self.subscriptions.get(index);
        subscription.is_some_and(|it| it.requested == number)
    }

    fn append_publish(&mut self, message: &mut Vec<u8>, number: u64) {
        let Some(subscription) = self
            .outbox
            .get(&number)
            .and_then(|index| self.subscriptions.get(*index))
        else {
            return;
        };
        let key = self.key(number);
        let publish = IdempotentPublish {
            channel: subscription.channel.clone(),
            data: Bytes::from(format!("\"{key} {}\"", self.padding)),
            idempotency_key: key,
        };
        self.append_command(message, PendingCommand::Publish { number }, call(&publish));
    }

    pub(super) fn pong(&self) -> Bytes {
        let mut message = Vec::new();
        let pong = Command {
            id: 0,
            request: Request::Pong,
        };
        self.encoding.append_command(&mut message, &pong);
        Bytes::from(message)
    }

    fn append_command(&mut self, message: &mut Vec<u8>, pending: PendingCommand, request: Request) {
        self.last_command += 1;
        self.pending.insert(self.last_command, pending);
        self.encoding.append_command(
            message,
            &Command {
                id: self.last_command,
                request,
            },
        );
    }

    pub(super) fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }
}

fn call(publish: &IdempotentPublish) -> Request {
    let mut data = Vec::new();
    idempotent::append_publish(&mut data, publish);
    Request::Rpc(RpcRequest {
        method: idempotent::METHOD.to_owned(),
        data: Bytes::from(data),
    })
}

/// The number that is added to the offset of an invalid position: no channel reaches it.
const INVALID_OFFSET: u64 = 1_000_000_000;

/// The names of channels without publications begin with this.
const FURTHER_PREFIX: &str = "further";

/// The data of each subscription to such a channel, in bytes.
const FURTHER_BYTES: usize = 450;

/// The maximum number of publications in a message: with padding, they are well below the size limit of a message.
const RESENDS_PER_MESSAGE: usize = 16;

fn decoder() -> Decoder {
    let limits = websocket::WebSocketLimits {
        message_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 20,
        fragments_max: 16,
    };
    Decoder::new(Role::Client, limits)
}
