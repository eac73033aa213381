//! A simple client: what a published SDK does, no more. It keeps positions, repeats unacknowledged publishes with the
//! same key, and tells the reference everything that it is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::json;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectRequest, Position, Publication, Push, PushEvent, Reply, ReplyResult, Request,
    RpcRequest, SubscribeRequest, SubscribeResult,
};
use steadfast_protocol::websocket::{self, Decoder, Role, WebSocketEvent};

use crate::reference::{Promise, Reference};
use crate::totals::Totals;

/// What a client wants done after it was told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Bytes),
    /// The connection is of no use.
    HangUp,
    /// A publish was refused for now.
    RetryLater,
}

/// What an unanswered command was for.
#[derive(Clone, Debug)]
enum Asked {
    Connect,
    Subscribe {
        wanted: usize,
        from: Option<Position>,
    },
    Publish {
        number: u64,
    },
}

#[derive(Debug)]
struct Wanted {
    channel: String,
    /// Where the client stands; none before the first subscription.
    position: Option<Position>,
    is_live: bool,
}

/// What everybody reports to.
pub(crate) struct Books<'a> {
    pub(crate) reference: &'a mut Reference,
    pub(crate) totals: &'a mut Totals,
    /// Whether the policy promises that nothing acknowledged is ever lost.
    pub(crate) is_whole: bool,
    /// How many publications of a channel stay visible; `None` when bytes decide.
    pub(crate) visible_max: Option<u64>,
}

impl Books<'_> {
    /// Whether a position is no longer shown although its epoch goes on, given what the channel's top is now.
    pub(crate) fn has_fallen_out(&self, from: &Position, top: &Position) -> bool {
        top.epoch == from.epoch
            && self
                .visible_max
                .is_none_or(|max| from.offset.saturating_add(max) < top.offset)
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    wanted: Vec<Wanted>,
    /// Unacknowledged publishes: the channel of each, by number.
    outbox: BTreeMap<u64, usize>,
    /// Acknowledged publishes: the channel of each, by number.
    done: BTreeMap<u64, usize>,
    published: u64,
    asked: BTreeMap<u32, Asked>,
    last_command: u32,
    is_connected: bool,
    decoder: Decoder,
    /// Added to each payload.
    padding: String,
}

impl Client {
    pub(crate) fn new(index: usize, channels: &[String], padding: usize) -> Self {
        let wanted = |channel: &String| Wanted {
            channel: channel.clone(),
            position: None,
            is_live: false,
        };
        Self {
            name: format!("c{index}"),
            wanted: channels.iter().map(wanted).collect(),
            outbox: BTreeMap::new(),
            done: BTreeMap::new(),
            published: 0,
            asked: BTreeMap::new(),
            last_command: 0,
            is_connected: false,
            decoder: decoder(),
            padding: ".".repeat(padding),
        }
    }

    pub(crate) const fn published(&self) -> u64 {
        self.published
    }

    /// The first message on a new link: connect and all subscriptions, as SDKs send them. One that lies claims to stand
    /// where no channel has ever been.
    pub(crate) fn greet(&mut self, lies: bool) -> Bytes {
        self.decoder = decoder();
        self.asked.clear();
        self.last_command = 0;
        let mut message = Vec::new();
        self.command(
            &mut message,
            Asked::Connect,
            Request::Connect(ConnectRequest::default()),
        );
        for wanted in 0..self.wanted.len() {
            message.push(b'\n');
            self.subscribe(&mut message, wanted, lies);
        }
        Bytes::from(message)
    }

    /// The link is gone; unacknowledged publishes stay.
    pub(crate) fn hang_up(&mut self) {
        self.is_connected = false;
        for wanted in &mut self.wanted {
            wanted.is_live = false;
        }
    }

    /// Publishes something new; the message goes out at once if there is a session.
    pub(crate) fn publish(&mut self, channel: usize) -> Option<Bytes> {
        self.published += 1;
        let number = self.published;
        self.outbox.insert(number, channel % self.wanted.len());
        self.is_connected.then(|| {
            let mut message = Vec::new();
            self.send_publish(&mut message, number);
            Bytes::from(message)
        })
    }

    /// Publishes something again that was acknowledged long ago, as an application does that lost its own notes. The
    /// answer must be the first one, wherever the record stands by now.
    pub(crate) fn publish_again(&mut self, pick: u64) -> Option<Bytes> {
        let count = u64::try_from(self.done.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        let number = *self.done.keys().nth(index)?;
        let channel = self.done.remove(&number)?;
        self.outbox.insert(number, channel);
        self.is_connected.then(|| {
            let mut message = Vec::new();
            self.send_publish(&mut message, number);
            Bytes::from(message)
        })
    }

    /// Everything that is not acknowledged, again, in order, in messages that no limit refuses.
    pub(crate) fn repeat(&mut self) -> Vec<Bytes> {
        if !self.is_connected {
            return Vec::new();
        }
        let numbers: Vec<u64> = self.outbox.keys().copied().collect();
        let repeated = numbers.chunks(REPEATS_PER_MESSAGE).map(|numbers| {
            let mut message = Vec::new();
            for number in numbers {
                if !message.is_empty() {
                    message.push(b'\n');
                }
                self.send_publish(&mut message, *number);
            }
            Bytes::from(message)
        });
        repeated.collect()
    }

    /// Takes what the link brought.
    pub(crate) fn receive(&mut self, bytes: &[u8], books: &mut Books<'_>) -> Vec<Action> {
        let mut input = bytes.to_vec();
        let mut messages = Vec::new();
        let mut is_closed = false;
        let mut reading = self.decoder.read(&mut input);
        while let Some(event) = reading.next_event().expect("a hub sends valid frames") {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    messages.push(Bytes::copy_from_slice(payload))
                }
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {}
                WebSocketEvent::Close { .. } => is_closed = true,
            }
        }
        let mut actions = Vec::new();
        for message in messages {
            for reply in
                json::decode_replies(&message, &LIMITS).expect("a hub sends valid messages")
            {
                self.take(
                    reply.expect("a hub sends valid replies"),
                    books,
                    &mut actions,
                );
            }
        }
        if is_closed {
            actions.push(Action::HangUp);
        }
        actions
    }

    /// Whether nothing is left to be done, given the channels' tops.
    pub(crate) fn is_settled(&self, tops: &BTreeMap<String, Position>) -> bool {
        let is_at_top = |wanted: &Wanted| {
            wanted.is_live && wanted.position.as_ref() == tops.get(&wanted.channel)
        };
        self.outbox.is_empty() && self.is_connected && self.wanted.iter().all(is_at_top)
    }

    /// What is not settled, for people.
    pub(crate) fn describe(&self) -> String {
        let Self {
            name,
            outbox,
            is_connected,
            wanted,
            ..
        } = self;
        format!(
            "{name}: connected {is_connected}, {} unacknowledged from {:?} on, subscriptions {wanted:?}",
            outbox.len(),
            outbox.keys().next()
        )
    }

    fn take(&mut self, reply: Reply, books: &mut Books<'_>, actions: &mut Vec<Action>) {
        match reply {
            Reply::Ping => actions.push(Action::Send(Bytes::from_static(b"{}"))),
            Reply::Push(Push { channel, event }) => self.take_push(&channel, event, books, actions),
            Reply::Response { id, outcome } => match (self.asked.remove(&id), outcome) {
                (Some(Asked::Connect), Ok(_)) => {
                    self.is_connected = true;
                    actions.extend(self.repeat().into_iter().map(Action::Send));
                }
                (Some(Asked::Subscribe { wanted, from }), Ok(ReplyResult::Subscribe(result))) => {
                    self.take_subscription(wanted, from.as_ref(), result, books);
                }
                (Some(Asked::Publish { number }), Ok(ReplyResult::Rpc(data))) => {
                    self.take_ack(number, &data, books);
                }
                (Some(Asked::Publish { .. }), Err(_)) => actions.push(Action::RetryLater),
                (Some(Asked::Connect | Asked::Subscribe { .. }), Err(_)) => {
                    actions.push(Action::HangUp);
                }
                (asked, outcome) => unreachable!("{asked:?} was answered with {outcome:?}"),
            },
        }
    }

    fn take_push(
        &mut self,
        channel: &str,
        event: PushEvent,
        books: &mut Books<'_>,
        actions: &mut Vec<Action>,
    ) {
        let Some(index) = self
            .wanted
            .iter()
            .position(|wanted| wanted.channel == channel)
        else {
            return;
        };
        match event {
            PushEvent::Publication(publication) => {
                self.take_publication(index, &publication, books);
            }
            PushEvent::Unsubscribe { code, .. } => {
                assert_eq!(
                    code,
                    UnsubscribeCode::Insufficient.code(),
                    "the only reason here"
                );
                books.totals.resubscribed += 1;
                if let Some(wanted) = self.wanted.get_mut(index) {
                    wanted.is_live = false;
                }
                let mut message = Vec::new();
                self.subscribe(&mut message, index, false);
                actions.push(Action::Send(Bytes::from(message)));
            }
            other @ (PushEvent::Join(_)
            | PushEvent::Leave(_)
            | PushEvent::Message(_)
            | PushEvent::Subscribe { .. }
            | PushEvent::Connect(_)
            | PushEvent::Disconnect { .. }
            | PushEvent::Refresh { .. }) => unreachable!("nobody asked for {other:?}"),
        }
    }

    fn take_subscription(
        &mut self,
        index: usize,
        from: Option<&Position>,
        result: SubscribeResult,
        books: &mut Books<'_>,
    ) {
        let SubscribeResult {
            position,
            publications,
            recovered,
            ..
        } = result;
        let Some(wanted) = self.wanted.get_mut(index) else {
            return;
        };
        wanted.is_live = true;
        wanted.position = Some(position.clone());
        let Some(from) = from else { return };
        let place = format!(
            "{} asked {} behind {from:?}, got {position:?}",
            self.name, wanted.channel
        );
        if from.offset >= NOWHERE {
            books.totals.lies += 1;
            if recovered {
                books
                    .reference
                    .break_promise(Promise::RecoveredMeansWhole, place);
            }
        } else if recovered {
            books.totals.recovered += 1;
            if position != *from {
                books
                    .reference
                    .break_promise(Promise::RecoveredMeansWhole, place);
            }
            for publication in &publications {
                self.take_publication(index, publication, books);
            }
        } else {
            books.totals.unrecovered += 1;
            let fell_out = books.has_fallen_out(from, &position);
            books.totals.positions_fallen_out += u64::from(fell_out);
            if books.is_whole && !fell_out {
                let seen = format!("{place}, not recovered");
                books
                    .reference
                    .break_promise(Promise::NothingAcknowledgedIsLost, seen);
            }
        }
    }

    fn take_publication(&mut self, index: usize, publication: &Publication, books: &mut Books<'_>) {
        books.totals.delivered += 1;
        let Some(wanted) = self.wanted.get_mut(index) else {
            return;
        };
        let Some(position) = &mut wanted.position else {
            return;
        };
        let (expected, offset) = (position.offset + 1, publication.offset);
        let seen = || {
            format!(
                "{} expected {expected} of {} and got {offset}",
                self.name, wanted.channel
            )
        };
        if !wanted.is_live || offset < expected {
            books
                .reference
                .break_promise(Promise::NothingIsDeliveredTwice, seen());
        } else if offset > expected {
            books.reference.break_promise(Promise::OrderIsKept, seen());
        }
        books.reference.deliver(
            &wanted.channel,
            &position.epoch,
            offset,
            key_of(&publication.data),
        );
        position.offset = offset;
    }

    fn take_ack(&mut self, number: u64, data: &Bytes, books: &mut Books<'_>) {
        let ack = idempotent::decode_ack(data, &LIMITS)
            .expect("a hub answers a keyed publish with its place");
        books.totals.duplicates_answered += u64::from(ack.duplicate);
        let Some(index) = self.outbox.remove(&number) else {
            return;
        };
        self.done.insert(number, index);
        let Some(channel) = self.wanted.get(index) else {
            return;
        };
        books.totals.acknowledged += 1;
        books
            .reference
            .acknowledge(&channel.channel, &self.key(number), &ack.epoch, ack.offset);
    }

    fn subscribe(&mut self, message: &mut Vec<u8>, index: usize, lies: bool) {
        let Some(wanted) = self.wanted.get(index) else {
            return;
        };
        let mut from = wanted.position.clone();
        if let Some(from) = from.as_mut().filter(|_| lies) {
            from.offset += NOWHERE;
        }
        let request = SubscribeRequest {
            channel: wanted.channel.clone(),
            recover: from.is_some(),
            position: from.clone().unwrap_or_default(),
            ..SubscribeRequest::default()
        };
        self.command(
            message,
            Asked::Subscribe {
                wanted: index,
                from,
            },
            Request::Subscribe(request),
        );
    }

    fn send_publish(&mut self, message: &mut Vec<u8>, number: u64) {
        let Some(channel) = self
            .outbox
            .get(&number)
            .and_then(|index| self.wanted.get(*index))
        else {
            return;
        };
        let key = self.key(number);
        let publish = IdempotentPublish {
            channel: channel.channel.clone(),
            data: Bytes::from(format!("\"{key} {}\"", self.padding)),
            idempotency_key: key,
        };
        let mut data = Vec::new();
        idempotent::append_publish(&mut data, &publish);
        let request = RpcRequest {
            method: idempotent::METHOD.to_owned(),
            data: Bytes::from(data),
        };
        self.command(message, Asked::Publish { number }, Request::Rpc(request));
    }

    fn command(&mut self, message: &mut Vec<u8>, asked: Asked, request: Request) {
        self.last_command += 1;
        self.asked.insert(self.last_command, asked);
        json::append_command(
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

/// The key that stands in a payload.
pub(crate) fn key_of(data: &[u8]) -> &str {
    let text = str::from_utf8(data).unwrap_or_default().trim_matches('"');
    text.split(' ').next().unwrap_or_default()
}

const LIMITS: Limits = Limits::REPLIES;

/// Added to the offset of a position that is a lie: no channel gets so far.
const NOWHERE: u64 = 1_000_000_000;

/// So many padded publishes stay well below the limit of a message.
const REPEATS_PER_MESSAGE: usize = 16;

fn decoder() -> Decoder {
    let limits = websocket::WebSocketLimits {
        message_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 20,
        fragments_max: 16,
    };
    Decoder::new(Role::Client, limits)
}
