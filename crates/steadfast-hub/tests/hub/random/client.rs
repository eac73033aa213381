//! A client of the random runs: what it requested, and what it may receive.

use std::collections::BTreeMap;

use steadfast_engine::ChannelEpoch;
use steadfast_hub::io::PeerId;
use steadfast_protocol::message::{
    Publication, PushEvent, Reply, ReplyError, ReplyResult, SubscribeResult,
};

use crate::random::publications::{Position, Publications};
use crate::random::{CHANNELS, Totals};

/// What a command requested, and in which channel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Requested {
    Subscribe(usize, Option<Position>),
    Unsubscribe(usize),
}

impl Requested {
    const fn channel(self) -> usize {
        match self {
            Self::Subscribe(channel, _) | Self::Unsubscribe(channel) => channel,
        }
    }
}

pub(super) struct Client {
    seed: u64,
    pub(super) peer: Option<PeerId>,
    pub(super) next_command: u32,
    pub(super) pending_replies: BTreeMap<u32, Requested>,
    /// The position in each channel to which the client is subscribed.
    pub(super) positions: BTreeMap<usize, Position>,
    /// The client's last position in each channel, which it sends when it resubscribes.
    pub(super) last_positions: BTreeMap<usize, Position>,
    pub(super) has_send_buffer: bool,
}

impl Client {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            peer: None,
            next_command: 0,
            pending_replies: BTreeMap::new(),
            positions: BTreeMap::new(),
            last_positions: BTreeMap::new(),
            has_send_buffer: false,
        }
    }

    /// The client without its connection: it remembers its last positions.
    pub(super) fn disconnected(mut self) -> Self {
        self.last_positions.append(&mut self.positions);
        Self {
            last_positions: self.last_positions,
            ..Self::new(self.seed)
        }
    }

    /// Checks a reply against the publications, and the requests of this client.
    pub(super) fn receive(&mut self, reply: Reply, known: &Publications, totals: &mut Totals) {
        let seed = self.seed;
        match reply {
            Reply::Response { id, outcome } => {
                let requested = self.pending_replies.remove(&id);
                let requested =
                    requested.unwrap_or_else(|| panic!("seed {seed}: {id} has two replies"));
                let mut earlier = self.pending_replies.range(..id);
                let overtaken = earlier.find(|(_, it)| it.channel() == requested.channel());
                assert!(
                    overtaken.is_none(),
                    "seed {seed}: {id} overtakes {overtaken:?}"
                );
                self.receive_outcome(requested, outcome, known, totals);
            }
            Reply::Push(push) => {
                let channel = CHANNELS
                    .iter()
                    .position(|name| *name == push.channel.as_str());
                let channel = channel.expect("known");
                if let PushEvent::Publication(publication) = &push.event {
                    self.accept(channel, publication, known);
                    totals.pushed += 1;
                } else if let PushEvent::Unsubscribe { code: 2500, .. } = push.event {
                    assert!(self.unsubscribe(channel), "seed {seed}: closed twice");
                    totals.closed += 1;
                } else {
                    panic!("seed {seed}: {push:?}");
                }
            }
            Reply::Ping => panic!("seed {seed}: no time passes"),
        }
    }

    fn receive_outcome(
        &mut self,
        requested: Requested,
        outcome: Result<ReplyResult, ReplyError>,
        known: &Publications,
        totals: &mut Totals,
    ) {
        let seed = self.seed;
        match (requested, outcome) {
            (Requested::Subscribe(channel, offered), Ok(ReplyResult::Subscribe(granted))) => {
                totals.recovered += u64::from(granted.recovered);
                self.receive_grant(channel, offered, granted, known);
            }
            (Requested::Subscribe(..), Err(error)) => {
                assert_eq!(error.code, 105, "seed {seed}: {error:?}");
                totals.rejected += 1;
            }
            (Requested::Unsubscribe(channel), Ok(ReplyResult::Unsubscribe)) => {
                self.unsubscribe(channel);
                totals.unsubscribed += 1;
            }
            (_, other) => panic!("seed {seed}: {other:?}"),
        }
    }

    fn receive_grant(
        &mut self,
        channel: usize,
        offered: Option<Position>,
        granted: SubscribeResult,
        known: &Publications,
    ) {
        let seed = self.seed;
        let epoch: ChannelEpoch = granted.position.epoch.parse().expect("ours");
        let from = (epoch, granted.position.offset);
        if granted.recovered {
            assert_eq!(
                Some(from),
                offered,
                "seed {seed}: recovered from another position"
            );
        } else {
            assert!(granted.publications.is_empty(), "seed {seed}");
        }
        let before = self.positions.insert(channel, from);
        assert_eq!(before, None, "seed {seed}: granted twice");
        for publication in granted.publications {
            self.accept(channel, &publication, known);
        }
    }

    /// The publication must be the one that follows the client's position in its history.
    fn accept(&mut self, channel: usize, publication: &Publication, known: &Publications) {
        let seed = self.seed;
        let position = self
            .positions
            .get_mut(&channel)
            .unwrap_or_else(|| panic!("seed {seed}: not subscribed"));
        let next = known.next(channel, *position);
        let (offset, data) = next.unwrap_or_else(|| panic!("seed {seed}: {publication:?}"));
        assert_eq!(
            publication.offset, *offset,
            "seed {seed}: a gap or a duplicate"
        );
        assert_eq!(publication.data, *data, "seed {seed}: another history");
        position.1 = *offset;
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
