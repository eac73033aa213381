//! Random losses, restarts, forgotten histories and slow reading against a server with history, and an account of what
//! the application may be shown: no item twice, none missing without a gap, none out of order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::event::State;
use steadfast_core::io::{Attempt, Delivery, Feed, Input, PublicationId, SubscriptionId};
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, Position, Publication, Push, PushEvent, Reply, ReplyResult, Request, SubscribeRequest,
    SubscribeResult,
};

use crate::script::{Script, settings, stands};

const CHANNEL: &str = "room";
/// A reply carries at most so many recovered publications; the rest follows as pushes.
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
}

/// One channel with its history.
#[derive(Default)]
struct Server {
    histories: u32,
    /// The data of each publication; offset 1 is the first.
    log: Vec<Bytes>,
    /// Offsets up to here are gone.
    trimmed: u64,
    /// Keys that were applied, and where.
    keys: Vec<(String, u64)>,
    connection: Option<Attempt>,
    is_subscribed: bool,
    outbound: VecDeque<Reply>,
    /// Subscriptions that could not be recovered.
    unrecovered: u64,
}

impl Server {
    fn epoch(&self) -> String {
        format!("h{}", self.histories)
    }

    fn top(&self) -> u64 {
        u64::try_from(self.log.len()).expect("small")
    }

    fn publication(&self, offset: u64) -> Publication {
        let index = usize::try_from(offset - 1).expect("small");
        Publication {
            data: self.log.get(index).expect("it is there").clone(),
            offset,
            ..Publication::default()
        }
    }

    fn append(&mut self, data: Bytes) -> u64 {
        self.log.push(data);
        let offset = self.top();
        if self.is_subscribed {
            self.push(offset);
        }
        offset
    }

    fn push(&mut self, offset: u64) {
        let event = PushEvent::Publication(self.publication(offset));
        let channel = CHANNEL.to_owned();
        self.outbound
            .push_back(Reply::Push(Push { channel, event }));
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.is_subscribed = false;
        self.outbound.clear();
    }

    fn obey(&mut self, command: &Command) {
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
            | Request::SubRefresh(_) => panic!("not asked for here: {command:?}"),
        };
        self.answer(command.id, result);
    }

    fn answer(&mut self, id: u32, result: ReplyResult) {
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
        let asked = &request.position;
        let is_kept = asked.offset >= self.trimmed && asked.offset <= self.top();
        let recovers = request.recover && asked.epoch == self.epoch() && is_kept;
        let begin = if recovers { asked.offset } else { self.top() };
        let position = Position {
            epoch: self.epoch(),
            offset: begin,
        };
        let missed: Vec<u64> = (begin + 1..=self.top()).collect();
        let (first, rest) = missed.split_at(missed.len().min(IN_REPLY));
        let result = SubscribeResult {
            recovered: recovers,
            was_recovering: request.recover,
            publications: first.iter().map(|it| self.publication(*it)).collect(),
            ..stands(position)
        };
        self.unrecovered += u64::from(request.recover && !recovers);
        self.answer(id, ReplyResult::Subscribe(result));
        self.is_subscribed = true;
        for offset in rest {
            self.push(*offset);
        }
    }

    /// A new history: everything is gone.
    fn restart(&mut self) {
        self.histories += 1;
        self.log.clear();
        self.keys.clear();
        self.trimmed = 0;
        self.hang_up();
    }
}

struct World {
    script: Script,
    server: Server,
    generator: Generator,
    subscription: SubscriptionId,
    /// What the application has seen; `None` before it was told.
    seen: Option<Position>,
    /// Feeds that the application has not taken.
    waiting: usize,
    foreign: u64,
    /// Resolutions that were checked.
    resolved: usize,
    totals: Totals,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut settings = settings();
        settings.outbox.key_window = Duration::from_hours(1);
        let mut script = Script::with(settings, seed);
        let subscription = script.subscribe(CHANNEL, 5);
        Self {
            script,
            server: Server::default(),
            generator: Seed::new(seed).generator(),
            subscription,
            seen: None,
            waiting: 0,
            foreign: 0,
            resolved: 0,
            totals: Totals::default(),
        }
    }

    fn step(&mut self) {
        match self.generator.below(20) {
            0..=3 => {
                self.foreign += 1;
                let data = Bytes::from(format!("\"f{}\"", self.foreign));
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
            13..=14 => self.take(2),
            15 => self.come_and_go(),
            16 => self.connect(),
            17 => {
                if self.generator.chance(1, 8) {
                    self.totals.restarts += 1;
                    self.cut();
                    self.server.restart();
                }
            }
            18 => {
                if self.generator.chance(1, 4) {
                    self.server.trimmed = self.server.top();
                }
            }
            _ => {
                let pause = self.generator.below(2_000);
                self.script.pass(Duration::from_millis(pause));
            }
        }
        self.look();
    }

    fn come_and_go(&mut self) {
        if self.generator.chance(1, 2) {
            self.cut();
        }
        self.connect();
    }

    fn cut(&mut self) {
        if self.script.account.is_open() {
            self.totals.losses += 1;
            self.script.lose();
        }
        self.server.hang_up();
    }

    fn connect(&mut self) {
        if self.script.account.is_open() {
            return;
        }
        self.server.hang_up();
        if !self.script.account.is_dialing() {
            self.script.handle(Input::Kicked);
        }
        self.script.connect();
        self.server.connection = Some(self.script.attempt());
    }

    fn has_line(&self) -> bool {
        let attempt = Some(self.script.attempt());
        self.script.account.is_open() && self.server.connection == attempt
    }

    fn server_reads(&mut self) {
        if self.has_line() {
            for command in self.script.commands() {
                self.server.obey(&command);
            }
        }
    }

    fn server_writes(&mut self, replies: u64) {
        for _ in 0..replies {
            if !self.has_line() {
                self.server.hang_up();
                return;
            }
            let Some(reply) = self.server.outbound.pop_front() else {
                return;
            };
            self.script.reply(&reply);
            self.look();
        }
    }

    fn take(&mut self, most: usize) {
        let items = self.waiting.min(most);
        self.waiting -= items;
        let id = self.subscription;
        self.script.handle(Input::Taken { id, items });
    }

    /// What the application is shown, against what it has seen.
    fn look(&mut self) {
        for feed in self.script.drain_feeds() {
            self.waiting += 1;
            assert!(self.waiting <= 5 + 2 + IN_REPLY, "more than the buffer");
            match feed {
                Feed::Started { position } => {
                    assert_eq!(self.seen, None, "started twice");
                    self.seen = Some(position);
                }
                Feed::Resumed { position } => {
                    assert_eq!(self.seen.as_ref(), Some(&position), "resumed elsewhere");
                    self.totals.resumed += 1;
                }
                Feed::Gap { from, to } => {
                    assert_eq!(self.seen, from, "a gap that begins elsewhere");
                    self.totals.gaps += 1;
                    self.seen = Some(to);
                }
                Feed::Item(publication) => self.see(&publication),
                Feed::Joined(_) | Feed::Left(_) | Feed::Ended { .. } => panic!("{feed:?}"),
            }
        }
        assert!(
            self.totals.gaps <= self.server.unrecovered,
            "a gap that the server did not tell"
        );
        let resolved = self.script.resolved.split_off(self.resolved);
        for (id, delivery) in resolved {
            self.on_delivery(id, &delivery);
            self.script.resolved.push((id, delivery));
            self.resolved += 1;
        }
    }

    fn see(&mut self, publication: &Publication) {
        let seen = self.seen.as_mut().expect("started before");
        assert_eq!(publication.offset, seen.offset + 1, "in order, no hole");
        seen.offset = publication.offset;
        self.totals.items += 1;
        if seen.epoch == self.server.epoch() {
            let kept = self.server.publication(publication.offset);
            assert_eq!(kept.data, publication.data);
        }
    }

    fn on_delivery(&mut self, id: PublicationId, delivery: &Delivery) {
        match delivery {
            Delivery::Acknowledged {
                position,
                duplicate,
            } => {
                self.totals.acknowledged += 1;
                self.totals.duplicates += u64::from(*duplicate);
                if position.epoch == self.server.epoch() {
                    let kept = self.server.publication(position.offset);
                    assert_eq!(kept.data, format!("\"k{}\"", id.0));
                }
            }
            Delivery::Interrupted { .. } | Delivery::Dropped(_) | Delivery::Expired => {
                self.totals.interrupted += 1;
            }
        }
    }

    /// Everything that is left gets through.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.connect();
            self.server_reads();
            self.server_writes(8);
            self.take(5);
            self.look();
        }
        let snapshot = self.script.snapshot();
        assert_eq!(snapshot.state, State::Connected, "{snapshot:?}");
        assert_eq!(self.script.account.owed(), 0, "every receipt has its end");
        let seen = self.seen.clone().expect("started");
        assert_eq!(seen.offset, self.server.top(), "nothing is missing");
        assert_eq!(seen.epoch, self.server.epoch());
        self.check_log();
    }

    /// Own publications are in the log once, in the order in which they were handed in.
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
fn whatever_happens_no_item_is_missing_doubled_or_overtaken_without_a_word() {
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
    }

    println!("{sum:?}");
    assert!(sum.items > 10_000 && sum.resumed > 1_000 && sum.gaps > 200);
    assert!(sum.losses > 1_000 && sum.restarts > 200 && sum.duplicates > 500);
    assert!(sum.acknowledged > 10_000 && sum.interrupted == 0);
}
