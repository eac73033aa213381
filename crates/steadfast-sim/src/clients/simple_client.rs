//! A simple client: it does what a third-party client does, and no more. It keeps positions, resends unacknowledged
//! publications with the same idempotency key, and reports everything that it receives to the reference model.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_machine::convert;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelRequest, Command, ConnectRequest, Position, Publication, Push, PushEvent, Reply,
    ReplyResult, Request, RpcRequest, SubscribeRequest, SubscribeResult,
};
use steadfast_protocol::websocket::{
    self, ControlFrame, Decoder, EndpointEvent, Role, WebSocketEndpoint,
};

use crate::recorder::{Recorder, key_in_payload};
use crate::reference_model::Invariant;

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
    Publish {
        number: u64,
    },
    Presence,
    Unsubscribe,
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
    /// Acknowledged publications: the channel of each, by number.
    acknowledged: BTreeMap<u64, usize>,
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
            acknowledged: BTreeMap::new(),
            published: 0,
            pending: BTreeMap::new(),
            last_command: 0,
            is_connected: false,
            decoder: decoder(),
            endpoint: WebSocketEndpoint::new(Role::Client),
            padding: ".".repeat(padding),
            is_listener: index.is_multiple_of(2),
        }
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

    /// Replaces a subscription twice, in one message: the gateway may not have replied to the first command when it
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

    /// Returns all unacknowledged publications again, in order, in messages within the limits.
    pub(crate) fn resend(&mut self) -> Vec<Bytes> {
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

    /// Decodes received bytes.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Received {
        let mut input = bytes.to_vec();
        let mut received = Received::default();
        let mut reading = self.decoder.read(&mut input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            match event {
                EndpointEvent::Message { payload, .. } => {
                    received.messages.push(Bytes::copy_from_slice(payload));
                }
                EndpointEvent::Ping { reply } => received.controls.push(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
                // The connection is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { .. } => received.is_closed = true,
                EndpointEvent::Failed { error, .. } => panic!("a hub sends valid frames: {error}"),
            }
        }
        received
    }

    /// Handles a message.
    pub(crate) fn handle_message(
        &mut self,
        message: &Bytes,
        recorder: &mut Recorder<'_>,
    ) -> Vec<ClientAction> {
        let mut actions = Vec::new();
        for reply in self.encoding.decode_replies(message, &LIMITS) {
            self.handle_reply(
                reply.expect("a hub sends valid replies"),
                recorder,
                &mut actions,
            );
        }
        actions
    }

    /// Whether nothing is left to do, given the channels' high watermarks.
    pub(crate) fn is_settled(&self, high_watermarks: &BTreeMap<String, Position>) -> bool {
        let is_current = |subscription: &ClientSubscription| {
            subscription.is_live
                && !subscription.is_being_replaced
                && subscription.position.as_ref() == high_watermarks.get(&subscription.channel)
        };
        self.outbox.is_empty() && self.is_connected && self.subscriptions.iter().all(is_current)
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
        format!(
            "{name}: connected {is_connected}, {} unacknowledged from {:?}, subscriptions {subscriptions:?}",
            outbox.len(),
            outbox.keys().next()
        )
    }

    fn handle_reply(
        &mut self,
        reply: Reply,
        recorder: &mut Recorder<'_>,
        actions: &mut Vec<ClientAction>,
    ) {
        match reply {
            Reply::Ping => actions.push(ClientAction::Send(self.pong())),
            Reply::Push(Push { channel, event }) => {
                self.handle_push(channel.as_str(), event, recorder, actions);
            }
            Reply::Response { id, outcome } => match (self.pending.remove(&id), outcome) {
                (Some(PendingCommand::Connect), Ok(_)) => {
                    self.is_connected = true;
                    actions.extend(self.resend().into_iter().map(ClientAction::Send));
                }
                (Some(PendingCommand::Subscribe { index, number, .. }), _)
                    if !self.is_last_request(index, number) => {}
                (
                    Some(PendingCommand::Subscribe { index, from, .. }),
                    Ok(ReplyResult::Subscribe(result)),
                ) => {
                    self.handle_subscribed(index, from.as_ref(), result, recorder);
                }
                (Some(PendingCommand::Publish { number }), Ok(ReplyResult::Rpc(data))) => {
                    self.handle_ack(number, &data, recorder);
                }
                (Some(PendingCommand::Publish { .. }), Err(_)) => {
                    actions.push(ClientAction::ResendLater);
                }
                (Some(PendingCommand::Connect | PendingCommand::Subscribe { .. }), Err(_)) => {
                    actions.push(ClientAction::Close);
                }
                (Some(PendingCommand::Presence | PendingCommand::Unsubscribe), _) => {}
                (pending, outcome) => {
                    let details = format!("{} got the reply {outcome:?} to {pending:?}", self.name);
                    recorder
                        .reference_model
                        .report_violation(Invariant::RepliesMatchCommands, details);
                }
            },
        }
    }

    fn handle_push(
        &mut self,
        channel: &str,
        event: PushEvent,
        recorder: &mut Recorder<'_>,
        actions: &mut Vec<ClientAction>,
    ) {
        let mut subscriptions = self.subscriptions.iter();
        let Some(index) = subscriptions.position(|it| it.channel == channel) else {
            let details = format!("{} got {event:?} of {channel}", self.name);
            return recorder
                .reference_model
                .report_violation(Invariant::RepliesMatchCommands, details);
        };
        let subscription = self.subscriptions.get(index);
        if subscription.is_some_and(|it| it.is_being_replaced) {
            // It belongs to the former subscription, whose position the client has sent already.
            return;
        }
        match event {
            PushEvent::Publication(publication) => {
                self.handle_publication(index, &publication, recorder);
            }
            PushEvent::Unsubscribe { code, .. } => {
                assert_eq!(
                    code,
                    UnsubscribeCode::Insufficient.code(),
                    "unexpected unsubscribe code"
                );
                recorder.totals.resubscribed += 1;
                if let Some(subscription) = self.subscriptions.get_mut(index) {
                    subscription.is_live = false;
                }
                let mut message = Vec::new();
                self.subscribe(&mut message, index, false);
                actions.push(ClientAction::Send(Bytes::from(message)));
            }
            PushEvent::Join(_) | PushEvent::Leave(_) => {}
            other @ (PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Disconnect { .. }
            | PushEvent::Refresh { .. }) => unreachable!("unexpected push {other:?}"),
        }
    }

    fn handle_subscribed(
        &mut self,
        index: usize,
        from: Option<&Position>,
        result: SubscribeResult,
        recorder: &mut Recorder<'_>,
    ) {
        let SubscribeResult {
            position,
            publications,
            recovered,
            ..
        } = result;
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        subscription.is_live = true;
        subscription.is_being_replaced = false;
        subscription.position = Some(position.clone());
        let Some(from) = from else { return };
        let summary = format!(
            "{} subscribed to {} after {from:?}, got {position:?}",
            self.name, subscription.channel
        );
        if from.offset >= INVALID_OFFSET {
            recorder.totals.invalid_positions += 1;
            if recovered {
                recorder
                    .reference_model
                    .report_violation(Invariant::RecoveryComplete, summary);
            }
        } else if recovered {
            recorder.totals.recovered += 1;
            if position != *from {
                recorder
                    .reference_model
                    .report_violation(Invariant::RecoveryComplete, summary);
            }
            for publication in &publications {
                self.handle_publication(index, publication, recorder);
            }
        } else {
            recorder.totals.unrecovered += 1;
            let is_beyond_retention = recorder.is_beyond_retention(from, &position);
            recorder.totals.positions_beyond_retention += u64::from(is_beyond_retention);
            if recorder.must_recover(from, &position) {
                let details = format!("{summary}, not recovered");
                recorder
                    .reference_model
                    .report_violation(Invariant::NoAcknowledgedLoss, details);
            }
        }
    }

    fn handle_publication(
        &mut self,
        index: usize,
        publication: &Publication,
        recorder: &mut Recorder<'_>,
    ) {
        recorder.totals.delivered += 1;
        let Some(subscription) = self.subscriptions.get_mut(index) else {
            return;
        };
        let Some(position) = &mut subscription.position else {
            return;
        };
        let (expected, offset) = (position.offset + 1, publication.offset);
        let details = || {
            format!(
                "{} expected offset {expected} of {}, got {offset}",
                self.name, subscription.channel
            )
        };
        if !subscription.is_live || offset < expected {
            recorder
                .reference_model
                .report_violation(Invariant::NoDuplicateDelivery, details());
        } else if offset > expected {
            recorder
                .reference_model
                .report_violation(Invariant::OrderPreserved, details());
        }
        recorder.reference_model.deliver(
            &subscription.channel,
            &position.epoch,
            offset,
            key_in_payload(&publication.data),
        );
        position.offset = offset;
    }

    fn handle_ack(&mut self, number: u64, data: &Bytes, recorder: &mut Recorder<'_>) {
        let ack = idempotent::decode_ack(data, &LIMITS)
            .expect("a hub acknowledges a publication with its position");
        recorder.totals.duplicates_acknowledged += u64::from(ack.duplicate);
        let Some(index) = self.outbox.remove(&number) else {
            return;
        };
        self.acknowledged.insert(number, index);
        let Some(subscription) = self.subscriptions.get(index) else {
            return;
        };
        recorder.totals.acknowledged += 1;
        recorder.reference_model.acknowledge(
            &subscription.channel,
            &self.key(number),
            &ack.epoch,
            ack.offset,
        );
    }

    fn subscribe(&mut self, message: &mut Vec<u8>, index: usize, has_invalid_position: bool) {
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

    fn unsubscribe(&mut self, message: &mut Vec<u8>, index: usize) {
        if let Some(subscription) = self.subscriptions.get(index) {
            let channel = subscription.channel.clone();
            let request = Request::Unsubscribe(ChannelRequest { channel });
            self.append_command(message, PendingCommand::Unsubscribe, request);
        }
    }

    /// Whether no later subscribe command was sent for this channel.
    fn is_last_request(&self, index: usize, number: u64) -> bool {
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
        let mut data = Vec::new();
        idempotent::append_publish(&mut data, &publish);
        let request = RpcRequest {
            method: idempotent::METHOD.to_owned(),
            data: Bytes::from(data),
        };
        self.append_command(
            message,
            PendingCommand::Publish { number },
            Request::Rpc(request),
        );
    }

    fn pong(&self) -> Bytes {
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

    fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }
}

const LIMITS: Limits = Limits::REPLIES;

/// The number that is added to the offset of an invalid position: no channel reaches it.
const INVALID_OFFSET: u64 = 1_000_000_000;

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
