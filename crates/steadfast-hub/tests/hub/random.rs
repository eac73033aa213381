//! Random subscribing, unsubscribing, disconnecting, lagging, removals and new histories, with responses in any order,
//! compared with a reference model of what each client may receive.
//!
//! The memory engine responds to all reads. Half of them read their publications when they are requested and respond
//! later, as an engine does whose storage takes time.

use std::time::Duration;

use steadfast_engine::memory::{MemorySettings, Offsets};
use steadfast_engine::{
    EngineEvent, Page, Read, ReadFrom, ReadResponse, Request, RequestId, Response,
};
use steadfast_hub::io::{Input, PeerId};
use steadfast_hub::policy::HubSettings;
use steadfast_machine::{Generator, Seed};

use crate::engine::Engine;
use crate::messages::{recover, subscribe, unsubscribe};
use crate::random::client::{Client, Requested};
use crate::random::publications::{Position, Publications};
use crate::script::{Script, settings};

mod client;
mod publications;

const CHANNELS: [&str; 3] = ["one", "two", "three"];
const CLIENTS: usize = 4;

/// A shard that has this many commits to read lags with the next one.
const UNREAD_MAX: usize = 24;

/// The age at which publications are removed, and channels without publications expire.
const TTL: Duration = Duration::from_mins(1);

pub(crate) fn in_random_runs_a_subscription_has_no_gap_and_every_command_has_a_reply(
    offsets: Offsets,
) {
    let mut totals = Totals::default();

    for seed in 0..1500 {
        let mut world = World::new(seed, offsets);
        for _ in 0..120 {
            world.step();
        }
        world.settle();
        totals.add(&world.totals);
    }

    println!("{totals:?}");
    assert!(totals.recovered > 1000 && totals.closed > 500);
    assert!(totals.rejected > 500 && totals.pushed > 10_000 && totals.unsubscribed > 500);
    assert!(totals.lagged > 500 && totals.histories > 2 * 1500);
}

#[derive(Debug, Default)]
struct Totals {
    recovered: u64,
    closed: u64,
    rejected: u64,
    pushed: u64,
    unsubscribed: u64,
    lagged: u64,
    histories: u64,
}

impl Totals {
    const fn add(&mut self, other: &Self) {
        self.recovered += other.recovered;
        self.closed += other.closed;
        self.rejected += other.rejected;
        self.pushed += other.pushed;
        self.unsubscribed += other.unsubscribed;
        self.lagged += other.lagged;
        self.histories += other.histories;
    }
}

/// A read without a response.
struct Pending {
    read: Read,
    /// What was read when it was requested; `None` if it is read when the response leaves.
    early: Option<ReadResponse>,
}

struct World {
    seed: u64,
    random: Generator,
    script: Script,
    publications: Publications,
    pending: Vec<Pending>,
    clients: Vec<Client>,
    totals: Totals,
    /// The number of publications, each of which has another payload.
    published: u64,
}

impl World {
    fn new(seed: u64, offsets: Offsets) -> Self {
        let memory = MemorySettings {
            offsets,
            history_size: 40,
            history_ttl: TTL,
            channel_ttl: TTL,
            dedup_window: TTL,
            ..MemorySettings::for_tests()
        };
        let hub = HubSettings {
            pending_requests_per_peer_max: 8,
            ..settings()
        };
        Self {
            seed,
            random: Seed::new(seed).generator(),
            script: Script::over(Engine::new(memory, UNREAD_MAX), hub),
            publications: Publications::default(),
            pending: Vec::new(),
            clients: (0..CLIENTS).map(|_| Client::new(seed)).collect(),
            totals: Totals::default(),
            published: 0,
        }
    }

    fn pick(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("small");
        usize::try_from(self.random.below(bound)).expect("small")
    }

    fn step(&mut self) {
        let (client, channel) = (self.pick(CLIENTS), self.pick(CHANNELS.len()));
        match self.random.below(20) {
            0..=5 => self.commit_some(channel),
            6..=8 => self.deliver(),
            9..=11 => self.respond_one(),
            12..=14 => self.subscribe(client, channel),
            15 => self.unsubscribe(client, channel),
            16 => self.toggle_send_buffer(client),
            17 => match self.random.below(4) {
                0 => self.disconnect(client),
                1 => self.lag(),
                2 => self.begin_history(channel),
                _ => self.remove_old(),
            },
            _ => {
                self.deliver();
                self.respond_one();
            }
        }
        self.exchange();
    }

    fn commit(&mut self, channel: usize) {
        self.published += 1;
        let data = format!("[{}]", self.published);
        let committed = self.script.engine.publish(CHANNELS[channel], data.clone());
        assert_eq!(committed.record.data, data, "seed {}", self.seed);
        let is_first = self.publications.add(channel, &committed);
        self.totals.histories += u64::from(is_first);
    }

    fn commit_some(&mut self, channel: usize) {
        for _ in 0..=self.random.below(4) {
            self.commit(channel);
        }
    }

    /// The channel expires while the others have publications that are young enough.
    fn begin_history(&mut self, channel: usize) {
        for _ in 0..3 {
            self.script.engine.advance(TTL * 3 / 4);
            for other in (0..CHANNELS.len()).filter(|other| *other != channel) {
                self.commit(other);
            }
        }
    }

    /// So much time passes that the oldest publications are removed.
    fn remove_old(&mut self) {
        let time = TTL / 4 * u32::try_from(self.pick(4)).expect("small");
        self.script.engine.advance(time);
    }

    /// More is published than the shard may miss.
    fn lag(&mut self) {
        for _ in 0..=UNREAD_MAX {
            let channel = self.pick(CHANNELS.len());
            self.commit(channel);
        }
    }

    fn deliver(&mut self) {
        let count = self.pick(6);
        let events = self.script.engine.take(count);
        let lags = events.iter().filter(|event| **event == EngineEvent::Lagged);
        self.totals.lagged += u64::try_from(lags.count()).expect("small");
        self.script.handle(Input::Engine { events });
    }

    fn respond_one(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.pick(self.pending.len());
        let Pending { read, early } = self.pending.swap_remove(index);
        let number = read.request_id.number;
        let response = match early {
            None => self.execute(read),
            Some(early) => self.respond_late(&read, early),
        };
        self.script.engine.respond(number, Response::Read(response));
    }

    /// The response of an engine that has read the publications before: they are those of that time, and the rest of
    /// the response is as of now.
    fn respond_late(&mut self, read: &Read, early: ReadResponse) -> ReadResponse {
        let now = self.execute(Read {
            from: ReadFrom::Oldest,
            limit: 0,
            ..read.clone()
        });
        let page = match early.page {
            Page::Records {
                previous, records, ..
            } if early.epoch == now.epoch => {
                let last = records.last().map_or(previous, |record| record.offset);
                Page::Records {
                    previous,
                    has_more: last < now.high_watermark,
                    records,
                }
            }
            Page::Records { .. } | Page::Unrecoverable => Page::Unrecoverable,
        };
        ReadResponse { page, ..now }
    }

    fn execute(&mut self, read: Read) -> ReadResponse {
        match self.script.engine.execute(&Request::Read(read)) {
            Response::Read(response) => response,
            other @ (Response::Appended { .. } | Response::Rejected(_)) => panic!("{other:?}"),
        }
    }

    fn subscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let position = match self.random.below(4) {
            0 => None,
            1 => Some(self.pick_position(channel)),
            _ => self.clients[client].last_positions.get(&channel).copied(),
        };
        let id = self.command(client, Requested::Subscribe(channel, position));
        let name = CHANNELS[channel];
        let command = match position {
            Some((epoch, offset)) => recover(id, name, &epoch.to_string(), offset),
            None => subscribe(id, name),
        };
        self.script.receive_command(peer, Ok(command));
    }

    /// A position in the current history, which need not be that of a publication.
    fn pick_position(&mut self, channel: usize) -> Position {
        let ReadResponse {
            epoch,
            high_watermark,
            ..
        } = self.execute(Read {
            request_id: RequestId {
                shard: 1,
                number: 0,
            },
            channel: CHANNELS[channel].into(),
            from: ReadFrom::Oldest,
            limit: 0,
            bytes_max: 0,
        });
        (epoch, self.random.below(high_watermark + 1))
    }

    fn unsubscribe(&mut self, client: usize, channel: usize) {
        let peer = self.peer(client);
        let id = self.command(client, Requested::Unsubscribe(channel));
        let command = unsubscribe(id, CHANNELS[channel]);
        self.script.receive_command(peer, Ok(command));
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
        if let Some(peer) = self.clients[client].peer {
            self.script.lose_connection(peer);
            let connected = std::mem::replace(&mut self.clients[client], Client::new(self.seed));
            self.clients[client] = connected.disconnected();
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

    /// Passes requests to the engine, and messages to the clients.
    fn exchange(&mut self) {
        for client in &mut self.clients {
            let Some(peer) = client.peer else {
                continue;
            };
            for reply in self.script.read_with_offsets(peer) {
                client.receive(reply, &self.publications, &mut self.totals);
            }
        }
        for request in std::mem::take(&mut self.script.requests) {
            let Request::Read(read) = request else {
                panic!("no client publishes here")
            };
            let is_early = self.random.chance(1, 2);
            let early = is_early.then(|| self.execute(read.clone()));
            self.pending.push(Pending { read, early });
        }
        assert!(self.script.closed.is_empty(), "seed {}", self.seed);
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
        while !self.pending.is_empty() || self.script.engine.has_events() {
            self.respond_one();
            self.deliver();
            self.exchange();
        }
        let seed = self.seed;
        for known in &self.clients {
            assert!(known.pending_replies.is_empty(), "seed {seed}: no reply");
            for (channel, position) in &known.positions {
                assert_eq!(
                    Some(*position),
                    self.publications.newest(*channel),
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
