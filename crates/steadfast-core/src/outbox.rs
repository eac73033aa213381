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

mod command_index;
mod entry;
mod lane_flow;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::deadlines::Deadlines;
use crate::dialect::Message;
use crate::io::{MessageId, Outgoing, SendError};
use crate::policy::OutboxSettings;
use command_index::CommandIndex;
use entry::OutboxEntry;
use lane_flow::LaneFlows;

/// The queue of all lanes.
#[derive(Debug)]
pub(crate) struct Outbox<M: Message> {
    settings: OutboxSettings,
    /// Oldest first, in flight or not.
    entries: VecDeque<OutboxEntry<M>>,
    /// The number of the next message.
    next_number: u64,
    commands: CommandIndex,
    /// The deadlines of all entries that have one.
    deadlines: Deadlines,
    flows: LaneFlows<M::Lane>,
    bytes: usize,
    in_flight: usize,
    /// The number of messages without acknowledgement.
    unacknowledged: usize,
}

impl<M: Message> Outbox<M> {
    pub(crate) fn new(settings: OutboxSettings) -> Self {
        Self {
            settings,
            entries: VecDeque::new(),
            next_number: 0,
            commands: CommandIndex::default(),
            deadlines: Deadlines::new(),
            flows: LaneFlows::new(settings.channel_in_flight_max),
            bytes: 0,
            in_flight: 0,
            unacknowledged: 0,
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
        let number = self.next_number;
        self.next_number += 1;
        let flow = self.flows.add(outgoing.message.lane(), number);
        let entry = OutboxEntry::new(now, outgoing, number, flow);
        self.unacknowledged += usize::from(entry.is_unacknowledged());
        let deadline = entry.deadline(self.settings.resend_window);
        self.deadlines.replace(number, None, deadline);
        self.entries.push_back(entry);
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
        self.remove(index).map(|entry| entry.outgoing.id)
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
        self.flows.end_pauses(now);
        // A paused lane holds back all its messages, so the first sendable one keeps the order.
        let (number, flow) = self.next_sendable(now, is_write_blocked)?;
        let index = self.position(number)?;
        let settings = self.settings;
        self.update(index, |entry| entry.send(now, command, &settings))?;
        self.commands.push(command, number);
        self.in_flight += 1;
        self.flows.on_sent(flow, number);
        self.entries.get(index).map(|entry| &entry.outgoing.message)
    }

    /// The number of the next message to send, and the index of its lane.
    fn next_sendable(&self, now: Instant, is_write_blocked: bool) -> Option<(u64, usize)> {
        let is_held_back = is_write_blocked && self.unacknowledged > 0;
        let has_expired = self.deadlines.has_passed(now);
        if !is_held_back && !has_expired {
            return self.flows.next_waiting(|_| true);
        }
        if is_held_back && self.unacknowledged == self.entries.len() {
            return None;
        }
        let resend_window = self.settings.resend_window;
        let can_send = |entry: &OutboxEntry<M>| {
            let waits = is_write_blocked && entry.is_unacknowledged();
            !waits && !entry.is_expired(now, resend_window)
        };
        let entry = |number| self.entries.get(self.position(number)?);
        self.flows
            .next_waiting(|number| entry(number).is_some_and(can_send))
    }

    /// The message that was sent with this command, while it has no outcome.
    pub(crate) fn get(&self, command: u32) -> Option<&M> {
        let entry = self.entries.get(self.index_of(command)?)?;
        Some(&entry.outgoing.message)
    }

    /// The server applied the message of this command, possibly after it was resent.
    pub(crate) fn acknowledge(&mut self, command: u32) -> Option<MessageId> {
        let index = self.index_of(command)?;
        let entry = self.entries.get(index)?;
        if entry.is_in_flight() {
            self.flows.acknowledge(entry.flow);
        }
        self.remove(index).map(|entry| entry.outgoing.id)
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
            return self.remove(index).map(|entry| entry.outgoing.id);
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
        let entry = self.remove(index)?;
        Some((entry.outgoing.id, entry.error(rejection)))
    }

    /// The connection is lost: no reply can arrive any more. Returns the messages that must not be sent again.
    pub(crate) fn on_connection_lost(&mut self) -> Vec<MessageId> {
        self.commands.clear();
        for index in 0..self.entries.len() {
            if let Some(entry) = self.entries.get(index)
                && entry.is_in_flight()
            {
                self.release(entry.flow, entry.number);
            }
            self.update(index, OutboxEntry::on_connection_lost);
        }
        self.flows.on_connection_lost();
        // The peer may have applied them, and would apply them again.
        self.remove_all(OutboxEntry::is_lost, |entry| entry.outgoing.id)
    }

    /// The session is connected to a server with another log, which does not recognize what was applied before. Returns
    /// the messages that may have been applied, and must not be sent again.
    pub(crate) fn on_log_changed(&mut self) -> Vec<MessageId> {
        self.remove_all(|entry| !entry.is_unsent(), |entry| entry.outgoing.id)
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
        let due: Vec<u64> = self.deadlines.passed(now).collect();
        if due.is_empty() {
            return Vec::new();
        }
        for number in due {
            self.time_out(now, number, is_write_blocked);
        }
        let resend_window = self.settings.resend_window;
        self.remove_all(
            |entry| entry.is_expired(now, resend_window) || entry.is_lost(),
            |entry| (entry.outgoing.id, entry.error(SendError::Expired)),
        )
    }

    /// Ends waiting for an acknowledgement that is overdue.
    fn time_out(&mut self, now: Instant, number: u64, is_write_blocked: bool) {
        let Some(index) = self.position(number) else {
            return;
        };
        let settings = self.settings;
        let released = self.update(index, |entry| {
            let is_released = entry.is_ack_overdue(now)
                && !(is_write_blocked && entry.extend_ack_timeout(now, &settings));
            if is_released {
                entry.time_out();
            }
            is_released.then_some(entry.flow)
        });
        if let Some(flow) = released.flatten() {
            self.release(flow, number);
        }
    }

    /// Removes all messages, because the session ends or has failed.
    pub(crate) fn close<R: Clone>(
        &mut self,
        reason: &SendError<R>,
    ) -> Vec<(MessageId, SendError<R>)> {
        self.bytes = 0;
        self.in_flight = 0;
        self.unacknowledged = 0;
        self.commands.clear();
        self.deadlines.clear();
        self.flows.clear();
        let ended = |entry: OutboxEntry<M>| (entry.outgoing.id, entry.error(reason.clone()));
        self.entries.drain(..).map(ended).collect()
    }

    /// When a message expires or becomes sendable.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.deadlines.first(), self.flows.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Messages that were sent and not acknowledged.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the loss of the connection would end a message that is in flight, because it must not be sent again.
    pub(crate) fn has_unrepeatable_in_flight(&self) -> bool {
        self.in_flight > 0 && self.entries.iter().any(OutboxEntry::ends_with_connection)
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
        self.position(self.commands.get(command)?)
    }

    /// The index of the entry with this number.
    fn position(&self, number: u64) -> Option<usize> {
        let first = self.entries.front()?.number;
        // The place of the entry unless one before it was removed.
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        if self.entries.get(place).map(|entry| entry.number) == Some(number) {
            return Some(place);
        }
        let found = self
            .entries
            .binary_search_by_key(&number, |entry| entry.number);
        found.ok()
    }

    /// Changes an entry, and its deadline with it.
    fn update<T>(
        &mut self,
        index: usize,
        update: impl FnOnce(&mut OutboxEntry<M>) -> T,
    ) -> Option<T> {
        let resend_window = self.settings.resend_window;
        let entry = self.entries.get_mut(index)?;
        let before = entry.deadline(resend_window);
        let result = update(entry);
        let after = entry.deadline(resend_window);
        self.deadlines.replace(entry.number, before, after);
        Some(result)
    }

    /// Records the rejection of a command. Returns the index of its message if this was its newest command;
    /// otherwise the newer command decides the outcome.
    fn record_rejection(&mut self, command: u32, may_be_stored: bool) -> Option<usize> {
        let index = self.index_of(command)?;
        self.commands.remove(command);
        let was_in_flight = self.entries.get(index)?.is_in_flight();
        let is_newest = self.update(index, |entry| entry.on_rejected(command, may_be_stored))?;
        let entry = self.entries.get(index)?;
        if was_in_flight && !entry.is_in_flight() {
            self.release(entry.flow, entry.number);
        }
        is_newest.then_some(index)
    }

    /// A message is no longer in flight, and waits.
    fn release(&mut self, flow: usize, number: u64) {
        self.in_flight -= 1;
        self.flows.release(flow, number);
    }

    fn remove(&mut self, index: usize) -> Option<OutboxEntry<M>> {
        let entry = self.entries.remove(index)?;
        self.forget(&entry);
        Some(entry)
    }

    /// Removes all entries with this condition, and returns their outcomes in the order of the queue.
    fn remove_all<T>(
        &mut self,
        condition: impl Fn(&OutboxEntry<M>) -> bool,
        outcome: impl Fn(&OutboxEntry<M>) -> T,
    ) -> Vec<T> {
        let mut outcomes = Vec::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| {
            let is_removed = condition(entry);
            if is_removed {
                outcomes.push(outcome(entry));
                self.forget(entry);
            }
            !is_removed
        });
        self.entries = entries;
        outcomes
    }

    /// Updates the counts and the indexes for an entry that was removed from the queue.
    fn forget(&mut self, entry: &OutboxEntry<M>) {
        let message = &entry.outgoing.message;
        self.bytes = self.bytes.saturating_sub(message.bytes());
        self.unacknowledged -= usize::from(entry.is_unacknowledged());
        let is_in_flight = entry.is_in_flight();
        self.in_flight -= usize::from(is_in_flight);
        for command in entry.commands() {
            self.commands.remove(command);
        }
        let deadline = entry.deadline(self.settings.resend_window);
        self.deadlines.replace(entry.number, deadline, None);
        self.flows
            .remove(entry.flow, message.lane(), entry.number, is_in_flight);
    }
}

#[cfg(test)]
mod tests;
