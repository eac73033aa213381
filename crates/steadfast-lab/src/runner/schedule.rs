//! When each action of a run is due: publications, faults and their healing, phases, lag samples and progress reports.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use steadfast_faults::ledger::event::RunPhase;
use steadfast_faults::topology::{ClientId, FaultId};
use steadfast_machine::Instant;

/// An action with a planned instant. Actions that are due at the same instant are executed in the order of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DueAction {
    /// Begins a phase of the timeline.
    Begin(RunPhase),
    /// Heals a fault.
    Heal(FaultId),
    /// Schedules the injection of a fault for a publication that it can hit in flight.
    Arm(FaultId),
    /// Lets a client publish.
    Publish(ClientId),
    /// Lets a client resend what is pending.
    Resend(ClientId),
    /// Ends the wait for the response to this command: the driver should have sent it before.
    Expire(u64),
    /// Injects an armed fault.
    Inject(FaultId),
    /// Measures the lag of the harness itself.
    SampleLag,
    /// Reports the progress to the caller.
    ReportProgress,
}

/// All scheduled actions, earliest first.
#[derive(Debug, Default)]
pub(super) struct RunSchedule {
    /// The plan bounds the number of entries: a few for each client, fault and phase.
    entries: BinaryHeap<Reverse<(Instant, DueAction)>>,
}

impl RunSchedule {
    pub(super) fn add(&mut self, at: Instant, action: DueAction) {
        self.entries.push(Reverse((at, action)));
    }

    /// The planned instant of the earliest action.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes and returns the earliest action if it is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, DueAction)> {
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
    fn due_actions_are_returned_in_order_of_time_and_never_early() {
        let at = |millis| Instant::START + Duration::from_millis(millis);
        let mut schedule = RunSchedule::default();
        schedule.add(at(30), DueAction::SampleLag);
        schedule.add(at(10), DueAction::Publish(ClientId(1)));
        schedule.add(at(10), DueAction::Begin(RunPhase::Steps));

        assert_eq!(schedule.take(at(9)), None);
        assert_eq!(
            schedule.take(at(20)),
            Some((at(10), DueAction::Begin(RunPhase::Steps)))
        );
        assert_eq!(
            schedule.take(at(20)),
            Some((at(10), DueAction::Publish(ClientId(1))))
        );
        assert_eq!(schedule.take(at(20)), None);
        assert_eq!(schedule.next_at(), Some(at(30)));
    }
}
