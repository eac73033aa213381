//! One connection: the phase of its protocol, its subscriptions, and its next deadline.
//!
//! ```text
//! AwaitingConnect --connect accepted--> Connected --any close--> removed
//!   |  \--connect rejected---> Rejected ----timeout------------> removed
//!   \--connect timeout-----------------------------------------> removed
//! ```
//!
//! A peer is passive: the hub owns it, and calls [`Peer::next_deadline`] and [`Peer::take_expired`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::ChannelEpoch;
use steadfast_machine::{Generator, Instant, convert};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::message::{ClientInfo, Command};

use crate::channel::{ChannelIndex, MemberSlot};
use crate::io::{Access, ClientId, PeerId};
use crate::policy::HubSettings;
use crate::timer_wheel::TickNumber;

/// The phase of a connection's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerPhase {
    /// No connect command has arrived.
    AwaitingConnect,
    /// The connect command was rejected; the peer has a limited time to close.
    Rejected { since: Instant },
    /// The session is open.
    Connected { pings: Pings },
}

/// The heartbeat of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pings {
    /// When the next ping is due.
    next: Instant,
    /// When the pong timeout of the last ping started; `None` once any byte was received.
    awaited_since: Option<Instant>,
    /// Bytes in the send buffer ahead of the last ping: the ping is not sent before these bytes.
    bytes_ahead: usize,
    /// Pings without a pong: this many pongs are legal.
    pongs_pending: u32,
}

/// Unsent bytes that the shell has buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendBuffer {
    pub(crate) bytes: usize,
    /// The bytes that were already buffered at `since`: the write timeout applies to them.
    pub(crate) bytes_due: usize,
    pub(crate) since: Instant,
}

impl SendBuffer {
    /// Subtracts what was written. The write timeout restarts when all bytes that it applied to are written: a peer
    /// that drains steadily is slow but alive, and none of its bytes stays buffered for longer than two write timeouts.
    pub(crate) const fn advance(&mut self, now: Instant, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.bytes_due = self.bytes_due.saturating_sub(written);
        if self.bytes_due == 0 {
            self.bytes_due = self.bytes;
            self.since = now;
        }
    }
}

/// A deadline of a peer that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    Ping,
    NoPong,
    ConnectTimeout,
    RejectedCloseTimeout,
    WriteTimeout,
}

/// The phase of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionPhase {
    /// A request to the log is pending; the command has no reply yet.
    Requested { command: u32 },
    /// The reply is sent, but publications after `offset` must be sent before the live ones.
    Recovering {
        epoch: ChannelEpoch,
        offset: u64,
        page: NextPage,
    },
    /// The subscriber receives every publication as it is committed.
    Live,
}

/// The state of the next page of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// A request to the log is pending.
    Requested,
    /// The send buffer is not empty, or it is another channel's turn.
    AwaitsTurn,
    /// The shard itself lags on this channel.
    AwaitsCatchUp,
}

/// One subscription of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelIndex,
    /// Distinguishes the subscription from earlier subscriptions of this peer to this channel, whose responses may
    /// still arrive.
    pub(crate) number: u64,
    pub(crate) slot: MemberSlot,
    pub(crate) phase: SubscriptionPhase,
}

impl Subscription {
    /// Whether the subscription is recovering and its next page has this state.
    fn awaits(&self, next: NextPage) -> bool {
        matches!(self.phase, SubscriptionPhase::Recovering { page, .. } if page == next)
    }
}

/// One connection and its session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) client: ClientId,
    pub(crate) access: Access,
    /// Client info that is shown to other clients, raw JSON.
    pub(crate) conn_info: Option<Bytes>,
    pub(crate) phase: PeerPhase,
    pub(crate) accepted_at: Instant,
    /// When a byte was last received.
    pub(crate) last_activity_at: Instant,
    /// The valid entry in the timer wheel.
    pub(crate) scheduled: Option<TickNumber>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// The channel whose page was read last.
    last_recovered: Option<ChannelIndex>,
    /// The total weight of its pending requests, see `pending_requests`.
    pub(crate) pending_weight: usize,
    /// True while the peer is not read from and its commands are queued.
    pub(crate) is_paused: bool,
    /// Commands that arrived before the shell stopped reading: at most what the shell had read already.
    pub(crate) queued_commands: VecDeque<Result<Command, DecodeError>>,
    pub(crate) send_buffer: Option<SendBuffer>,
}

impl Peer {
    pub(crate) const fn new(id: PeerId, client: ClientId, access: Access, now: Instant) -> Self {
        Self {
            id,
            client,
            access,
            conn_info: None,
            phase: PeerPhase::AwaitingConnect,
            accepted_at: now,
            last_activity_at: now,
            scheduled: None,
            subscriptions: Vec::new(),
            last_recovered: None,
            pending_weight: 0,
            is_paused: false,
            queued_commands: VecDeque::new(),
            send_buffer: None,
        }
    }

    /// The peer's client info for other clients; all clients are anonymous, so the user is empty.
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

    /// Whether a page of a recovery fits into the first half of the send buffer; the other half is kept for live
    /// publications.
    pub(crate) fn has_space_for_page(&self, settings: &HubSettings) -> bool {
        self.send_buffer.is_none_or(|send_buffer| {
            send_buffer
                .bytes
                .saturating_add(settings.recovery_bytes_max)
                <= settings.send_buffer_bytes_max / 2
        })
    }

    /// The subscription whose recovery continues next: none while a page is pending or bytes are buffered, else the
    /// next subscription that awaits its turn, after the subscription whose page was read last.
    pub(crate) fn next_recovery(&mut self) -> Option<&mut Subscription> {
        let is_busy = self.send_buffer.is_some()
            || self
                .subscriptions
                .iter()
                .any(|subscription| subscription.awaits(NextPage::Requested));
        if is_busy {
            return None;
        }
        let start = self
            .subscriptions
            .iter()
            .position(|subscription| Some(subscription.channel) == self.last_recovered)
            .map_or(0, |index| index + 1);
        let (before, after) = self.subscriptions.split_at_mut(start);
        let next = after
            .iter_mut()
            .chain(before)
            .find(|subscription| subscription.awaits(NextPage::AwaitsTurn))?;
        self.last_recovered = Some(next.channel);
        Some(next)
    }

    /// Opens the session. The first ping is sent after half an interval to a full interval, so that simultaneous
    /// connections do not cause simultaneous pings.
    pub(crate) fn connect(&mut self, now: Instant, interval: Duration, generator: &mut Generator) {
        let first = now + generator.between(interval / 2, interval);
        self.phase = PeerPhase::Connected {
            pings: Pings {
                next: first,
                awaited_since: None,
                bytes_ahead: 0,
                pongs_pending: 0,
            },
        };
    }

    /// Records that bytes were received. This ends the pong timeout; a pong remains legal.
    pub(crate) const fn record_activity(&mut self, now: Instant) {
        self.last_activity_at = now;
        if let PeerPhase::Connected { pings } = &mut self.phase {
            pings.awaited_since = None;
        }
    }

    /// Records that buffered bytes were written. A ping that was buffered after them is sent once no bytes are ahead of
    /// it, and its pong timeout starts.
    pub(crate) const fn record_written(&mut self, now: Instant, bytes: usize) {
        if let Some(send_buffer) = &mut self.send_buffer {
            send_buffer.advance(now, bytes);
        }
        if let PeerPhase::Connected { pings } = &mut self.phase
            && pings.bytes_ahead > 0
        {
            pings.bytes_ahead = pings.bytes_ahead.saturating_sub(bytes);
            if pings.bytes_ahead == 0 && pings.awaited_since.is_some() {
                pings.awaited_since = Some(now);
            }
        }
    }

    /// Records that the send buffer is empty.
    pub(crate) const fn record_drained(&mut self, now: Instant) {
        self.record_written(now, usize::MAX);
        self.send_buffer = None;
    }

    /// Accepts a pong. Returns `false` if every ping has its pong.
    pub(crate) const fn accept_pong(&mut self) -> bool {
        match &mut self.phase {
            PeerPhase::Connected { pings } if pings.pongs_pending > 0 => {
                pings.pongs_pending -= 1;
                true
            }
            PeerPhase::AwaitingConnect
            | PeerPhase::Rejected { .. }
            | PeerPhase::Connected { .. } => false,
        }
    }

    /// When this peer must be checked next.
    pub(crate) fn next_deadline(&self, settings: &HubSettings) -> Instant {
        let phase = match self.phase {
            PeerPhase::AwaitingConnect => self.accepted_at + settings.connect_timeout,
            PeerPhase::Rejected { since } => since + settings.rejected_close_timeout,
            PeerPhase::Connected { pings } => match pings.awaited_since {
                Some(since) => pings.next.min(since + settings.pong_timeout),
                None => pings.next,
            },
        };
        match self.send_buffer {
            Some(send_buffer) => phase.min(send_buffer.since + settings.write_timeout),
            None => phase,
        }
    }

    /// The deadline that has passed, worst first. A due ping counts as sent.
    pub(crate) fn take_expired(
        &mut self,
        now: Instant,
        settings: &HubSettings,
    ) -> Option<Deadline> {
        if self
            .send_buffer
            .is_some_and(|send_buffer| send_buffer.since + settings.write_timeout <= now)
        {
            return Some(Deadline::WriteTimeout);
        }
        match &mut self.phase {
            PeerPhase::AwaitingConnect => (self.accepted_at + settings.connect_timeout <= now)
                .then_some(Deadline::ConnectTimeout),
            PeerPhase::Rejected { since } => (*since + settings.rejected_close_timeout <= now)
                .then_some(Deadline::RejectedCloseTimeout),
            PeerPhase::Connected { pings } => {
                if pings
                    .awaited_since
                    .is_some_and(|since| since + settings.pong_timeout <= now)
                {
                    // A paused peer is not read from, and a ping with bytes ahead of it is not sent yet: in both cases
                    // the silence is not the peer's fault. The write timeout closes a peer whose socket accepts
                    // nothing.
                    let is_sent = pings.bytes_ahead == 0;
                    if is_sent && !self.is_paused {
                        return Some(Deadline::NoPong);
                    }
                    pings.awaited_since = if is_sent { None } else { Some(now) };
                }
                if pings.next > now {
                    return None;
                }
                pings.next = now + settings.ping_interval;
                pings.awaited_since = Some(now);
                pings.bytes_ahead = match self.send_buffer {
                    Some(send_buffer) => send_buffer.bytes,
                    None => 0,
                };
                pings.pongs_pending = pings.pongs_pending.saturating_add(1);
                Some(Deadline::Ping)
            }
        }
    }
}

/// The connections of a hub, in the slots that the shell chose.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    len: usize,
}

impl Peers {
    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.slots
            .get(convert::to_usize(id.index))?
            .as_deref()
            .filter(|peer| peer.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.slots
            .get_mut(convert::to_usize(id.index))?
            .as_deref_mut()
            .filter(|peer| peer.id == id)
    }

    /// Adds a peer.
    ///
    /// # Panics
    ///
    /// If its slot is occupied: the shell reuses a slot only after the hub has removed its peer.
    pub(crate) fn insert(&mut self, peer: Peer) {
        let index = convert::to_usize(peer.id.index);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            assert!(
                slot.is_none(),
                "the slot of a peer is occupied: {:?}",
                peer.id
            );
            *slot = Some(Box::new(peer));
            self.len += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Box<Peer>> {
        let slot = self.slots.get_mut(convert::to_usize(id.index))?;
        if slot.as_ref()?.id != id {
            return None;
        }
        self.len -= 1;
        slot.take()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All peers, in the order of their slots.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.slots.iter().flatten().map(|peer| peer.id).collect()
    }
}
