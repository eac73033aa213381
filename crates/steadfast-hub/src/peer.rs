//! One connection: how far its protocol has come, what it is subscribed to, and when it must be looked at next.
//!
//! ```text
//! Fresh --connect accepted--> Connected --any close--> forgotten
//!   |  \--connect refused---> Refused ----deadline---> forgotten
//!   \--stale deadline--------------------------------> forgotten
//! ```
//!
//! A peer does nothing by itself: the hub owns it, and asks [`Peer::next_due`] and [`Peer::take_due`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::{Generator, Instant};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::{ClientInfo, Command};

use crate::channel::{ChannelIndex, Place};
use crate::epoch::ChannelEpoch;
use crate::io::{Access, ClientId, PeerId};
use crate::policy::hub::HubSettings;
use crate::wheel::TickNumber;

/// How far the protocol has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No connect command has come.
    Fresh,
    /// The connect command was refused; the peer is given time to close.
    Refused { since: Instant },
    /// The session is open.
    Connected { pings: Pings },
}

/// The pings of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pings {
    /// When the next one is due.
    next: Instant,
    /// The last one, while the peer may still be silent.
    awaited_since: Option<Instant>,
    /// Bytes that wait in front of it: it is not out before they are.
    behind: usize,
    /// Pings without a pong: so many pongs are legal.
    unanswered: u32,
}

/// Unsent bytes that wait in the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) bytes: usize,
    /// So many of them waited at `since` already.
    pub(crate) overdue: usize,
    pub(crate) since: Instant,
}

impl Backlog {
    /// Takes off what was written. The deadline starts anew when all that it was set for is out: a peer that drains
    /// steadily is slow but alive, and none of its bytes waits for longer than two deadlines.
    pub(crate) const fn advance(&mut self, now: Instant, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.overdue = self.overdue.saturating_sub(written);
        if self.overdue == 0 {
            self.overdue = self.bytes;
            self.since = now;
        }
    }
}

/// What a peer is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueFor {
    Ping,
    /// Silent since a ping.
    NoPong,
    /// Never sent a connect command.
    Stale,
    /// Was refused and did not close.
    RefusedTooLong,
    /// Unsent bytes have waited too long.
    WriteDeadline,
}

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The log was asked; the reply to this command is owed.
    Asked { command: u32 },
    /// The reply is out, but publications behind `offset` are missing before the live ones.
    Recovering {
        epoch: ChannelEpoch,
        offset: u64,
        page: NextPage,
    },
    /// Gets every publication as it is committed.
    Live,
}

/// The next page of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// The log was asked.
    Asked,
    /// The socket has not taken what it was sent, or it is another channel's turn.
    AwaitsTurn,
    /// The core itself is behind on this channel.
    AwaitsChannel,
}

/// One subscription of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelIndex,
    /// Tells it from an earlier one of this peer to this channel, whose answers may still come.
    pub(crate) number: u64,
    pub(crate) place: Place,
    pub(crate) stage: Stage,
}

impl Subscription {
    /// Whether it is recovering, and its next page is so far.
    fn awaits(&self, next: NextPage) -> bool {
        matches!(self.stage, Stage::Recovering { page, .. } if page == next)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) client: ClientId,
    pub(crate) access: Access,
    /// What it says about itself and others are shown, raw JSON.
    pub(crate) conn_info: Option<Bytes>,
    pub(crate) phase: Phase,
    pub(crate) accepted_at: Instant,
    /// The last sign of life.
    pub(crate) stirred_at: Instant,
    /// The valid entry in the wheel.
    pub(crate) armed: Option<TickNumber>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// The channel that a page was read of last.
    recovered_last: Option<ChannelIndex>,
    /// What its unanswered requests weigh together, see `asks`.
    pub(crate) asks: usize,
    /// True when nothing more is read from it, and its commands are held back.
    pub(crate) is_paused: bool,
    /// Commands that came before the shell stopped reading: at most what it had read already.
    pub(crate) held: VecDeque<Result<Command, DecodeError>>,
    pub(crate) backlog: Option<Backlog>,
}

impl Peer {
    pub(crate) const fn new(id: PeerId, client: ClientId, access: Access, now: Instant) -> Self {
        Self {
            id,
            client,
            access,
            conn_info: None,
            phase: Phase::Fresh,
            accepted_at: now,
            stirred_at: now,
            armed: None,
            subscriptions: Vec::new(),
            recovered_last: None,
            asks: 0,
            is_paused: false,
            held: VecDeque::new(),
            backlog: None,
        }
    }

    /// Who it is for others; all are anonymous, which is the empty user.
    pub(crate) fn info(&self) -> ClientInfo {
        ClientInfo {
            client: self.client.to_string(),
            conn_info: self.conn_info.clone(),
            ..ClientInfo::default()
        }
    }

    pub(crate) fn subscription(&self, channel: ChannelIndex) -> Option<&Subscription> {
        self.subscriptions
            .iter()
            .find(|subscription| subscription.channel == channel)
    }

    pub(crate) fn subscription_mut(&mut self, channel: ChannelIndex) -> Option<&mut Subscription> {
        self.subscriptions
            .iter_mut()
            .find(|subscription| subscription.channel == channel)
    }

    /// Whether a page of a recovery fits beside what waits already, with as much left over for what is live.
    pub(crate) fn has_room(&self, settings: &HubSettings) -> bool {
        self.backlog.is_none_or(|backlog| {
            backlog.bytes.saturating_add(settings.recovery_bytes_max)
                <= settings.backlog_bytes_max / 2
        })
    }

    /// The subscription whose recovery goes on next: none while a page is under way or bytes wait, else the first
    /// behind the last one that waits for its turn.
    pub(crate) fn next_recovery(&mut self) -> Option<&mut Subscription> {
        let is_busy = self.backlog.is_some()
            || self
                .subscriptions
                .iter()
                .any(|subscription| subscription.awaits(NextPage::Asked));
        if is_busy {
            return None;
        }
        let behind_last = self
            .subscriptions
            .iter()
            .position(|subscription| Some(subscription.channel) == self.recovered_last)
            .map_or(0, |place| place + 1);
        let (before, behind) = self.subscriptions.split_at_mut(behind_last);
        let next = behind
            .iter_mut()
            .chain(before)
            .find(|subscription| subscription.awaits(NextPage::AwaitsTurn))?;
        self.recovered_last = Some(next.channel);
        Some(next)
    }

    /// Opens the session. The first ping comes after half to a whole interval, so that a herd spreads.
    pub(crate) fn connect(&mut self, now: Instant, interval: Duration, generator: &mut Generator) {
        let first = now + generator.between(interval / 2, interval);
        self.phase = Phase::Connected {
            pings: Pings {
                next: first,
                awaited_since: None,
                behind: 0,
                unanswered: 0,
            },
        };
    }

    /// Notes any inbound byte. It answers for the ping as far as life is concerned; a pong stays legal.
    pub(crate) const fn stir(&mut self, now: Instant) {
        self.stirred_at = now;
        if let Phase::Connected { pings } = &mut self.phase {
            pings.awaited_since = None;
        }
    }

    /// Notes that some of what waits is written. A ping that stood behind it is out once nothing stands before it, and
    /// its time begins.
    pub(crate) const fn take_written(&mut self, now: Instant, bytes: usize) {
        if let Some(backlog) = &mut self.backlog {
            backlog.advance(now, bytes);
        }
        if let Phase::Connected { pings } = &mut self.phase
            && pings.behind > 0
        {
            pings.behind = pings.behind.saturating_sub(bytes);
            if pings.behind == 0 && pings.awaited_since.is_some() {
                pings.awaited_since = Some(now);
            }
        }
    }

    /// Notes that nothing waits any more.
    pub(crate) const fn drain(&mut self, now: Instant) {
        self.take_written(now, usize::MAX);
        self.backlog = None;
    }

    /// Takes a pong. False when no ping is unanswered.
    pub(crate) const fn take_pong(&mut self) -> bool {
        match &mut self.phase {
            Phase::Connected { pings } if pings.unanswered > 0 => {
                pings.unanswered -= 1;
                true
            }
            Phase::Fresh | Phase::Refused { .. } | Phase::Connected { .. } => false,
        }
    }

    /// The next moment at which this peer must be looked at.
    pub(crate) fn next_due(&self, settings: &HubSettings) -> Instant {
        let phase = match self.phase {
            Phase::Fresh => self.accepted_at + settings.stale_timeout,
            Phase::Refused { since } => since + settings.refused_timeout,
            Phase::Connected { pings } => match pings.awaited_since {
                Some(since) => pings.next.min(since + settings.pong_timeout),
                None => pings.next,
            },
        };
        match self.backlog {
            Some(backlog) => phase.min(backlog.since + settings.write_deadline),
            None => phase,
        }
    }

    /// What the peer is due for now, worst first. A due ping counts as sent.
    pub(crate) fn take_due(&mut self, now: Instant, settings: &HubSettings) -> Option<DueFor> {
        if self
            .backlog
            .is_some_and(|backlog| backlog.since + settings.write_deadline <= now)
        {
            return Some(DueFor::WriteDeadline);
        }
        match &mut self.phase {
            Phase::Fresh => {
                (self.accepted_at + settings.stale_timeout <= now).then_some(DueFor::Stale)
            }
            Phase::Refused { since } => {
                (*since + settings.refused_timeout <= now).then_some(DueFor::RefusedTooLong)
            }
            Phase::Connected { pings } => {
                if pings
                    .awaited_since
                    .is_some_and(|since| since + settings.pong_timeout <= now)
                {
                    // Nobody hears a peer that is not read from, and a ping behind bytes that wait has not been asked:
                    // that silence is not the peer's own. The write deadline ends one that takes nothing.
                    let is_asked = pings.behind == 0;
                    if is_asked && !self.is_paused {
                        return Some(DueFor::NoPong);
                    }
                    pings.awaited_since = if is_asked { None } else { Some(now) };
                }
                if pings.next > now {
                    return None;
                }
                pings.next = now + settings.ping_interval;
                pings.awaited_since = Some(now);
                pings.behind = match self.backlog {
                    Some(backlog) => backlog.bytes,
                    None => 0,
                };
                pings.unanswered = pings.unanswered.saturating_add(1);
                Some(DueFor::Ping)
            }
        }
    }
}

/// The connections of a hub, at the places that the shell chose.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    len: usize,
}

impl Peers {
    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.slots
            .get(slot_index(id))?
            .as_deref()
            .filter(|peer| peer.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.slots
            .get_mut(slot_index(id))?
            .as_deref_mut()
            .filter(|peer| peer.id == id)
    }

    /// Adds a peer.
    ///
    /// # Panics
    ///
    /// If its place is taken: the shell gives a place away only after the hub has forgotten its peer.
    pub(crate) fn insert(&mut self, peer: Peer) {
        let index = slot_index(peer.id);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            assert!(
                slot.is_none(),
                "the place of a peer is taken: {:?}",
                peer.id
            );
            *slot = Some(Box::new(peer));
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Box<Peer>> {
        let slot = self.slots.get_mut(slot_index(id))?;
        if slot.as_ref()?.id != id {
            return None;
        }
        self.len -= 1;
        slot.take()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All peers, in the order of their places.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.slots.iter().flatten().map(|peer| peer.id).collect()
    }
}

fn slot_index(id: PeerId) -> usize {
    usize::try_from(id.index).unwrap_or(usize::MAX)
}
