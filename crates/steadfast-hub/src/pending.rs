//! Everything that a hub awaits: responses of the engine and of the other shards, and decisions from outside.
//!
//! One number identifies one entry: the responder repeats it. An entry says who called, what is awaited, and how much
//! of the caller's limit it takes: a peer at its limit is not read from. What has a large response weighs more, so that
//! the limit bounds bytes as well. The bytes of all requests have a limit too: an engine whose disk is stuck completes
//! none of them. An entry may have a deadline; the engine responds to every request, so its entries
//! have none. An entry stays when its peer leaves, so that the limits cover what is still being worked on.

use std::collections::{BTreeSet, HashMap};

use steadfast_engine::ChannelEpoch;
use steadfast_machine::Instant;
use steadfast_protocol::message::ChannelName;

pub(crate) use self::gather::PresenceGather;
use crate::channel::ChannelIndex;
use crate::ids::PeerId;
use crate::io::ApiCall;
use crate::peer::subscription::{Recovery, SubscribeOptions};
use crate::policy::HubSettings;
use crate::quota::Taken;

mod gather;

/// On whose behalf something is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A peer, for its command of this number; 0 if no command awaits a reply.
    Peer { peer: PeerId, command: u32 },
    /// An application, for its call of the API.
    Api { call: ApiCall },
    /// The hub itself.
    Hub,
}

/// What is awaited.
#[derive(Debug)]
pub(crate) enum Awaited {
    /// The engine's response to a request.
    Engine(Purpose),
    /// The presence of a channel on all shards.
    Presence {
        channel: ChannelName,
        gather: Box<PresenceGather>,
    },
    /// The decision whether a client may connect.
    ConnectDecision,
}

/// Why a request was sent to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To append what a command or an application publishes.
    Publish {
        form: PublishForm,
        channel: ChannelName,
        /// What it takes of the quotas of its peer.
        taken: Taken,
    },
    /// To begin a subscription.
    Subscribe {
        channel: ChannelIndex,
        options: SubscribeOptions,
    },
    /// To continue the recovery of a subscription.
    Page {
        channel: ChannelIndex,
        /// Which subscription of the peer to the channel.
        number: u64,
    },
    /// To read the publications of a channel that this shard missed after a position.
    CatchUp {
        channel: ChannelIndex,
        epoch: ChannelEpoch,
        offset: u64,
    },
    /// To reply to a history command.
    History { channel: ChannelName },
}

/// How a peer published, which determines the form of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishForm {
    Plain,
    Idempotent,
}

impl Purpose {
    /// The channel that must exist until the response arrives.
    pub(crate) const fn channel(&self) -> Option<ChannelIndex> {
        match self {
            Self::Subscribe { channel, .. }
            | Self::Page { channel, .. }
            | Self::CatchUp { channel, .. } => Some(*channel),
            Self::Publish { .. } | Self::History { .. } => None,
        }
    }

    /// A quarter of the peer's limit if the response may have the maximum size of a reply.
    pub(crate) const fn weight(&self, settings: &HubSettings) -> usize {
        match self {
            Self::Publish { .. } | Self::Page { .. } | Self::CatchUp { .. } => 1,
            Self::Subscribe { options, .. } => match options.recovery {
                Recovery::NotRequested | Recovery::UnknownEpoch => 1,
                Recovery::After { .. } => large_weight(settings),
            },
            Self::History { .. } => large_weight(settings),
        }
    }
}

/// The weight of what has a large response, and of a command that waits.
pub(crate) const fn large_weight(settings: &HubSettings) -> usize {
    settings.pending_requests_per_peer_max.div_ceil(4)
}

/// One entry of the table.
#[derive(Debug)]
pub(crate) struct PendingEntry {
    pub(crate) caller: Caller,
    /// What the entry takes of its peer's limit.
    pub(crate) weight: usize,
    /// The bytes of a request to the engine; 0 for everything else.
    pub(crate) bytes: usize,
    pub(crate) deadline: Option<Instant>,
    pub(crate) awaited: Awaited,
}

/// The entries of each kind, which have limits of their own.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    engine: usize,
    presence: usize,
    decisions: usize,
}

impl Counts {
    const fn of(&mut self, awaited: &Awaited) -> &mut usize {
        match awaited {
            Awaited::Engine(_) => &mut self.engine,
            Awaited::Presence { .. } => &mut self.presence,
            Awaited::ConnectDecision => &mut self.decisions,
        }
    }
}

/// The table of everything that a hub awaits.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// For lookups only; never iterated.
    by_number: HashMap<u64, PendingEntry>,
    by_deadline: BTreeSet<(Instant, u64)>,
    counts: Counts,
    request_bytes: usize,
    last_number: u64,
}

impl Pending {
    /// The number of requests to the engine.
    pub(crate) const fn engine_requests(&self) -> usize {
        self.counts.engine
    }

    /// The bytes of the requests to the engine.
    pub(crate) const fn request_bytes(&self) -> usize {
        self.request_bytes
    }

    /// The number of presence queries.
    pub(crate) const fn presence_queries(&self) -> usize {
        self.counts.presence
    }

    /// The number of decisions.
    pub(crate) const fn decisions(&self) -> usize {
        self.counts.decisions
    }

    /// Adds an entry. Returns its number, which no other entry of this hub has had.
    pub(crate) fn add(&mut self, entry: PendingEntry) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        *self.counts.of(&entry.awaited) += 1;
        self.request_bytes += entry.bytes;
        if let Some(deadline) = entry.deadline {
            self.by_deadline.insert((deadline, number));
        }
        self.by_number.insert(number, entry);
        number
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut PendingEntry> {
        self.by_number.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<PendingEntry> {
        let entry = self.by_number.remove(&number)?;
        *self.counts.of(&entry.awaited) -= 1;
        self.request_bytes -= entry.bytes;
        if let Some(deadline) = entry.deadline {
            self.by_deadline.remove(&(deadline, number));
        }
        Some(entry)
    }

    /// Removes a request to the engine. Returns its caller and its weight, too.
    ///
    /// # Panics
    ///
    /// If there is no such request: a bug in the driver, since the engine responds to each request once.
    pub(crate) fn take_request(&mut self, number: u64) -> (Caller, usize, Purpose) {
        match self.remove(number) {
            Some(PendingEntry {
                caller,
                weight,
                bytes: _,
                deadline: _,
                awaited: Awaited::Engine(purpose),
            }) => (caller, weight, purpose),
            entry => panic!("request {number} is not pending: {entry:?}"),
        }
    }

    /// Removes a decision. Returns its caller and its weight, too; `None` if its deadline has passed.
    ///
    /// # Panics
    ///
    /// If something else has this number: a bug in the driver.
    pub(crate) fn take_decision(&mut self, number: u64) -> Option<(Caller, usize)> {
        match self.remove(number)? {
            PendingEntry {
                caller,
                weight,
                bytes: _,
                deadline: _,
                awaited: Awaited::ConnectDecision,
            } => Some((caller, weight)),
            entry => panic!("{number} is not a decision: {entry:?}"),
        }
    }

    /// Removes the entry whose deadline passed first, if any has passed.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<PendingEntry> {
        let (deadline, number) = self.by_deadline.first().copied()?;
        if deadline > now {
            return None;
        }
        self.remove(number)
    }

    /// The first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }
}
