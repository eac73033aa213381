//! What is remembered of one endpoint, and its place in the order of a round. [`super::Endpoints`] decides what happens.

use steadfast_machine::Instant;

use super::{EndpointId, ListedEndpoint};

/// An endpoint of the list with its memory. An instant that has passed has no effect.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    endpoint: ListedEndpoint,
    /// An attempt was made in this round.
    pub(super) is_tried: bool,
    /// The order in this round among endpoints of equal priority.
    pub(super) rank: u64,
    /// An attempt failed for a reason that applies to each further one.
    pub(super) has_failed_for_good: bool,
    /// The end of the hold-down after the last failure.
    pub(super) held_until: Instant,
    /// The end of the delay that the server requested.
    pub(super) postponed_until: Instant,
    /// The earliest failback to this endpoint, apart from its hold-down.
    pub(super) failback_from: Instant,
}

impl Candidate {
    pub(super) const fn new(endpoint: ListedEndpoint, rank: u64) -> Self {
        Self {
            endpoint,
            is_tried: false,
            rank,
            has_failed_for_good: false,
            held_until: Instant::START,
            postponed_until: Instant::START,
            failback_from: Instant::START,
        }
    }

    pub(super) fn with_priority(&self, priority: u16) -> Self {
        let mut changed = self.clone();
        changed.endpoint.priority = priority;
        changed
    }

    pub(super) const fn id(&self) -> EndpointId {
        self.endpoint.id
    }

    pub(super) const fn priority(&self) -> u16 {
        self.endpoint.priority
    }

    pub(super) fn is_postponed(&self, now: Instant) -> bool {
        now < self.postponed_until
    }

    /// The key of the order of attempts; the smallest is next. Postponed endpoints are last, in the order of their
    /// instants.
    pub(super) fn order(&self, now: Instant) -> impl Ord + use<> {
        let available_at = self.postponed_until.max(now);
        let is_held_down = now < self.held_until;
        (
            available_at,
            self.is_tried,
            is_held_down,
            self.priority(),
            self.rank,
        )
    }

    pub(super) const fn on_connected(&mut self) {
        self.held_until = Instant::START;
        self.postponed_until = Instant::START;
    }

    pub(super) fn failback_at(&self) -> Instant {
        let available_at = self.held_until.max(self.postponed_until);
        self.failback_from.max(available_at)
    }
}
