//! Queued and in-flight publications. Each ends with exactly one outcome.
//!
//! Delivery is at least once, with an idempotency key: effectively once while the server remembers the key. A
//! publication leaves the outbox only with its outcome. After a lost connection, unacknowledged publications are resent
//! with their keys, in the original order and before newer ones. Publications that a connected server does not
//! acknowledge in time are resent as well. The session does the encoding.
//!
//! Publications of one channel are sent, and stored, in the order in which they were enqueued, also across lost
//! connections and resends. There is one exception: if the server temporarily rejects a publication, it may have
//! accepted later ones of the channel that were already in flight. Publications that are sent afterwards do not
//! overtake it. With `channel_in_flight_max = 1` the order always holds.

mod channel_flow;
mod entry;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::io::{DropReason, PublicationId, Publish, PublishOutcome};
use crate::policy::OutboxSettings;
use channel_flow::ChannelFlows;
use entry::OutboxEntry;

/// The queue of all channels.
#[derive(Debug)]
pub(crate) struct Outbox {
    settings: OutboxSettings,
    /// Oldest first, in flight or not.
    entries: VecDeque<OutboxEntry>,
    flows: ChannelFlows,
    bytes: usize,
    in_flight: usize,
}

impl Outbox {
    pub(crate) fn new(settings: OutboxSettings) -> Self {
        Self {
            settings,
            entries: VecDeque::new(),
            flows: ChannelFlows::default(),
            bytes: 0,
            in_flight: 0,
        }
    }

    /// Adds a publication. Returns the publications that are dropped because the outbox is full: this one, or those
    /// that it replaces.
    pub(crate) fn enqueue(&mut self, now: Instant, publish: Publish) -> Vec<PublicationId> {
        let mut dropped = Vec::new();
        if !self.has_space(&publish) {
            if !publish.drops_oldest || !self.can_make_space(&publish) {
                return vec![publish.id];
            }
            while !self.has_space(&publish)
                && let Some(oldest) = self.remove_oldest_unsent()
            {
                dropped.push(oldest);
            }
        }
        self.bytes = self.bytes.saturating_add(publish.data.len());
        let flow = self.flows.add(&publish.channel);
        self.entries.push_back(OutboxEntry::new(now, publish, flow));
        dropped
    }

    fn has_space(&self, publish: &Publish) -> bool {
        let bytes = self.bytes.saturating_add(publish.data.len());
        self.entries.len() < self.settings.messages_max && bytes <= self.settings.bytes_max
    }

    /// Whether the publication fits next to those that were sent, which are not dropped: they may be stored.
    fn can_make_space(&self, publish: &Publish) -> bool {
        let (mut sent, mut bytes) = (0, publish.data.len());
        for entry in self.entries.iter().filter(|entry| !entry.is_unsent()) {
            sent += 1;
            bytes = bytes.saturating_add(entry.publish.data.len());
        }
        sent < self.settings.messages_max && bytes <= self.settings.bytes_max
    }

    fn remove_oldest_unsent(&mut self) -> Option<PublicationId> {
        let index = self.entries.iter().position(OutboxEntry::is_unsent)?;
        let entry = self.entries.remove(index)?;
        self.release_entry(&entry);
        Some(entry.publish.id)
    }

    /// The next publication to send, if the in-flight limits and the order allow one; it is then in flight with this
    /// command. An expired publication is not sent even if its deadline has not been handled yet: after a suspension,
    /// the process reads from its socket before it handles its timers.
    pub(crate) fn send_next(&mut self, now: Instant, command: u32) -> Option<&Publish> {
        if self.in_flight >= self.settings.in_flight_max || self.queued() == 0 {
            return None;
        }
        let (flows, limit) = (&self.flows, self.settings.channel_in_flight_max);
        let resend_window = self.settings.resend_window;
        // A paused channel holds back all its publications, so the first sendable one keeps the order.
        let is_sendable = |it: &&mut OutboxEntry| {
            !it.is_in_flight()
                && flows.can_send(it.flow, now, limit)
                && !it.is_expired(now, resend_window)
        };
        let entry = self.entries.iter_mut().find(is_sendable)?;
        entry.send(now, command, &self.settings);
        self.in_flight += 1;
        self.flows.on_sent(entry.flow);
        Some(&entry.publish)
    }

    /// Whether a publication was sent with this command and has no outcome yet.
    pub(crate) fn has_command(&self, command: u32) -> bool {
        self.index_of(command).is_some()
    }

    /// The server applied the publication of this command, possibly after it was resent.
    pub(crate) fn acknowledge(&mut self, command: u32) -> Option<PublicationId> {
        let index = self.index_of(command)?;
        let entry = self.entries.remove(index)?;
        if entry.is_in_flight() {
            self.flows.acknowledge(entry.flow);
        }
        self.release_entry(&entry);
        Some(entry.publish.id)
    }

    /// The server temporarily rejected the publication: its channel pauses, at least for `retry_after`, and it is
    /// resent. The pause has jitter, so that clients that were rejected together do not retry at the same time.
    pub(crate) fn retry_later(
        &mut self,
        now: Instant,
        command: u32,
        retry_after: Option<Duration>,
        may_be_stored: bool,
        add_jitter: impl FnOnce(Duration) -> Duration,
    ) {
        let Some(index) = self.record_rejection(command, may_be_stored) else {
            return;
        };
        let Some(flow) = self.entries.get(index).map(|entry| entry.flow) else {
            return;
        };
        let pause = self.flows.on_rejected(flow, self.settings.retry_after);
        let pause = add_jitter(retry_after.unwrap_or_default().max(pause));
        self.flows.pause(flow, now + pause);
    }

    /// The server permanently rejected the publication: that is its outcome, unless another attempt to send it may have
    /// been applied.
    pub(crate) fn reject(
        &mut self,
        command: u32,
        rejection: PublishOutcome,
    ) -> Option<(PublicationId, PublishOutcome)> {
        let index = self.record_rejection(command, false)?;
        let entry = self.entries.remove(index)?;
        self.release_entry(&entry);
        Some((entry.publish.id, entry.outcome(rejection)))
    }

    /// The connection is lost: no reply can arrive any more.
    pub(crate) fn on_connection_lost(&mut self) {
        self.flows.on_connection_lost();
        self.in_flight = 0;
        for entry in &mut self.entries {
            entry.on_connection_lost();
        }
    }

    /// Removes publications that expired, or whose resend window has passed: another resend could be applied twice.
    /// Those that were not acknowledged in time become sendable again, but not while the transport's send buffer is not
    /// empty.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        is_write_blocked: bool,
    ) -> Vec<(PublicationId, PublishOutcome)> {
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
            let is_expired = entry.is_expired(now, settings.resend_window);
            if is_expired {
                expired.push((entry.publish.id, entry.outcome(PublishOutcome::Expired)));
                self.release_entry(entry);
            }
            !is_expired
        });
        self.entries = entries;
        expired
    }

    /// Removes all publications, because the session ends or has failed.
    pub(crate) fn close(&mut self, reason: &DropReason) -> Vec<(PublicationId, PublishOutcome)> {
        self.bytes = 0;
        self.in_flight = 0;
        self.flows.clear();
        let dropped = || PublishOutcome::Dropped(reason.clone());
        let ended = |entry: OutboxEntry| (entry.publish.id, entry.outcome(dropped()));
        self.entries.drain(..).map(ended).collect()
    }

    /// When a publication expires or becomes sendable.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let resend_window = self.settings.resend_window;
        let entries = self
            .entries
            .iter()
            .filter_map(|entry| entry.deadline(resend_window));
        entries.chain(self.flows.deadline()).min()
    }

    /// Publications that were sent and not acknowledged.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Publications that wait to be sent, for the first time or again.
    pub(crate) fn queued(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    /// Whether every publication has its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn index_of(&self, command: u32) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.has_command(command))
    }

    /// Records the rejection of a command. Returns the index of its publication if this was its newest command;
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
    fn release_entry(&mut self, entry: &OutboxEntry) {
        self.bytes = self.bytes.saturating_sub(entry.publish.data.len());
        if entry.is_in_flight() {
            self.release(entry.flow);
        }
        self.flows.remove(entry.flow, &entry.publish.channel);
    }
}
