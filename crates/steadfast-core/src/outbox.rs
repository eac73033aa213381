//! Queued and in-flight messages. Each ends with exactly one outcome.
//!
//! Delivery is at least once, with an idempotency key: effectively once while the server remembers the key. A
//! message leaves the outbox only with its outcome. After a lost connection, unacknowledged messages are resent
//! with their keys, in the original order and before newer ones. Messages that a connected server does not
//! acknowledge in time are resent as well. The session does the encoding.
//!
//! Messages of one lane are sent, and stored, in the order in which they were enqueued, also across lost
//! connections and resends. There is one exception: if the server temporarily rejects a message, it may have
//! accepted later ones of the lane that were already in flight. Messages that are sent afterwards do not
//! overtake it. With `channel_in_flight_max = 1` the order always holds.

mod entry;
mod lane_flow;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::dialect::{Delivery, Message};
use crate::io::{MessageId, Outgoing, SendError};
use crate::policy::OutboxSettings;
use entry::OutboxEntry;
use lane_flow::LaneFlows;

/// The queue of all lanes.
#[derive(Debug)]
pub(crate) struct Outbox<M: Message> {
    settings: OutboxSettings,
    /// Oldest first, in flight or not.
    entries: VecDeque<OutboxEntry<M>>,
    flows: LaneFlows<M::Lane>,
    bytes: usize,
    in_flight: usize,
}

impl<M: Message> Outbox<M> {
    pub(crate) fn new(settings: OutboxSettings) -> Self {
        Self {
            settings,
            entries: VecDeque::new(),
            flows: LaneFlows::default(),
            bytes: 0,
            in_flight: 0,
        }
    }

    /// Adds a message. Returns the messages that are dropped because the outbox is full: this one, or those
    /// that it replaces.
    pub(crate) fn enqueue(&mut self, now: Instant, outgoing: Outgoing<M>) -> Vec<MessageId> {
        let mut dropped = Vec::new();
        if !self.has_space(&outgoing) {
            if !outgoing.drops_oldest || !self.can_make_space(&outgoing) {
                return vec![outgoing.id];
            }
            while !self.has_space(&outgoing)
                && let Some(oldest) = self.remove_oldest_unsent()
            {
                dropped.push(oldest);
            }
        }
        self.bytes = self.bytes.saturating_add(outgoing.message.bytes());
        let flow = self.flows.add(outgoing.message.lane());
        self.entries
            .push_back(OutboxEntry::new(now, outgoing, flow));
        dropped
    }

    fn has_space(&self, outgoing: &Outgoing<M>) -> bool {
        let bytes = self.bytes.saturating_add(outgoing.message.bytes());
        self.entries.len() < self.settings.messages_max && bytes <= self.settings.bytes_max
    }

    /// Whether the message fits next to those that were sent, which are not dropped: they may be stored.
    fn can_make_space(&self, outgoing: &Outgoing<M>) -> bool {
        let (mut sent, mut bytes) = (0, outgoing.message.bytes());
        for entry in self.entries.iter().filter(|entry| !entry.is_unsent()) {
            sent += 1;
            bytes = bytes.saturating_add(entry.outgoing.message.bytes());
        }
        sent < self.settings.messages_max && bytes <= self.settings.bytes_max
    }

    fn remove_oldest_unsent(&mut self) -> Option<MessageId> {
        let index = self.entries.iter().position(OutboxEntry::is_unsent)?;
        let entry = self.entries.remove(index)?;
        self.release_entry(&entry);
        Some(entry.outgoing.id)
    }

    /// The next message to send, if the in-flight limits and the order allow one; it is then in flight with this
    /// command. An expired message is not sent even if its deadline has not been handled yet: after a suspension,
    /// the process reads from its socket before it handles its timers.
    ///
    /// A message without acknowledgement waits until the socket has accepted what was sent before: nothing else limits
    /// how much of them is in the send buffer.
    pub(crate) fn send_next(
        &mut self,
        now: Instant,
        command: u32,
        is_write_blocked: bool,
    ) -> Option<&M> {
        if self.in_flight >= self.settings.in_flight_max || self.queued() == 0 {
            return None;
        }
        let (flows, limit) = (&self.flows, self.settings.channel_in_flight_max);
        let resend_window = self.settings.resend_window;
        // A paused lane holds back all its messages, so the first sendable one keeps the order.
        let is_sendable = |it: &&mut OutboxEntry<M>| {
            let is_unacknowledged = it.outgoing.message.delivery() == Delivery::Unacknowledged;
            let waits = it.is_in_flight() || (is_write_blocked && is_unacknowledged);
            !waits && flows.can_send(it.flow, now, limit) && !it.is_expired(now, resend_window)
        };
        let entry = self.entries.iter_mut().find(is_sendable)?;
        entry.send(now, command, &self.settings);
        self.in_flight += 1;
        self.flows.on_sent(entry.flow);
        Some(&entry.outgoing.message)
    }

    /// The message that was sent with this command, while it has no outcome.
    pub(crate) fn get(&self, command: u32) -> Option<&M> {
        let entry = self.entries.get(self.index_of(command)?)?;
        Some(&entry.outgoing.message)
    }

    /// The server applied the message of this command, possibly after it was resent.
    pub(crate) fn acknowledge(&mut self, command: u32) -> Option<MessageId> {
        let index = self.index_of(command)?;
        let entry = self.entries.remove(index)?;
        if entry.is_in_flight() {
            self.flows.acknowledge(entry.flow);
        }
        self.release_entry(&entry);
        Some(entry.outgoing.id)
    }

    /// The server temporarily rejected the message: its lane pauses, at least for `retry_after`, and it is
    /// resent. The pause has jitter, so that clients that were rejected together do not retry at the same time. Returns
    /// the message if it must not be sent again, because it may have been applied.
    pub(crate) fn retry_later(
        &mut self,
        now: Instant,
        command: u32,
        retry_after: Option<Duration>,
        may_be_stored: bool,
        add_jitter: impl FnOnce(Duration) -> Duration,
    ) -> Option<MessageId> {
        let index = self.record_rejection(command, may_be_stored)?;
        let entry = self.entries.get(index)?;
        if entry.is_lost() {
            let entry = self.entries.remove(index)?;
            self.release_entry(&entry);
            return Some(entry.outgoing.id);
        }
        let flow = entry.flow;
        let pause = self.flows.on_rejected(flow, self.settings.retry_after);
        let pause = add_jitter(retry_after.unwrap_or_default().max(pause));
        self.flows.pause(flow, now + pause);
        None
    }

    /// The server permanently rejected the message: that is its outcome, unless another attempt to send it may have
    /// been applied.
    pub(crate) fn reject<R>(
        &mut self,
        command: u32,
        rejection: SendError<R>,
    ) -> Option<(MessageId, SendError<R>)> {
        let index = self.record_rejection(command, false)?;
        let entry = self.entries.remove(index)?;
        self.release_entry(&entry);
        Some((entry.outgoing.id, entry.error(rejection)))
    }

    /// The connection is lost: no reply can arrive any more. Returns the messages that must not be sent again.
    pub(crate) fn on_connection_lost(&mut self) -> Vec<MessageId> {
        self.flows.on_connection_lost();
        self.in_flight = 0;
        for entry in &mut self.entries {
            entry.on_connection_lost();
        }
        self.remove_lost()
    }

    /// Removes the messages that the peer may have applied and would apply again.
    fn remove_lost(&mut self) -> Vec<MessageId> {
        let mut lost = Vec::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| {
            if entry.is_lost() {
                lost.push(entry.outgoing.id);
                self.release_entry(entry);
            }
            !entry.is_lost()
        });
        self.entries = entries;
        lost
    }

    /// Removes messages that expired, or whose resend window has passed: another resend could be applied twice.
    /// Those that were not acknowledged in time become sendable again, but not while the transport's send buffer is not
    /// empty.
    pub(crate) fn expire<R>(
        &mut self,
        now: Instant,
        is_write_blocked: bool,
    ) -> Vec<(MessageId, SendError<R>)> {
        self.flows.end_pauses(now);
        let settings = self.settings;
        let mut expired = Vec::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain_mut(|entry| {
            if entry.is_ack_overdue(now)
                && !(is_write_blocked && entry.extend_ack_timeout(now, &settings))
            {
                entry.time_out();
                self.release(entry.flow);
            }
            let is_expired = entry.is_expired(now, settings.resend_window) || entry.is_lost();
            if is_expired {
                expired.push((entry.outgoing.id, entry.error(SendError::Expired)));
                self.release_entry(entry);
            }
            !is_expired
        });
        self.entries = entries;
        expired
    }

    /// Removes all messages, because the session ends or has failed.
    pub(crate) fn close<R: Clone>(
        &mut self,
        reason: &SendError<R>,
    ) -> Vec<(MessageId, SendError<R>)> {
        self.bytes = 0;
        self.in_flight = 0;
        self.flows.clear();
        let ended = |entry: OutboxEntry<M>| (entry.outgoing.id, entry.error(reason.clone()));
        self.entries.drain(..).map(ended).collect()
    }

    /// When a message expires or becomes sendable.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let resend_window = self.settings.resend_window;
        let entries = self
            .entries
            .iter()
            .filter_map(|entry| entry.deadline(resend_window));
        entries.chain(self.flows.deadline()).min()
    }

    /// Messages that were sent and not acknowledged.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Messages that wait to be sent, for the first time or again.
    pub(crate) fn queued(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    /// Whether every message has its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn index_of(&self, command: u32) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.has_command(command))
    }

    /// Records the rejection of a command. Returns the index of its message if this was its newest command;
    /// otherwise the newer command decides the outcome.
    fn record_rejection(&mut self, command: u32, may_be_stored: bool) -> Option<usize> {
        let index = self.index_of(command)?;
        let entry = self.entries.get_mut(index)?;
        let was_in_flight = entry.is_in_flight();
        let is_newest = entry.on_rejected(command, may_be_stored);
        let released = (was_in_flight && !entry.is_in_flight()).then_some(entry.flow);
        if let Some(flow) = released {
            self.release(flow);
        }
        is_newest.then_some(index)
    }

    fn release(&mut self, flow: usize) {
        self.in_flight -= 1;
        self.flows.release(flow);
    }

    /// Updates the counts for an entry that was removed from the queue.
    fn release_entry(&mut self, entry: &OutboxEntry<M>) {
        self.bytes = self.bytes.saturating_sub(entry.outgoing.message.bytes());
        if entry.is_in_flight() {
            self.release(entry.flow);
        }
        self.flows.remove(entry.flow, entry.outgoing.message.lane());
    }
}
