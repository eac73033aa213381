//! Random losses, restarts, lost histories and slow consumption against a server with history. The test checks what
//! the application receives: no publication twice, none missing without a gap, none out of order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{
    Acknowledgement, Input, Item, SendResult, SubscriptionEvent,
};
use steadfast_core::event::SessionState;
use steadfast_core::io::{Attempt, MessageId, SubscriptionId};
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelName, Command, Position, Publication, Push, PushEvent, Reply, ReplyResult, Request,
    SubscribeRequest, SubscribeResult,
};

use crate::script::{Script, settings, subscribed};

const CHANNEL: &str = "chat";
/// The maximum number of recovered publications in a reply; the others follow as pushes.
const IN_REPLY: usize = 2;

#[derive(Debug, Default)]
struct Totals {
    items: u64,
    resumed: u64,
    gaps: u64,
    losses: u64,
    restarts: u64,
    acknowledged: u64,
    duplicates: u64,
    interrupted: u64,
    switches: u64,
    late: u64,
}

/// A server with one channel and its history.
#[derive(Default)]
struct Server {
    histories: u32,
    /// The data of each publication; the first publication has offset 1.
    log: Vec<Bytes>,
    /// The last offset that was removed.
    trimmed: u64,
    /// Idempotency keys and their offsets.
    keys: Vec<(String, u64)>,
    connection: Option<Attempt>,
    is_subscribed: bool,
    outbound: VecDeque<Reply>,
    /// Subscriptions that were not recovered.
    unrecovered: u64,
}

impl Server {
    fn epoch(&self) -> String {
        format!("h{}", self.histories)
    }

    fn high_watermark(&self) -> u64 {
        u64::try_from(self.log.len()).expect("small")
    }

    fn publication(&self, offset: u64) -> Publication {
        let index = usize::try_from(offset - 1).expect("small");
        Publication {
            data: self.log.get(index).expect("it is kept").clone(),
            offset,
            ..Publication::default()
        }
    }

    fn append(&mut self, data: Bytes) -> u64 {
        self.log.push(data);
        let offset = self.high_watermark();
        if self.is_subscribed {
            self.push(offset);
        }
        offset
    }

    fn push(&mut self, offset: u64) {
        let event = PushEvent::Publication(self.publication(offset));
        let channel = ChannelName::from(CHANNEL);
        self.outbound
            .push_back(Reply::Push(Push { channel, event }));
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.is_subscribed = false;
        self.outbound.clear();
    }

    fn execute(&mut self, command: &Command) {
        let result = match &command.request {
            Request::Connect(_) => return,
            Request::Rpc(rpc) => self.publish(&rpc.data),
            Request::Subscribe(request) => return self.subscribe(command.id, request),
            Request::Unsubscribe(_) => {
                self.is_subscribed = false;
                ReplyResult::Unsubscribe
            }
            Request::Pong => return,
            Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_) => panic!("not expected here: {command:?}"),
        };
        self.reply_to(command.id, result);
    }

    fn reply_to(&mut self, id: u32, result: ReplyResult) {
        let outcome = Ok(result);
        self.outbound.push_back(Reply::Response { id, outcome });
    }

    fn publish(&mut self, argument: &Bytes) -> ReplyResult {
        let publish = idempotent::decode_publish(argument, &Limits::DEFAULT).expect("valid");
        let known = self
            .keys
            .iter()
            .find(|(key, _)| *key == publish.idempotency_key);
        let known = known.map(|(_, offset)| *offset);
        let duplicate = known.is_some();
        let offset = known.unwrap_or_else(|| {
            let offset = self.append(Bytes::from(format!("\"{}\"", publish.idempotency_key)));
            self.keys.push((publish.idempotency_key, offset));
            offset
        });
        let epoch = self.epoch();
        let mut result = Vec::new();
        let ack = IdempotentAck {
            offset,
            epoch,
            duplicate,
        };
        idempotent::append_ack(&mut result, &ack);
        ReplyResult::Rpc(Bytes::from(result))
    }

    fn subscribe(&mut self, id: u32, request: &SubscribeRequest) {
        assert!(!self.is_subscribed, "subscribed twice on one connection");
        let requested = &request.position;
        let is_kept = requested.offset >= self.trimmed && requested.offset <= self.high_watermark();
        let recovers = request.recover && requested.epoch == self.epoch() && is_kept;
        let begin = if recovers {
            requested.offset
        } else {
            self.high_watermark()
        };
        let position = Position {
            epoch: self.epoch(),
            offset: begin,
        };
        let missed: Vec<u64> = (begin + 1..=self.high_watermark()).collect();
        let (first, rest) = missed.split_at(missed.len().min(IN_REPLY));
        let result = SubscribeResult {
            recovered: recovers,
            was_recovering: request.recover,
            publications: first.iter().map(|it| self.publication(*it)).collect(),
            ..subscribed(position)
        };
        self.unrecovered += u64::from(request.recover && !recovers);
        self.reply_to(id, ReplyResult::Subscribe(result));
        self.is_subscribed = true;
        for offset in rest {
            self.push(*offset);
        }
    }

    /// Starts a new, empty history.
    fn restart(&mut self) {
        self.histories += 1;
        self.log.clear();
        self.keys.clear();
        self.trimmed = 0;
        self.disconnect();
    }
}

struct World {
    script: Script,
    server: Server,
    generator: Generator,
    subscription: SubscriptionId,
    /// The last position that the application received; `None` before the first event.
    seen: Option<Position>,
    /// Events that the application has not consumed.
    buffered: usize,
    by_others: u64,
    /// Commands over connections that were replaced, which the server has not read.
    late: Vec<Command>,
    /// The number of outcomes that were checked.
    publication_outcomes: usize,
    totals: Totals,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut settings = settings();
        settings.outbox.resend_window = Duration::from_hours(1);
        let mut script = Script::with(settings, seed);
        let subscription = script.subscribe(CHANNEL, 5);
        Self {
            script,
            server: Server::default(),
            generator: Seed::new(seed).generator(),
            subscription,
            seen: None,
            buffered: 0,
            by_others: 0,
            late: Vec::new(),
            publication_outcomes: 0,
            totals: Totals::default(),
        }
    }

    fn step(&mut self) {
        match self.generator.below(24) {
            0..=3 => {
                self.by_others += 1;
                let data = Bytes::from(format!("\"f{}\"", self.by_others));
                self.server.append(data);
            }
            4..=5 => {
                self.script.publish();
            }
            6..=8 => self.server_reads(),
            9..=12 => {
                let replies = self.generator.below(4);
                self.server_writes(replies);
            }
            13..=14 => self.consume(2),
            15 => self.reconnect(),
            16 => self.connect(),
            17 => {
                if self.generator.chance(1, 8) {
                    self.totals.restarts += 1;
                    while self.script.invariants.is_open() {
                        self.lose_connection();
                    }
                    self.server.restart();
                    self.late.clear();
                }
            }
            20..=22 => self.migrate(),
            23 => self.read_late(),
            18 => {
                if self.generator.chance(1, 4) {
                    self.server.trimmed = self.server.high_watermark();
                }
            }
            _ => {
                let pause = self.generator.below(2_000);
                self.script.advance(Duration::from_millis(pause));
            }
        }
        self.follow_switch();
        self.check_deliveries();
    }

    /// The connection that is to replace the present one makes progress, or another one begins.
    fn migrate(&mut self) {
        if self.script.invariants.standby().is_none() {
            self.script.migrate(None);
        } else if !self.script.invariants.is_standby_open() {
            self.script.dial_standby();
        } else if self.script.must_accept_standby() {
            self.script.accept_standby();
        }
        self.follow_switch();
    }

    /// After a switch the server replies over the new connection. It may read later what was sent over the old one.
    fn follow_switch(&mut self) {
        let attempt = Some(self.script.attempt());
        if self.script.invariants.is_open()
            && self.server.connection.is_some()
            && self.server.connection != attempt
        {
            self.totals.switches += 1;
            self.server.disconnect();
            self.server.connection = attempt;
            self.late.append(&mut self.script.retired_inbox);
        }
    }

    /// The server reads what was sent over connections that were replaced. No client receives its replies.
    fn read_late(&mut self) {
        for command in std::mem::take(&mut self.late) {
            if let Request::Rpc(rpc) = &command.request {
                self.totals.late += 1;
                self.server.publish(&rpc.data);
            }
        }
    }

    fn reconnect(&mut self) {
        if self.generator.chance(1, 2) {
            self.lose_connection();
        }
        self.connect();
    }

    fn lose_connection(&mut self) {
        if self.script.invariants.is_open() {
            self.totals.losses += 1;
            self.script.lose_connection();
            self.follow_switch();
        }
        if !self.script.invariants.is_open() {
            self.server.disconnect();
        }
    }

    fn connect(&mut self) {
        if self.script.invariants.is_open() {
            return;
        }
        self.server.disconnect();
        if !self.script.invariants.is_dialing() {
            self.script.redial();
        }
        self.script.connect();
        self.server.connection = Some(self.script.attempt());
    }

    fn is_connected(&self) -> bool {
        let attempt = Some(self.script.attempt());
        self.script.invariants.is_open() && self.server.connection == attempt
    }

    fn server_reads(&mut self) {
        if self.is_connected() {
            for command in self.script.commands() {
                self.server.execute(&command);
            }
        }
    }

    fn server_writes(&mut self, replies: u64) {
        for _ in 0..replies {
            if !self.is_connected() {
                self.server.disconnect();
                return;
            }
            let Some(reply) = self.server.outbound.pop_front() else {
                return;
            };
            self.script.reply(&reply);
            self.follow_switch();
            self.check_deliveries();
        }
    }

    fn consume(&mut self, most: usize) {
        let items = self.buffered.min(most);
        self.buffered -= items;
        let id = self.subscription;
        self.script.handle(Input::Consumed { id, items });
    }

    /// Checks what the application received since the last check.
    fn check_deliveries(&mut self) {
        for event in self.script.drain_subscription_events() {
            self.buffered += 1;
            assert!(self.buffered <= 5 + 2 + IN_REPLY, "more than the buffer");
            match event {
                SubscriptionEvent::Subscribed { position } => {
                    assert_eq!(self.seen, None, "subscribed twice");
                    self.seen = Some(position);
                }
                SubscriptionEvent::Resumed { position } => {
                    assert_eq!(
                        self.seen.as_ref(),
                        Some(&position),
                        "resumed at another position"
                    );
                    self.totals.resumed += 1;
                }
                SubscriptionEvent::Gap { from, to } => {
                    assert_eq!(self.seen, from, "a gap from another position");
                    self.totals.gaps += 1;
                    self.seen = Some(to);
                }
                SubscriptionEvent::Item(Item::Publication(publication)) => {
                    self.on_publication(&publication);
                }
                SubscriptionEvent::Item(_) | SubscriptionEvent::Unsubscribed(_) | _ => {
                    panic!("{event:?}")
                }
            }
        }
        assert!(
            self.totals.gaps <= self.server.unrecovered,
            "a gap that the server did not report"
        );
        let publication_outcomes = self
            .script
            .publication_outcomes
            .split_off(self.publication_outcomes);
        for (id, outcome) in publication_outcomes {
            self.on_delivery(id, &outcome);
            self.script.publication_outcomes.push((id, outcome));
            self.publication_outcomes += 1;
        }
    }

    fn on_publication(&mut self, publication: &Publication) {
        let seen = self.seen.as_mut().expect("subscribed before");
        assert_eq!(publication.offset, seen.offset + 1, "in order, no gap");
        seen.offset = publication.offset;
        self.totals.items += 1;
        if seen.epoch == self.server.epoch() {
            let kept = self.server.publication(publication.offset);
            assert_eq!(kept.data, publication.data);
        }
    }

    fn on_delivery(&mut self, id: MessageId, outcome: &SendResult) {
        match outcome {
            Ok(Acknowledgement {
                position,
                duplicate,
                ..
            }) => {
                self.totals.acknowledged += 1;
                self.totals.duplicates += u64::from(*duplicate);
                if position.epoch == self.server.epoch() {
                    let kept = self.server.publication(position.offset);
                    assert_eq!(kept.data, format!("\"k{}\"", id.0));
                }
            }
            Err(_) => {
                self.totals.interrupted += 1;
            }
        }
    }

    /// Lets everything complete without faults.
    fn settle(&mut self) {
        self.read_late();
        for _ in 0..400 {
            self.connect();
            self.server_reads();
            self.server_writes(8);
            self.consume(5);
            self.check_deliveries();
        }
        let snapshot = self.script.snapshot();
        assert_eq!(snapshot.state, SessionState::Connected, "{snapshot:?}");
        assert_eq!(
            self.script.invariants.pending(),
            0,
            "each receipt has its outcome"
        );
        let seen = self.seen.clone().expect("started");
        assert_eq!(
            seen.offset,
            self.server.high_watermark(),
            "nothing is missing"
        );
        assert_eq!(seen.epoch, self.server.epoch());
        self.check_log();
    }

    /// The client's publications are in the log once, in the order in which they were requested.
    fn check_log(&self) {
        let own = self.server.log.iter().filter_map(|data| {
            let text = std::str::from_utf8(data).expect("text");
            text.trim_matches('"')
                .strip_prefix('k')?
                .parse::<u64>()
                .ok()
        });
        let own: Vec<u64> = own.collect();
        assert!(own.is_sorted_by(|a, b| a < b), "once and in order: {own:?}");
    }
}

#[test]
fn whatever_happens_no_publication_is_missing_duplicated_or_reordered_without_a_report() {
    let mut sum = Totals::default();

    for seed in 0..800 {
        let mut world = World::new(seed);
        for _ in 0..250 {
            world.step();
        }
        world.settle();
        let it = &world.totals;
        sum.items += it.items;
        sum.resumed += it.resumed;
        sum.gaps += it.gaps;
        sum.losses += it.losses;
        sum.restarts += it.restarts;
        sum.acknowledged += it.acknowledged;
        sum.duplicates += it.duplicates;
        sum.interrupted += it.interrupted;
        sum.switches += it.switches;
        sum.late += it.late;
    }

    println!("{sum:?}");
    assert!(sum.items > 10_000 && sum.resumed > 1_000 && sum.gaps > 200);
    assert!(sum.losses > 1_000 && sum.restarts > 200 && sum.duplicates > 500);
    assert!(sum.acknowledged > 10_000 && sum.interrupted == 0);
    assert!(sum.switches > 1_000 && sum.late > 100);
}
