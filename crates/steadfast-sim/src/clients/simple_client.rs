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
    Command, ConnectRequest, Position, Publication, Push, PushEvent, Reply, ReplyResult, Request,
    RpcRequest, SubscribeRequest, SubscribeResult,
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
    SendControl(ControlFrame),
    /// The connection cannot be used any more.
    Close,
    /// A publication was temporarily rejected.
    ResendLater,
}

/// The purpose of a command that is in flight.
#[derive(Clone, Debug)]
enum PendingCommand {
    Connect,
    Subscribe {
        index: usize,
        from: Option<Position>,
    },
    Publish {
        number: u64,
    },
}

#[derive(Debug)]
struct ClientSubscription {
    channel: String,
    /// The position of the last publication; `None` before the first subscription.
    position: Option<Position>,
    is_live: bool,
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
        }
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

    /// Handles received bytes.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        recorder: &mut Recorder<'_>,
    ) -> Vec<ClientAction> {
        let mut input = bytes.to_vec();
        let mut messages = Vec::new();
        let mut actions = Vec::new();
        let mut is_closed = false;
        let mut reading = self.decoder.read(&mut input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            match event {
                EndpointEvent::Message { payload, .. } => {
                    messages.push(Bytes::copy_from_slice(payload));
                }
                EndpointEvent::Ping { reply } => actions.push(ClientAction::SendControl(reply)),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
                // The connection is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { .. } => is_closed = true,
                EndpointEvent::Failed { error, .. } => panic!("a hub sends valid frames: {error}"),
            }
        }
        for message in messages {
            for reply in self.encoding.decode_replies(&message, &LIMITS) {
                self.handle_reply(
                    reply.expect("a hub sends valid replies"),
                    recorder,
                    &mut actions,
                );
            }
        }
        if is_closed {
            actions.push(ClientAction::Close);
        }
        actions
    }

    /// Whether nothing is left to do, given the channels' high watermarks.
    pub(crate) fn is_settled(&self, high_watermarks: &BTreeMap<String, Position>) -> bool {
        let is_current = |subscription: &ClientSubscription| {
            subscription.is_live
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
                (
                    Some(PendingCommand::Subscribe { index, from }),
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
                (pending, outcome) => unreachable!("unexpected reply to {pending:?}: {outcome:?}"),
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
        let Some(index) = self
            .subscriptions
            .iter()
            .position(|subscription| subscription.channel == channel)
        else {
            return;
        };
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
            other @ (PushEvent::Join(_)
            | PushEvent::Leave(_)
            | PushEvent::Message(_)
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
        let Some(subscription) = self.subscriptions.get(index) else {
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
            ..SubscribeRequest::default()
        };
        self.append_command(
            message,
            PendingCommand::Subscribe { index, from },
            Request::Subscribe(request),
        );
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
