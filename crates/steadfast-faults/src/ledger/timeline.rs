//! The facts of a run in order of time, sorted out by whom they are about, and when each phase began.
//!
//! What was written in another order comes out in the same one: the instant decides, and facts of one source with the
//! same instant keep their order. Nothing else here or behind depends on how facts of different sources were mixed.

use std::collections::BTreeMap;

use steadfast_machine::Instant;

use crate::ledger::history::History;
use crate::ledger::record::{ClientFact, Fact, FaultFact, HarnessFact, Phase, ProcessFact};
use crate::roster::{ClientId, FaultId, InstanceId};

/// Facts about one thing, in order of time.
pub(super) type Facts<'a, T> = Vec<(Instant, &'a T)>;

/// The facts of a run up to its end.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a> {
    pub(super) phases: BTreeMap<Phase, Instant>,
    pub(super) clients: BTreeMap<ClientId, Facts<'a, ClientFact>>,
    pub(super) faults: BTreeMap<FaultId, Facts<'a, FaultFact>>,
    pub(super) processes: BTreeMap<InstanceId, Facts<'a, ProcessFact>>,
    pub(super) harness: Facts<'a, HarnessFact>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut sorted: Vec<_> = history.records().iter().collect();
        sorted.sort_by_key(|record| record.at);
        let mut line = Self::default();
        for record in &sorted {
            if let Fact::Began(phase) = &record.fact {
                line.phases.entry(*phase).or_insert(record.at);
            }
        }
        let end = line.begin(Phase::End);
        // What the harness finds out about itself while it cleans up counts too.
        for record in sorted {
            let at = record.at;
            let inside = end.is_none_or(|end| at <= end);
            match &record.fact {
                Fact::Client { client, what } if inside => {
                    line.clients.entry(*client).or_default().push((at, what));
                }
                Fact::Fault { fault, what } if inside => {
                    line.faults.entry(*fault).or_default().push((at, what));
                }
                Fact::Process { instance, what } if inside => {
                    line.processes
                        .entry(*instance)
                        .or_default()
                        .push((at, what));
                }
                Fact::Harness(what) => line.harness.push((at, what)),
                Fact::Began(_)
                | Fact::Client { .. }
                | Fact::Fault { .. }
                | Fact::Process { .. } => {}
            }
        }
        line
    }

    /// When a phase began, if it did.
    pub(super) fn begin(&self, phase: Phase) -> Option<Instant> {
        self.phases.get(&phase).copied()
    }

    /// When the run was over: the last that is known of it, if nobody said that it ended.
    pub(super) fn end(&self) -> Instant {
        let clients = self.clients.values().filter_map(|facts| facts.last());
        let last = clients.map(|(at, _)| *at).max().unwrap_or_default();
        self.begin(Phase::End).unwrap_or(last)
    }

    pub(super) fn of_client(&self, client: ClientId) -> &[(Instant, &'a ClientFact)] {
        self.clients.get(&client).map_or(&[], Vec::as_slice)
    }
}
