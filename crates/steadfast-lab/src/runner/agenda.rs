//! What is due when: publications, faults and their undoing, phases, and looks at the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use steadfast_faults::ledger::record::Phase;
use steadfast_faults::roster::{ClientId, FaultId};
use steadfast_machine::Instant;

/// Something that has a planned instant. In case of a tie the order of this list decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A part of the time line begins.
    Begin(Phase),
    /// A fault is undone.
    Heal(FaultId),
    /// A fault happens.
    Inject(FaultId),
    /// A client publishes.
    Publish(ClientId),
    /// A client may send what is to be repeated.
    Repeat(ClientId),
    /// A fault that waited for a publication to be under way happens.
    Strike(FaultId),
    /// The harness looks at its own lag.
    Look,
    /// The person who waits is told.
    Tell,
}

/// Everything that is due, earliest first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// One entry a client, fault and phase, so the plan bounds it.
    entries: BinaryHeap<Reverse<(Instant, Due)>>,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.entries.push(Reverse((at, due)));
    }

    /// The planned instant of the earliest.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest out if its time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, Due)> {
        if self.next_at()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_order_of_time_and_never_early() {
        let at = |millis| Instant::START + Duration::from_millis(millis);
        let mut agenda = Agenda::default();
        agenda.add(at(30), Due::Look);
        agenda.add(at(10), Due::Publish(ClientId(1)));
        agenda.add(at(10), Due::Begin(Phase::Steps));

        assert_eq!(agenda.take(at(9)), None);
        assert_eq!(
            agenda.take(at(20)),
            Some((at(10), Due::Begin(Phase::Steps)))
        );
        assert_eq!(
            agenda.take(at(20)),
            Some((at(10), Due::Publish(ClientId(1))))
        );
        assert_eq!(agenda.take(at(20)), None);
        assert_eq!(agenda.next_at(), Some(at(30)));
    }
}
