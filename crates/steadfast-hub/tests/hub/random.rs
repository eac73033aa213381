//! Random subscribing, unsubscribing, disconnecting, lagging, removals and new histories, with responses in any order,
//! compared with a reference model of what each client may receive.

#![expect(
    clippy::indexing_slicing,
    reason = "clients and channels are counted by constants"
)]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_engine::{
    ChannelEpoch, Committed, EngineEvent, Page, Read, ReadFrom, ReadResponse, Record, Request,
    Response,
};
use steadfast_hub::io::{Input, PeerId};
use steadfast_hub::policy::HubSettings;
use steadfast_machine::{Generator, Seed};
use steadfast_protocol::message::{ChannelName, Publication, PushEvent, Reply, ReplyResult};

use crate::messages::{recover, subscribe, unsubscribe};
use crate::responses::record;
use crate::script::{Script, settings};

const CHANNELS: [&str; 3] = ["one", "two", "three"];
const CLIENTS: usize = 4;

#[test]
fn in_random_runs_a_subscription_has_no_gap_and_every_command_has_a_reply() {
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
    assert!(totals.recovered > 1000 && totals.closed > 500);
    assert!(totals.rejected > 500 && totals.pushed > 10_000 && totals.unsubscribed > 500);
}

#[derive(Debug, Default)]
struct Totals {
    recovered: u64,
    closed: u64,
    rejected: u64,
    pushed: u64,
    unsubscribed: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.recovered += other.recovered;
        self.closed += other.closed;
        self.rejected += other.rejected;
        self.pushed += other.pushed;
        self.unsubscribed += other.unsubscribed;
    }
}

/// A channel as the log has it: publications `start..=high_watermark` are stored.
#[derive(Clone, Copy, Debug)]
struct History {
    epoch: ChannelEpoch,
    start: u64,
    high_watermark: u64,
}

/// A read whose result is determined, unless the history changes before the response.
struct Pending {
    number: u64,
    channel: usize,
    epoch: ChannelEpoch,
    /// `None` if the position cannot be continued, else the last offset before the page, and the offsets of the page.
    page: Option<(u64, Vec<u64>)>,
}

type Position = (ChannelEpoch, u64);

/// What a command requested, and in which channel.
#[derive(Clone, Copy)]
enum Requested {
    Subscribe(usize, Option<Position>),
    Unsubscribe(usize),
}

#[derive(Default)]
struct Client {
    peer: Option<PeerId>,
    next_command: u32,
    pending_replies: BTreeMap<u32, Requested>,
    /// The position in each channel to which the client is subscribed.
    positions: BTreeMap<usize, Position>,
    /// The client's last position in each channel, which it sends when it resubscribes.
    last_positions: BTreeMap<usize, Position>,
    has_send_buffer: bool,
}

struct World {
    seed: u64,
    random: Generator,
    script: Script,
    histories: Vec<History>,
    pending: Vec<Pending>,
    /// The entries of the log's order that the hub has not received yet.
    order: VecDeque<EngineEvent>,
    clients: Vec<Client>,
    totals: Totals,
}

impl World {
    fn new(seed: u64) -> Self {
        let history = History {
            epoch: epoch(0),
            start: 1,
            high_watermark: 0,
        };
        Self {
            seed,
            random: Seed::new(seed).generator(),
            script: Script::with(HubSettings {
                pending_requests_per_peer_max: 8,
                ..settings()
            }),
            histories: vec![history; CHANNELS.len()],
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
            9..=11 => self.respond_one(),
            12..=14 => self.subscribe(client, channel),
            15 => self.unsubscribe(client, channel),
            16 => self.toggle_send_buffer(client),
            17 => match self.random.below(4) {
                0 => self.disconnect(client),
                1 => self.lag(),
                2 => self.begin_history(channel),
                _ => self.remove_old(channel),
            },
            _ => {
                self.deliver();
                self.respond_one();
            }
        }
        self.exchange();
    }

    fn commit(&mut self, channel: usize) {
        for _ in 0..=self.random.below(4) {
            self.histories[channel].high_watermark += 1;
            let History {
                epoch,
                high_watermark,
                ..
            } = self.histories[channel];
            self.order.push_back(EngineEvent::Committed(Committed {
                channel: ChannelName::from(CHANNELS[channel]),
                epoch,
                previous: high_watermark - 1,
                record: stored(epoch, high_watermark),
            }));
        }
    }

    fn begin_history(&mut self, channel: usize) {
        let counter = self.histories[channel].epoch.counter() + 1;
        self.histories[channel] = History {
            epoch: epoch(counter),
            start: 1,
            high_watermark: 0,
        };
    }

    fn remove_old(&mut self, channel: usize) {
        let History {
            start,
            high_watermark,
            ..
        } = self.histories[channel];
        self.histories[channel].start = start + self.random.below(high_watermark + 2 - start);
    }

    /// The shard lags: responses stay, and the gap is reported after them.
    fn lag(&mut self) {
        self.order
            .retain(|event| matches!(event, EngineEvent::Response { .. } | EngineEvent::Lagged));
        self.order.push_back(EngineEvent::Lagged);
    }

    fn deliver(&mut self) {
        let count = self.pick(6).min(self.order.len());
        let events = self.order.drain(..count).collect();
        self.script.handle(Input::Engine { events });
    }

    fn respond_one(&mut self) {
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
        let history = self.histories[channel];
        let page = match page.filter(|_| epoch == history.epoch) {
            None => Page::Unrecoverable,
            Some((before, offsets)) => Page::Records {
                previous: before,
                has_more: offsets.last().copied().unwrap_or(before) < history.high_watermark,
                records: offsets.into_iter().map(|o| stored(epoch, o)).collect(),
            },
        };
        let response = Response::Read(ReadResponse {
            epoch: history.epoch,
            high_watermark: history.high_watermark,
            page,
        });
        self.order
            .push_back(EngineEvent::Response { number, response });
    }

    fn result_of(&self, read: &Read) -> Pending {
        let channel = CHANNELS
            .iter()
            .position(|name| *name == read.channel.as_str())
            .expect("known");
        let history = self.histories[channel];
        let before = match read.from {
            ReadFrom::Oldest => Some(history.start - 1),
            ReadFrom::After { epoch, offset } => (epoch == history.epoch
                && offset <= history.high_watermark
                && offset + 1 >= history.start)
                .then_some(offset),
            ReadFrom::Newest | ReadFrom::Before { .. } => panic!("no history is requested"),
        };
        let page = before.map(|before| {
            let offsets = (before + 1..=history.high_watermark)
                .take(read.limit)
                .collect();
            (before, offsets)
        });
        Pending {
            number: read.request_id.number,
            channel,
            epoch: history.epoch,
            page,
        }
    }

    fn subscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let position = match self.random.below(4) {
            0 => None,
            1 => Some((self.histories[channel].epoch, self.pick_offset(channel))),
            _ => self.clients[client].last_positions.get(&channel).copied(),
        };
        let id = self.command(client, Requested::Subscribe(channel, position));
        let name = CHANNELS[channel];
        let command = match position {
            Some((epoch, offset)) => recover(id, name, &epoch.to_string(), offset),
            None => subscribe(id, name),
        };
        self.script.send(peer, command);
    }

    fn pick_offset(&mut self, channel: usize) -> u64 {
        let high_watermark = self.histories[channel].high_watermark;
        self.random.below(high_watermark + 1)
    }

    fn unsubscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let id = self.command(client, Requested::Unsubscribe(channel));
        self.script.send(peer, unsubscribe(id, CHANNELS[channel]));
    }

    fn command(&mut self, client: usize, requested: Requested) -> u32 {
        let known = &mut self.clients[client];
        known.next_command += 1;
        known.pending_replies.insert(known.next_command, requested);
        known.next_command
    }

    fn toggle_send_buffer(&mut self, client: usize) {
        let peer = self.peer(client);
        let bytes = [100, 1 << 20][self.pick(2)];
        let known = &mut self.clients[client];
        known.has_send_buffer = !known.has_send_buffer;
        self.script.handle(if known.has_send_buffer {
            Input::SendBuffer { peer, bytes }
        } else {
            Input::Drained { peer }
        });
    }

    fn disconnect(&mut self, client: usize) {
        if let Some(peer) = self.clients[client].peer.take() {
            self.script.lose_connection(peer);
            let mut last_positions = std::mem::take(&mut self.clients[client].last_positions);
            last_positions.append(&mut self.clients[client].positions);
            self.clients[client] = Client {
                last_positions,
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

    /// Passes requests to the log, and messages to the clients.
    fn exchange(&mut self) {
        for client in 0..CLIENTS {
            let Some(peer) = self.clients[client].peer else {
                continue;
            };
            for reply in self.script.read(peer) {
                self.deliver_reply(client, reply);
            }
        }
        for request in std::mem::take(&mut self.script.requests) {
            let Request::Read(read) = request else {
                panic!("no client publishes here")
            };
            let pending = self.result_of(&read);
            self.pending.push(pending);
        }
        assert!(self.script.closed.is_empty(), "seed {}", self.seed);
    }

    fn deliver_reply(&mut self, client: usize, reply: Reply) {
        let (seed, known) = (self.seed, &mut self.clients[client]);
        match reply {
            Reply::Response { id, outcome } => {
                let requested = known.pending_replies.remove(&id);
                let requested =
                    requested.unwrap_or_else(|| panic!("seed {seed}: {id} has two replies"));
                match (requested, outcome) {
                    (
                        Requested::Subscribe(channel, offered),
                        Ok(ReplyResult::Subscribe(granted)),
                    ) => {
                        let epoch: ChannelEpoch = granted.position.epoch.parse().expect("ours");
                        let from = (epoch, granted.position.offset);
                        if granted.recovered {
                            assert_eq!(
                                Some(from),
                                offered,
                                "seed {seed}: recovered from another position"
                            );
                            self.totals.recovered += 1;
                        } else {
                            assert!(granted.publications.is_empty(), "seed {seed}");
                        }
                        let before = known.positions.insert(channel, from);
                        assert_eq!(before, None, "seed {seed}: granted twice");
                        for publication in granted.publications {
                            known.accept(seed, channel, &publication);
                        }
                    }
                    (Requested::Subscribe(..), Err(error)) => {
                        assert!([100, 105].contains(&error.code), "seed {seed}: {error:?}");
                        self.totals.rejected += 1;
                    }
                    (Requested::Unsubscribe(channel), Ok(ReplyResult::Unsubscribe)) => {
                        known.unsubscribe(channel);
                        self.totals.unsubscribed += 1;
                    }
                    (_, other) => panic!("seed {seed}: {other:?}"),
                }
            }
            Reply::Push(push) => {
                let channel = CHANNELS
                    .iter()
                    .position(|name| *name == push.channel.as_str());
                let channel = channel.expect("known");
                if let PushEvent::Publication(publication) = &push.event {
                    known.accept(seed, channel, publication);
                    self.totals.pushed += 1;
                } else if let PushEvent::Unsubscribe { code: 2500, .. } = push.event {
                    assert!(known.unsubscribe(channel), "seed {seed}: closed twice");
                    self.totals.closed += 1;
                } else {
                    panic!("seed {seed}: {push:?}");
                }
            }
            Reply::Ping => panic!("seed {seed}: no time passes"),
        }
    }

    /// Completes everything that is pending: then every subscriber is at the high watermark, and no reply is missing.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if self.clients[client].has_send_buffer {
                self.toggle_send_buffer(client);
            }
        }
        self.exchange();
        for channel in 0..CHANNELS.len() {
            self.commit(channel);
        }
        while !self.pending.is_empty() || !self.order.is_empty() {
            self.respond_one();
            self.deliver();
            self.exchange();
        }
        let seed = self.seed;
        for known in &self.clients {
            assert!(known.pending_replies.is_empty(), "seed {seed}: no reply");
            for (channel, position) in &known.positions {
                let history = self.histories[*channel];
                assert_eq!(
                    *position,
                    (history.epoch, history.high_watermark),
                    "seed {seed}: not at the high watermark"
                );
            }
        }
        for client in 0..CLIENTS {
            self.disconnect(client);
        }
        assert_eq!(self.script.channel_count(), 0, "seed {seed}");
    }
}

impl Client {
    fn accept(&mut self, seed: u64, channel: usize, publication: &Publication) {
        let (epoch, offset) = self
            .positions
            .get_mut(&channel)
            .unwrap_or_else(|| panic!("seed {seed}: not subscribed"));
        *offset += 1;
        assert_eq!(
            publication.offset, *offset,
            "seed {seed}: a gap or a duplicate"
        );
        let expected = stored(*epoch, *offset).data;
        assert_eq!(publication.data, expected, "seed {seed}: another history");
    }

    /// Returns `false` if the client is not subscribed.
    fn unsubscribe(&mut self, channel: usize) -> bool {
        let position = self.positions.remove(&channel);
        position.is_some_and(|position| {
            self.last_positions.insert(channel, position);
            true
        })
    }
}

fn epoch(counter: u32) -> ChannelEpoch {
    ChannelEpoch::new(0xe, counter)
}

/// A record whose payload contains its history and its offset.
fn stored(epoch: ChannelEpoch, offset: u64) -> Record {
    Record {
        data: Bytes::from(format!("[{},{offset}]", epoch.counter())),
        ..record(offset)
    }
}
