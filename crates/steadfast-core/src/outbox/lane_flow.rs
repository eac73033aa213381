//! Flow control of the outbox, for each lane that has messages in it: how many messages are in flight, and
//! whether the server requested a pause.
//!
//! After a temporary rejection a lane is throttled: one message is in flight at a time until a message
//! is acknowledged, so that no further message can overtake the rejected one. The same applies after a lost
//! connection, when a server is most likely to reject.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use steadfast_machine::Instant;

use crate::backoff::retry_delay;
use crate::sorted_queue::SortedQueue;

/// Flow control of one lane.
#[derive(Debug, Default)]
struct LaneFlow {
    /// The numbers of the messages that are not in flight, the oldest first.
    waiting: VecDeque<u64>,
    in_flight: usize,
    /// Only one message is in flight at a time, until a message is acknowledged.
    is_throttled: bool,
    /// The message in flight was sent while the lane was throttled: its acknowledgement ends the throttling.
    is_trial_in_flight: bool,
    /// Rejections since the throttling began.
    rejections: u32,
    /// Nothing is sent before this instant.
    paused_until: Option<Instant>,
}

impl LaneFlow {
    fn has_entries(&self) -> bool {
        self.in_flight > 0 || !self.waiting.is_empty()
    }

    /// The oldest message that waits, if another one may be sent, with at most `limit` in flight.
    fn sendable(&self, limit: usize) -> Option<u64> {
        let limit = if self.is_throttled { 1 } else { limit };
        let can_send = self.in_flight < limit && self.paused_until.is_none();
        self.waiting.front().copied().filter(|_| can_send)
    }

    /// Adds a message to those that wait, in the order of the numbers.
    fn wait(&mut self, number: u64) {
        let index = self.waiting.partition_point(|it| *it < number);
        self.waiting.insert(index, number);
    }

    fn stop_waiting(&mut self, number: u64) {
        if self.waiting.front() == Some(&number) {
            self.waiting.pop_front();
        } else if let Ok(index) = self.waiting.binary_search(&number) {
            self.waiting.remove(index);
        }
    }
}

/// Flow control of all lanes. An index that [`Self::add`] returned is valid until the lane's last
/// message is removed.
#[derive(Debug)]
pub(super) struct LaneFlows<L> {
    /// The maximum number of messages of a lane in flight.
    in_flight_max: usize,
    all: Vec<LaneFlow>,
    free: Vec<usize>,
    by_lane: BTreeMap<L, usize>,
    /// The lanes that may send, with the oldest message that waits in each.
    sendable: SortedQueue<(u64, usize)>,
    /// The lanes that are paused, with the ends of their pauses.
    pauses: SortedQueue<(Instant, usize)>,
}

impl<L: Ord + Clone> LaneFlows<L> {
    pub(super) const fn new(in_flight_max: usize) -> Self {
        Self {
            in_flight_max,
            all: Vec::new(),
            free: Vec::new(),
            by_lane: BTreeMap::new(),
            sendable: SortedQueue::new(),
            pauses: SortedQueue::new(),
        }
    }

    /// Adds a message of this lane, which is newer than all others, and returns the lane's index.
    pub(super) fn add(&mut self, lane: &L, number: u64) -> usize {
        let index = if let Some(index) = self.by_lane.get(lane) {
            *index
        } else {
            let index = self.free.pop().unwrap_or_else(|| {
                self.all.push(LaneFlow::default());
                self.all.len() - 1
            });
            self.by_lane.insert(lane.clone(), index);
            index
        };
        self.update(index, |flow| flow.waiting.push_back(number));
        index
    }

    /// Removes a message of this lane.
    pub(super) fn remove(&mut self, index: usize, lane: &L, number: u64, is_in_flight: bool) {
        let mut is_unused = false;
        self.update(index, |flow| {
            if is_in_flight {
                flow.in_flight -= 1;
            } else {
                flow.stop_waiting(number);
            }
            if !flow.has_entries() {
                *flow = LaneFlow::default();
                is_unused = true;
            }
        });
        if is_unused {
            self.by_lane.remove(lane);
            self.free.push(index);
        }
    }

    /// Returns the oldest message that may be sent and satisfies the condition, with its lane's index.
    pub(super) fn next_waiting(&self, can_send: impl Fn(u64) -> bool) -> Option<(u64, usize)> {
        let mut next: Option<(u64, usize)> = None;
        for (oldest, index) in self.sendable.iter() {
            // All others are newer.
            if next.is_some_and(|(number, _)| number < *oldest) {
                break;
            }
            let waiting = self.all.get(*index).map(|flow| flow.waiting.iter());
            let found = waiting.and_then(|mut numbers| numbers.find(|it| can_send(**it)));
            next = found
                .map(|number| (*number, *index))
                .into_iter()
                .chain(next)
                .min();
        }
        next
    }

    /// A message was sent.
    pub(super) fn on_sent(&mut self, index: usize, number: u64) {
        self.update(index, |flow| {
            flow.stop_waiting(number);
            flow.in_flight += 1;
            flow.is_trial_in_flight = flow.is_throttled;
        });
    }

    /// A message is no longer in flight, and waits.
    pub(super) fn release(&mut self, index: usize, number: u64) {
        self.update(index, |flow| {
            flow.in_flight -= 1;
            flow.wait(number);
        });
    }

    /// The server acknowledged a message that was in flight.
    pub(super) fn acknowledge(&mut self, index: usize) {
        self.update(index, |flow| {
            if flow.is_trial_in_flight {
                flow.is_throttled = false;
                flow.is_trial_in_flight = false;
                flow.rejections = 0;
            }
        });
    }

    /// The server temporarily rejected a message; returns the pause, which doubles with each rejection.
    /// Messages that were in flight together are rejected together, and count once.
    pub(super) fn on_rejected(&mut self, index: usize, pause: Duration) -> Duration {
        let mut doubled = pause;
        self.update(index, |flow| {
            let is_another = !flow.is_throttled || flow.is_trial_in_flight;
            flow.rejections = flow.rejections.saturating_add(u32::from(is_another));
            flow.is_throttled = true;
            flow.is_trial_in_flight = false;
            doubled = retry_delay(pause, flow.rejections.saturating_sub(1));
        });
        doubled
    }

    /// Sends nothing before `until`. The longest of several pauses applies: messages that were in flight together
    /// are rejected together, and only one of the replies may contain a delay.
    pub(super) fn pause(&mut self, index: usize, until: Instant) {
        self.update(index, |flow| {
            flow.paused_until = flow.paused_until.max(Some(until));
        });
    }

    /// The connection is lost, and every message waits. The next connection is used without a pause, but throttled.
    pub(super) fn on_connection_lost(&mut self) {
        for index in 0..self.all.len() {
            self.update(index, |flow| {
                flow.is_throttled = flow.has_entries();
                flow.is_trial_in_flight = false;
                flow.paused_until = None;
            });
        }
    }

    /// The earliest end of a pause.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pauses.first().map(|(until, _)| *until)
    }

    /// Ends the pauses that have passed.
    pub(super) fn end_pauses(&mut self, now: Instant) {
        while let Some((until, index)) = self.pauses.first().copied()
            && now >= until
        {
            self.update(index, |flow| flow.paused_until = None);
        }
    }

    /// Removes all lanes.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.in_flight_max);
    }

    /// Changes the flow control of a lane, and what depends on it.
    fn update(&mut self, index: usize, update: impl FnOnce(&mut LaneFlow)) {
        let Some(flow) = self.all.get_mut(index) else {
            return;
        };
        let (sendable, paused_until) = (flow.sendable(self.in_flight_max), flow.paused_until);
        update(flow);
        let key = |number| (number, index);
        let sendable_now = flow.sendable(self.in_flight_max);
        self.sendable
            .replace(sendable.map(key), sendable_now.map(key));
        let key = |until| (until, index);
        self.pauses
            .replace(paused_until.map(key), flow.paused_until.map(key));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl<L: Ord + Clone> LaneFlows<L> {
        /// Whether a message of this lane may be sent.
        pub(in crate::outbox) fn can_send(&self, index: usize) -> bool {
            let flow = self.all.get(index);
            flow.is_some_and(|flow| flow.sendable(self.in_flight_max).is_some())
        }

        /// Compares the state with all messages: lane, number, and whether they are in flight.
        pub(in crate::outbox) fn check(&self, entries: &[(usize, u64, bool)]) {
            for (index, flow) in self.all.iter().enumerate() {
                let own = entries.iter().filter(|(lane, ..)| *lane == index);
                let (in_flight, waiting): (Vec<_>, Vec<_>) = own.partition(|(.., it)| *it);
                assert_eq!(flow.in_flight, in_flight.len());
                let waiting: VecDeque<u64> = waiting.iter().map(|(_, it, _)| *it).collect();
                assert_eq!(flow.waiting, waiting);
            }
            let flows = || self.all.iter().zip(0..);
            let sendable = flows().filter_map(|(flow, index)| {
                let oldest = flow.sendable(self.in_flight_max)?;
                Some((oldest, index))
            });
            let sendable: BTreeSet<(u64, usize)> = sendable.collect();
            assert!(self.sendable.iter().eq(&sendable));
            let pauses = flows().filter_map(|(flow, index)| Some((flow.paused_until?, index)));
            let pauses: BTreeSet<(Instant, usize)> = pauses.collect();
            assert!(self.pauses.iter().eq(&pauses));
            let used = flows().filter(|(flow, _)| flow.has_entries()).count();
            assert_eq!(self.by_lane.len(), used);
            assert_eq!(self.free.len(), self.all.len() - used);
        }
    }
}
