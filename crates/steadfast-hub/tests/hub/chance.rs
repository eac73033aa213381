//! Random subscribing, leaving, lapses, removals and new histories, with answers in any order, against an account of
//! what each client may be shown.

#![expect(
    clippy::indexing_slicing,
    reason = "clients and channels are counted by constants"
)]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::io::{Input, LogEvent, PeerId};
use steadfast_hub::log::io::{
    Committed, Page, Read, ReadFrom, ReadResponse, Record, Request, Response,
};
use steadfast_hub::policy::hub::HubSettings;
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::json;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ChannelName, Publication, PushEvent, Reply, ReplyResult};

use crate::script::{Script, record, settings};

const CHANNELS: [&str; 3] = ["one", "two", "three"];
const CLIENTS: usize = 4;

#[test]
fn whatever_happens_a_subscription_has_no_hole_and_every_command_its_answer() {
    let mut totals = Totals::default();

    for seed in 0..1500 {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
        world.settle();
        totals.add(&world.totals);
    }

    println!("{totals:?}");
    assert!(totals.recovered > 1000 && totals.ended > 500);
    assert!(totals.refused > 500 && totals.pushed > 10_000 && totals.given_up > 500);
}

#[derive(Debug, Default)]
struct Totals {
    recovered: u64,
    ended: u64,
    refused: u64,
    pushed: u64,
    given_up: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.recovered += other.recovered;
        self.ended += other.ended;
        self.refused += other.refused;
        self.pushed += other.pushed;
        self.given_up += other.given_up;
    }
}

/// A channel as the log has it: publications `start..=top` are held.
#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: ChannelEpoch,
    start: u64,
    top: u64,
}

/// A read that knows what it will answer, unless the history changes until it does.
struct Pending {
    number: u64,
    channel: usize,
    epoch: ChannelEpoch,
    /// `None` if the position cannot be continued; the last offset before the page, and the page.
    page: Option<(u64, Vec<u64>)>,
}

type Position = (ChannelEpoch, u64);

/// What a command asked for, and in which channel.
#[derive(Clone, Copy)]
enum Asked {
    Subscribe(usize, Option<Position>),
    Unsubscribe(usize),
}

#[derive(Default)]
struct Client {
    peer: Option<PeerId>,
    next_command: u32,
    unanswered: BTreeMap<u32, Asked>,
    /// Where it stands in each channel it is subscribed to.
    stands: BTreeMap<usize, Position>,
    /// Where it stood last, which it offers when it comes back.
    stood: BTreeMap<usize, Position>,
    has_backlog: bool,
}

struct World {
    seed: u64,
    random: Generator,
    script: Script,
    held: Vec<Held>,
    pending: Vec<Pending>,
    /// The log's order, as far as the hub has not been shown it.
    order: VecDeque<LogEvent>,
    clients: Vec<Client>,
    totals: Totals,
}

impl World {
    fn new(seed: u64) -> Self {
        let held = Held {
            epoch: epoch(0),
            start: 1,
            top: 0,
        };
        Self {
            seed,
            random: Seed::new(seed).generator(),
            script: Script::with(HubSettings {
                asks_per_peer_max: 8,
                ..settings()
            }),
            held: vec![held; CHANNELS.len()],
            pending: Vec::new(),
            order: VecDeque::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            totals: Totals::default(),
        }
    }

    fn pick(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.random.below(bound)).expect("small")
    }

    fn step(&mut self) {
        let (client, channel) = (self.pick(CLIENTS), self.pick(CHANNELS.len()));
        match self.random.below(20) {
            0..=5 => self.commit(channel),
            6..=8 => self.deliver(),
            9..=11 => self.answer_one(),
            12..=14 => self.subscribe(client, channel),
            15 => self.unsubscribe(client, channel),
            16 => self.toggle_backlog(client),
            17 => match self.random.below(4) {
                0 => self.leave(client),
                1 => self.lapse(),
                2 => self.begin_history(channel),
                _ => self.remove_old(channel),
            },
            _ => {
                self.deliver();
                self.answer_one();
            }
        }
        self.take_up();
    }

    fn commit(&mut self, channel: usize) {
        for _ in 0..=self.random.below(4) {
            self.held[channel].top += 1;
            let Held { epoch, top, .. } = self.held[channel];
            self.order.push_back(LogEvent::Committed(Committed {
                channel: ChannelName::from(CHANNELS[channel]),
                epoch,
                record: stored(epoch, top),
            }));
        }
    }

    fn begin_history(&mut self, channel: usize) {
        let counter = self.held[channel].epoch.counter + 1;
        self.held[channel] = Held {
            epoch: epoch(counter),
            start: 1,
            top: 0,
        };
    }

    fn remove_old(&mut self, channel: usize) {
        let Held { start, top, .. } = self.held[channel];
        self.held[channel].start = start + self.random.below(top + 2 - start);
    }

    /// The core falls out of the ring: answers stay, and the gap is told behind them.
    fn lapse(&mut self) {
        self.order
            .retain(|event| matches!(event, LogEvent::Answered { .. } | LogEvent::Lapsed));
        self.order.push_back(LogEvent::Lapsed);
    }

    fn deliver(&mut self) {
        let count = self.pick(6).min(self.order.len());
        let events = self.order.drain(..count).collect();
        self.script.log(events);
    }

    fn answer_one(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.pick(self.pending.len());
        let Pending {
            number,
            channel,
            epoch,
            page,
        } = self.pending.swap_remove(index);
        let held = self.held[channel];
        let page = match page.filter(|_| epoch == held.epoch) {
            None => Page::Unrecoverable,
            Some((before, offsets)) => Page::Records {
                has_more: offsets.last().copied().unwrap_or(before) < held.top,
                records: offsets.into_iter().map(|o| stored(epoch, o)).collect(),
            },
        };
        let answer = Response::Read(ReadResponse {
            epoch: held.epoch,
            high_watermark: held.top,
            page,
        });
        self.order.push_back(LogEvent::Answered { number, answer });
    }

    fn plan(&self, read: &Read) -> Pending {
        let channel = CHANNELS
            .iter()
            .position(|name| *name == read.channel.as_str())
            .expect("known");
        let held = self.held[channel];
        let before = match read.from {
            ReadFrom::Oldest => Some(held.start - 1),
            ReadFrom::After { epoch, offset } => {
                (epoch == held.epoch && offset <= held.top && offset + 1 >= held.start)
                    .then_some(offset)
            }
            ReadFrom::Newest | ReadFrom::Before { .. } => panic!("no history is asked for"),
        };
        let page = before.map(|before| {
            let offsets = (before + 1..=held.top).take(read.limit).collect();
            (before, offsets)
        });
        Pending {
            number: read.request_id.number,
            channel,
            epoch: held.epoch,
            page,
        }
    }

    fn subscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let position = match self.random.below(4) {
            0 => None,
            1 => Some((self.held[channel].epoch, self.pick_offset(channel))),
            _ => self.clients[client].stood.get(&channel).copied(),
        };
        let id = self.command(client, Asked::Subscribe(channel, position));
        let name = CHANNELS[channel];
        let recover = position.map_or_else(String::new, |(epoch, offset)| {
            format!(r#","recover":true,"epoch":"{epoch}","offset":{offset}"#)
        });
        self.script.send(
            peer,
            &format!(r#"{{"id":{id},"subscribe":{{"channel":"{name}"{recover}}}}}"#),
        );
    }

    fn pick_offset(&mut self, channel: usize) -> u64 {
        let top = self.held[channel].top;
        self.random.below(top + 1)
    }

    fn unsubscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let id = self.command(client, Asked::Unsubscribe(channel));
        let name = CHANNELS[channel];
        self.script.send(
            peer,
            &format!(r#"{{"id":{id},"unsubscribe":{{"channel":"{name}"}}}}"#),
        );
    }

    fn command(&mut self, client: usize, asked: Asked) -> u32 {
        let known = &mut self.clients[client];
        known.next_command += 1;
        known.unanswered.insert(known.next_command, asked);
        known.next_command
    }

    fn toggle_backlog(&mut self, client: usize) {
        let peer = self.peer(client);
        let bytes = [100, 1 << 20][self.pick(2)];
        let known = &mut self.clients[client];
        known.has_backlog = !known.has_backlog;
        self.script.handle(if known.has_backlog {
            Input::Backlog { peer, bytes }
        } else {
            Input::Drained { peer }
        });
    }

    fn leave(&mut self, client: usize) {
        if let Some(peer) = self.clients[client].peer.take() {
            self.script.lose(peer);
            let mut stood = std::mem::take(&mut self.clients[client].stood);
            stood.append(&mut self.clients[client].stands);
            self.clients[client] = Client {
                stood,
                ..Client::default()
            };
        }
    }

    fn peer(&mut self, client: usize) -> PeerId {
        if let Some(peer) = self.clients[client].peer {
            return peer;
        }
        let peer = self.script.connect();
        self.clients[client].peer = Some(peer);
        self.clients[client].next_command = 1;
        peer
    }

    /// Lets the log see what was asked, and the clients what was sent.
    fn take_up(&mut self) {
        let limits = Limits {
            message_bytes: 1 << 20,
            messages_max: 10_000,
            ..Limits::DEFAULT
        };
        for client in 0..CLIENTS {
            let Some(peer) = self.clients[client].peer else {
                continue;
            };
            let text = Bytes::from(self.script.read(peer));
            if text.is_empty() {
                continue;
            }
            for reply in json::decode_replies(&text, &limits).expect("a message") {
                self.show(client, reply.expect("a reply"));
            }
        }
        for request in std::mem::take(&mut self.script.asked) {
            let Request::Read(read) = request else {
                panic!("nobody publishes here")
            };
            let pending = self.plan(&read);
            self.pending.push(pending);
        }
        assert!(self.script.closed.is_empty(), "seed {}", self.seed);
    }

    fn show(&mut self, client: usize, reply: Reply) {
        let (seed, known) = (self.seed, &mut self.clients[client]);
        match reply {
            Reply::Response { id, outcome } => {
                let asked = known.unanswered.remove(&id);
                let asked = asked.unwrap_or_else(|| panic!("seed {seed}: {id} answered twice"));
                match (asked, outcome) {
                    (Asked::Subscribe(channel, offered), Ok(ReplyResult::Subscribe(granted))) => {
                        let epoch: ChannelEpoch = granted.position.epoch.parse().expect("ours");
                        let from = (epoch, granted.position.offset);
                        if granted.recovered {
                            assert_eq!(Some(from), offered, "seed {seed}: recovered elsewhere");
                            self.totals.recovered += 1;
                        } else {
                            assert!(granted.publications.is_empty(), "seed {seed}");
                        }
                        let before = known.stands.insert(channel, from);
                        assert_eq!(before, None, "seed {seed}: granted twice");
                        for publication in granted.publications {
                            known.take(seed, channel, &publication);
                        }
                    }
                    (Asked::Subscribe(..), Err(error)) => {
                        assert!([100, 105].contains(&error.code), "seed {seed}: {error:?}");
                        self.totals.refused += 1;
                    }
                    (Asked::Unsubscribe(channel), Ok(ReplyResult::Unsubscribe)) => {
                        known.leave(channel);
                        self.totals.given_up += 1;
                    }
                    (_, other) => panic!("seed {seed}: {other:?}"),
                }
            }
            Reply::Push(push) => {
                let channel = CHANNELS.iter().position(|name| *name == push.channel);
                let channel = channel.expect("known");
                if let PushEvent::Publication(publication) = &push.event {
                    known.take(seed, channel, publication);
                    self.totals.pushed += 1;
                } else if let PushEvent::Unsubscribe { code: 2500, .. } = push.event {
                    assert!(known.leave(channel), "seed {seed}: ended twice");
                    self.totals.ended += 1;
                } else {
                    panic!("seed {seed}: {push:?}");
                }
            }
            Reply::Ping => panic!("seed {seed}: no time passes"),
        }
    }

    /// Everything comes to rest: then everybody stands at the top, and nothing is owed or kept.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if self.clients[client].has_backlog {
                self.toggle_backlog(client);
            }
        }
        self.take_up();
        for channel in 0..CHANNELS.len() {
            self.commit(channel);
        }
        while !self.pending.is_empty() || !self.order.is_empty() {
            self.answer_one();
            self.deliver();
            self.take_up();
        }
        let seed = self.seed;
        for known in &self.clients {
            assert!(known.unanswered.is_empty(), "seed {seed}: no answer");
            for (channel, stands) in &known.stands {
                let held = self.held[*channel];
                assert_eq!(*stands, (held.epoch, held.top), "seed {seed}: left behind");
            }
        }
        for client in 0..CLIENTS {
            self.leave(client);
        }
        assert_eq!(self.script.channel_count(), 0, "seed {seed}");
    }
}

impl Client {
    fn take(&mut self, seed: u64, channel: usize, publication: &Publication) {
        let (epoch, offset) = self
            .stands
            .get_mut(&channel)
            .unwrap_or_else(|| panic!("seed {seed}: not subscribed"));
        *offset += 1;
        assert_eq!(
            publication.offset, *offset,
            "seed {seed}: a hole or a repeat"
        );
        let expected = stored(*epoch, *offset).data;
        assert_eq!(publication.data, expected, "seed {seed}: another history");
    }

    /// False if it is not subscribed.
    fn leave(&mut self, channel: usize) -> bool {
        let stood = self.stands.remove(&channel);
        stood.is_some_and(|stood| {
            self.stood.insert(channel, stood);
            true
        })
    }
}

fn epoch(counter: u32) -> ChannelEpoch {
    ChannelEpoch {
        incarnation: 0xe,
        counter,
    }
}

/// A record whose payload tells its history and its place.
fn stored(epoch: ChannelEpoch, offset: u64) -> Record {
    Record {
        data: Bytes::from(format!("[{},{offset}]", epoch.counter)),
        ..record(offset)
    }
}
