//! One connection: the phase of its protocol, its subscriptions, and its next deadline.
//!
//! ```text
//! AwaitingConnect --connect accepted--> Connected --any close-----> removed
//!   |  |  \--decided outside--> AwaitingDecision --accepted--> Connected
//!   |  |                          \--rejected, or timeout----> Rejected
//!   |  \--connect rejected---> Rejected ----timeout-------------> removed
//!   \--connect timeout------------------------------------------> removed
//! ```
//!
//! What a peer's commands do is in `commands`; here is the state that they change.

use steadfast_machine::Instant;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ClientInfo, Reply, ReplyError, ReplyResult};

use self::channel_order::ChannelOrder;
use self::heartbeat::{Beat, Heartbeat};
use self::pace::Pace;
use self::send_buffer::SendBuffer;
use self::subscription::{NextPage, Subscription};
use crate::channel::ChannelIndex;
use crate::context::Context;
use crate::identity::Identity;
use crate::ids::{ClientId, PeerId};
use crate::io::{Access, Output};
use crate::policy::HubSettings;
use crate::quota::Quotas;
use crate::timer_wheel::{TickNumber, TimerEntry, TimerWheel};

pub(crate) mod channel_order;
mod heartbeat;
pub(crate) mod pace;
pub(crate) mod send_buffer;
pub(crate) mod subscription;

/// The phase of a connection's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerPhase {
    /// No connect command has arrived.
    AwaitingConnect,
    /// Something outside of the hub decides about the connect command. The deadline is that of the pending decision.
    AwaitingDecision,
    /// The connect command was rejected; the peer has a limited time to close.
    Rejected { since: Instant },
    /// The session is open.
    Connected { heartbeat: Heartbeat },
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

/// One connection and its session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) client: ClientId,
    pub(crate) access: Access,
    /// Who the client is; `None` if nothing is known about it.
    identity: Option<Box<Identity>>,
    pub(crate) phase: PeerPhase,
    pub(crate) accepted_at: Instant,
    /// When a byte was last received.
    pub(crate) last_activity_at: Instant,
    /// The valid entry in the timer wheel.
    scheduled: Option<TickNumber>,
    subscriptions: Vec<Subscription>,
    /// The channel whose page was read last.
    last_recovered: Option<ChannelIndex>,
    /// Set once the client recovers a position that is not the current one.
    pace: Option<Box<Pace>>,
    /// The total weight of what is pending for it, see `pending`.
    pub(crate) pending_weight: usize,
    /// The commands without a reply, and those that wait for them; `None` until the first.
    channel_order: Option<Box<ChannelOrder>>,
    /// True while the peer is not read from.
    pub(crate) is_paused: bool,
    pub(crate) send_buffer: Option<SendBuffer>,
    /// What it has used of its quotas; most peers publish nothing.
    pub(crate) quotas: Option<Box<Quotas>>,
}

impl Peer {
    pub(crate) const fn new(id: PeerId, client: ClientId, access: Access, now: Instant) -> Self {
        Self {
            id,
            client,
            access,
            identity: None,
            phase: PeerPhase::AwaitingConnect,
            accepted_at: now,
            last_activity_at: now,
            scheduled: None,
            subscriptions: Vec::new(),
            last_recovered: None,
            pace: None,
            pending_weight: 0,
            channel_order: None,
            is_paused: false,
            send_buffer: None,
            quotas: None,
        }
    }

    /// The client's user; empty for an anonymous client.
    pub(crate) fn user(&self) -> &str {
        self.identity.as_ref().map_or("", |known| &known.user)
    }

    /// The peer's client info for other clients.
    pub(crate) fn info(&self) -> ClientInfo {
        ClientInfo {
            user: self.user().to_owned(),
            client: self.client.to_string(),
            conn_info: self.identity.as_ref().and_then(|known| known.info.clone()),
            chan_info: None,
        }
    }

    /// Sends a message to the peer.
    pub(crate) fn send(&self, context: &mut Context, message: Reply) {
        context.emit(Output::Send {
            peer: self.id,
            message,
        });
    }

    /// Replies to a command with its result.
    pub(crate) fn reply(&self, context: &mut Context, command: u32, result: ReplyResult) {
        let outcome = Ok(result);
        let id = command;
        self.send(context, Reply::Response { id, outcome });
    }

    /// Rejects a command with an error.
    pub(crate) fn reject(&self, context: &mut Context, command: u32, code: ErrorCode) {
        self.reject_with(context, command, code.reply());
    }

    /// Rejects a command with an error that has a text of its own.
    pub(crate) fn reject_with(&self, context: &mut Context, command: u32, error: ReplyError) {
        let outcome = Err(error);
        let id = command;
        self.send(context, Reply::Response { id, outcome });
    }

    /// Adds to the weight of what is pending for the peer; at the limit the peer is not read from.
    pub(crate) fn reserve(&mut self, context: &mut Context, weight: usize) {
        self.pending_weight += weight;
        let max = context.settings().pending_requests_per_peer_max;
        if self.pending_weight >= max && !self.is_paused {
            self.is_paused = true;
            context.emit(Output::PauseReading { peer: self.id });
        }
    }

    /// The order of this peer's commands; `None` if none of them had to be recorded yet.
    pub(crate) fn channel_order(&self) -> Option<&ChannelOrder> {
        self.channel_order.as_deref()
    }

    pub(crate) fn channel_order_mut(&mut self) -> &mut ChannelOrder {
        self.channel_order.get_or_insert_default()
    }

    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
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

    pub(crate) fn add_subscription(&mut self, subscription: Subscription) {
        // Most peers have one subscription, for which a growing list would allocate four.
        if self.subscriptions.is_empty() {
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.push(subscription);
    }

    pub(crate) fn take_subscription(&mut self, channel: ChannelIndex) -> Option<Subscription> {
        let mut subscriptions = self.subscriptions.iter();
        let index = subscriptions.position(|subscription| subscription.channel == channel)?;
        Some(self.subscriptions.swap_remove(index))
    }

    /// The pace of this peer's recoveries.
    pub(crate) fn pace(&mut self, now: Instant, settings: &HubSettings) -> &mut Pace {
        self.pace
            .get_or_insert_with(|| Box::new(Pace::new(now, settings)))
    }

    /// Whether a page of a recovery fits into the first half of the send buffer; the other half is kept for live
    /// publications.
    pub(crate) fn has_space_for_page(&self, settings: &HubSettings) -> bool {
        self.send_buffer.is_none_or(|send_buffer| {
            send_buffer
                .bytes()
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

    /// Opens the session of this client.
    pub(crate) fn connect(&mut self, context: &mut Context, identity: Identity) {
        if !identity.is_empty() {
            self.identity = Some(Box::new(identity));
        }
        let settings = context.policy.settings();
        let heartbeat = Heartbeat::start(context.now, settings, &mut context.generator);
        self.phase = PeerPhase::Connected { heartbeat };
    }

    /// Records that bytes were received.
    pub(crate) const fn record_activity(&mut self, now: Instant) {
        self.last_activity_at = now;
        if let PeerPhase::Connected { heartbeat } = &mut self.phase {
            heartbeat.record_activity();
        }
    }

    /// Records that the peer is read from again.
    pub(crate) const fn record_resumed(&mut self, now: Instant) {
        self.is_paused = false;
        if let PeerPhase::Connected { heartbeat } = &mut self.phase {
            heartbeat.record_resumed(now);
        }
    }

    /// Records that buffered bytes were written.
    pub(crate) const fn record_written(&mut self, now: Instant, bytes: usize) {
        if let Some(send_buffer) = &mut self.send_buffer {
            send_buffer.advance(now, bytes);
        }
        if let PeerPhase::Connected { heartbeat } = &mut self.phase {
            heartbeat.record_written(now, bytes);
        }
    }

    /// Records that a ping is in the send buffer, and sent once this many bytes are written.
    pub(crate) const fn record_ping_buffered(&mut self, bytes: usize) {
        if let PeerPhase::Connected { heartbeat } = &mut self.phase {
            heartbeat.record_buffered(bytes);
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
            PeerPhase::Connected { heartbeat } => heartbeat.accept_pong(),
            PeerPhase::AwaitingConnect
            | PeerPhase::AwaitingDecision
            | PeerPhase::Rejected { .. } => false,
        }
    }

    /// Whether the peer counts as a session.
    pub(crate) const fn has_session(&self) -> bool {
        match self.phase {
            PeerPhase::AwaitingDecision | PeerPhase::Connected { .. } => true,
            PeerPhase::AwaitingConnect | PeerPhase::Rejected { .. } => false,
        }
    }

    /// When this peer must be checked next.
    fn next_deadline(&self, settings: &HubSettings) -> Option<Instant> {
        let phase = match self.phase {
            PeerPhase::AwaitingConnect => Some(self.accepted_at + settings.connect_timeout),
            PeerPhase::AwaitingDecision => None,
            PeerPhase::Rejected { since } => Some(since + settings.rejected_close_timeout),
            PeerPhase::Connected { heartbeat } => Some(heartbeat.next_deadline(settings)),
        };
        let written = self
            .send_buffer
            .map(|send_buffer| send_buffer.deadline(settings));
        phase.into_iter().chain(written).min()
    }

    /// Schedules the next deadline if it is earlier than the scheduled one.
    pub(crate) fn schedule(&mut self, settings: &HubSettings, timer_wheel: &mut TimerWheel) {
        let Some(deadline) = self.next_deadline(settings) else {
            return;
        };
        let tick = TickNumber::at_or_after(deadline);
        if self.scheduled.is_none_or(|scheduled| tick < scheduled) {
            self.scheduled = Some(tick);
            timer_wheel.add(TimerEntry {
                peer: self.id,
                tick,
            });
        }
    }

    /// Removes the schedule for this tick. Returns `false` if the peer is scheduled for another one.
    pub(crate) fn take_schedule(&mut self, tick: TickNumber) -> bool {
        self.scheduled
            .take_if(|scheduled| *scheduled == tick)
            .is_some()
    }

    /// The deadline that has passed, worst first. A due ping counts as sent.
    pub(crate) fn take_expired(
        &mut self,
        now: Instant,
        settings: &HubSettings,
    ) -> Option<Deadline> {
        if self
            .send_buffer
            .is_some_and(|send_buffer| send_buffer.deadline(settings) <= now)
        {
            return Some(Deadline::WriteTimeout);
        }
        match &mut self.phase {
            PeerPhase::AwaitingConnect => (self.accepted_at + settings.connect_timeout <= now)
                .then_some(Deadline::ConnectTimeout),
            PeerPhase::AwaitingDecision => None,
            PeerPhase::Rejected { since } => (*since + settings.rejected_close_timeout <= now)
                .then_some(Deadline::RejectedCloseTimeout),
            PeerPhase::Connected { heartbeat } => {
                let beat = heartbeat.take_expired(now, settings, self.is_paused)?;
                Some(match beat {
                    Beat::Ping => Deadline::Ping,
                    Beat::NoPong => Deadline::NoPong,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_peer_and_its_subscriptions_are_small() {
        assert!(size_of::<Peer>() <= 208, "{}", size_of::<Peer>());
        let subscription = size_of::<Subscription>();
        assert!(subscription <= 56, "{subscription}");
    }
}
