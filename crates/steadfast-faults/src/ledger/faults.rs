//! What became of each planned fault, which fault explains the end of a connection, and what processes did.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::record::{FaultFact, ProcessFact};
use crate::ledger::timeline::Timeline;
use crate::roster::InstanceId;
use crate::samples::Sample;
use crate::scenario::model::Action;
use crate::scenario::plan::PlannedFault;

/// How late a client may write down that it connected: the fault may have been written down in between.
const STAMP_SLACK: Duration = Duration::from_millis(100);

/// How long after a stopped process ran on again its stop may still end connections: the gateway's typical ping interval
/// and pong time-out, and a little.
const PAUSE_ECHO: Duration = Duration::from_secs(35);

/// What became of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultBook {
    /// The plan.
    pub planned: PlannedFault,
    /// Right before it took effect.
    pub injected: Option<Instant>,
    /// When there was proof that it took effect.
    pub confirmed: Option<Instant>,
    /// Why it had no effect, if somebody said so.
    pub ineffective: Option<String>,
    /// When it was undone.
    pub healed: Option<Instant>,
    /// Connections of clients that it ended.
    pub ended: u64,
    /// Publications that were under way to its targets when it took effect.
    pub in_flight: u64,
}

/// What processes did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceBook {
    /// From each start but the first until the process was ready.
    pub ready_again: Vec<Sample>,
    /// Exits that no fault explains.
    pub exits_unexpected: u64,
}

impl FaultBook {
    /// Whether there is proof that it took effect.
    pub const fn is_effective(&self) -> bool {
        self.injected.is_some() && self.confirmed.is_some() && self.ineffective.is_none()
    }

    /// Whether it took effect, should have ended connections, and ended none: then it put nothing to the test.
    pub const fn is_harmless(&self) -> bool {
        self.is_effective() && self.planned.action.ends_process() && self.ended == 0
    }

    /// Whether it hits this process.
    pub fn hits(&self, instance: InstanceId) -> bool {
        self.planned.targets.contains(&instance)
    }

    /// Whether it explains that a connection to one of its targets ended.
    fn explains(&self, connected: Instant, lost: Instant) -> bool {
        let (Some(injected), Some(confirmed), true) =
            (self.injected, self.confirmed, self.is_effective())
        else {
            return false;
        };
        if lost < injected {
            return false;
        }
        match self.planned.action {
            // Every connection that was there is gone, however late its client notices.
            Action::Kill | Action::Term { .. } => connected <= confirmed + STAMP_SLACK,
            Action::Pause => self.healed.is_none_or(|healed| {
                connected <= healed + STAMP_SLACK && lost <= healed + PAUSE_ECHO
            }),
        }
    }
}

/// The books of all planned faults, before it is known what they ended.
pub(super) fn open(planned: &[PlannedFault], line: &Timeline<'_>) -> Vec<FaultBook> {
    let books = planned.iter().map(|fault| {
        let mut book = FaultBook {
            planned: fault.clone(),
            injected: None,
            confirmed: None,
            ineffective: None,
            healed: None,
            ended: 0,
            in_flight: 0,
        };
        for (at, fact) in line.faults.get(&fault.id).into_iter().flatten() {
            match fact {
                FaultFact::Injected => book.injected = book.injected.or(Some(*at)),
                FaultFact::Confirmed => book.confirmed = book.confirmed.or(Some(*at)),
                FaultFact::Ineffective(why) => book.ineffective = Some(why.clone()),
                FaultFact::Healed => book.healed = book.healed.or(Some(*at)),
            }
        }
        book
    });
    books.collect()
}

/// The fault that explains the end of a connection: of several, the one that began last.
pub(super) fn explaining(
    faults: &[FaultBook],
    instance: InstanceId,
    connected: Instant,
    lost: Instant,
) -> Option<&FaultBook> {
    let fitting = faults
        .iter()
        .filter(|fault| fault.hits(instance) && fault.explains(connected, lost));
    fitting.max_by_key(|fault| (fault.injected, fault.planned.id))
}

pub(super) fn services(faults: &[FaultBook], line: &Timeline<'_>) -> ServiceBook {
    let mut book = ServiceBook::default();
    for (instance, facts) in &line.processes {
        let mut starts = 0_u64;
        let mut started = None;
        for (at, fact) in facts {
            match fact {
                ProcessFact::Started => {
                    starts += 1;
                    started = Some(*at);
                }
                ProcessFact::Ready => {
                    if let Some(started) = started.take().filter(|_| starts > 1) {
                        book.ready_again.push(Sample::time(*at - started));
                    }
                }
                ProcessFact::Exited(_) => {
                    let expected = faults.iter().any(|fault| {
                        let from = fault.injected.is_some_and(|injected| injected <= *at);
                        let to = fault.healed.is_none_or(|healed| *at <= healed);
                        fault.hits(*instance) && fault.planned.action.ends_process() && from && to
                    });
                    if !expected {
                        book.exits_unexpected += 1;
                    }
                }
            }
        }
    }
    book
}
