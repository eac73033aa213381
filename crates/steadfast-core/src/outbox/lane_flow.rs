//! Flow control of the outbox, for each lane that has messages in it: how many messages are in flight, and
//! whether the server requested a pause.
//!
//! After a temporary rejection a lane is throttled: one message is in flight at a time until a message
//! is acknowledged, so that no further message can overtake the rejected one. The same applies after a lost
//! connection, when a server is most likely to reject.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;

/// The maximum of a doubled pause; a longer pause is not doubled.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(20);

/// Flow control of one lane.
#[derive(Debug, Default)]
struct LaneFlow {
    /// The number of messages of the lane.
    entries: usize,
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

/// Flow control of all lanes. An index that [`Self::add`] returned is valid until the lane's last
/// message is removed.
#[derive(Debug)]
pub(super) struct LaneFlows<L> {
    all: Vec<LaneFlow>,
    free: Vec<usize>,
    by_lane: BTreeMap<L, usize>,
}

impl<L> Default for LaneFlows<L> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
            by_lane: BTreeMap::new(),
        }
    }
}

impl<L: Ord + Clone> LaneFlows<L> {
    /// Adds a message of this lane, and returns the lane's index.
    pub(super) fn add(&mut self, lane: &L) -> usize {
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
        self.update(index, |flow| flow.entries += 1);
        index
    }

    /// Removes a message that is not in flight.
    pub(super) fn remove(&mut self, index: usize, lane: &L) {
        let Some(flow) = self.all.get_mut(index) else {
            return;
        };
        flow.entries -= 1;
        if flow.entries == 0 {
            *flow = LaneFlow::default();
            self.by_lane.remove(lane);
            self.free.push(index);
        }
    }

    /// Whether another message may be sent, with at most `limit` in flight.
    pub(super) fn can_send(&self, index: usize, now: Instant, limit: usize) -> bool {
        self.all.get(index).is_some_and(|flow| {
            let limit = if flow.is_throttled { 1 } else { limit };
            flow.in_flight < limit && flow.paused_until.is_none_or(|until| now >= until)
        })
    }

    /// A message was sent.
    pub(super) fn on_sent(&mut self, index: usize) {
        self.update(index, |flow| {
            flow.in_flight += 1;
            flow.is_trial_in_flight = flow.is_throttled;
        });
    }

    /// A message is no longer in flight.
    pub(super) fn release(&mut self, index: usize) {
        self.update(index, |flow| flow.in_flight -= 1);
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
            let doublings = flow.rejections.saturating_sub(1);
            let factor = 2_u32.saturating_pow(doublings);
            doubled = pause.saturating_mul(factor).min(RETRY_DELAY_MAX.max(pause));
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

    /// Nothing is in flight any more. The next connection is used without a pause, but throttled.
    pub(super) fn on_connection_lost(&mut self) {
        for flow in &mut self.all {
            flow.in_flight = 0;
            flow.is_throttled = flow.entries > 0;
            flow.is_trial_in_flight = false;
            flow.paused_until = None;
        }
    }

    /// The earliest end of a pause.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|flow| flow.paused_until).min()
    }

    /// Ends the pauses that have passed.
    pub(super) fn end_pauses(&mut self, now: Instant) {
        for flow in &mut self.all {
            flow.paused_until = flow.paused_until.filter(|until| now < *until);
        }
    }

    /// Removes all lanes.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn update(&mut self, index: usize, update: impl FnOnce(&mut LaneFlow)) {
        if let Some(flow) = self.all.get_mut(index) {
            update(flow);
        }
    }
}
