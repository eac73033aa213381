//! The events of a run in order of time, grouped by client, fault and process, and the beginning of each phase.
//!
//! The instant decides the order, whatever the order of writing was; events of one source with the same instant keep
//! their order. No result depends on how the records of the sources were interleaved.

use std::collections::BTreeMap;

use steadfast_machine::Instant;

use crate::ledger::event::{
    ClientEvent, EffectEvent, FaultEvent, HarnessEvent, ProcessEvent, RunEvent, RunPhase,
};
use crate::ledger::event_log::EventLog;
use crate::topology::{ClientId, FaultId, InstanceId};

/// Events of one source, in order of time.
pub(super) type Events<'a, T> = Vec<(Instant, &'a T)>;

/// The events of a run up to its end.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a> {
    pub(super) phases: BTreeMap<RunPhase, Instant>,
    pub(super) clients: BTreeMap<ClientId, Events<'a, ClientEvent>>,
    pub(super) faults: BTreeMap<FaultId, Events<'a, FaultEvent>>,
    pub(super) processes: BTreeMap<InstanceId, Events<'a, ProcessEvent>>,
    pub(super) harness: Events<'a, HarnessEvent>,
    pub(super) effects: Vec<EffectEvent>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(log: &'a EventLog) -> Self {
        let mut sorted: Vec<_> = log.records().iter().collect();
        sorted.sort_by_key(|record| record.at);
        let mut timeline = Self::default();
        for record in &sorted {
            if let RunEvent::PhaseBegan(phase) = &record.event {
                timeline.phases.entry(*phase).or_insert(record.at);
            }
        }
        let end = timeline.begin(RunPhase::End);
        // What the harness reports about itself during cleanup counts too, and effect logs are read after the end.
        for record in sorted {
            let at = record.at;
            let is_inside = end.is_none_or(|end| at <= end);
            match &record.event {
                RunEvent::Client { client, event } if is_inside => {
                    timeline
                        .clients
                        .entry(*client)
                        .or_default()
                        .push((at, event));
                }
                RunEvent::Fault { fault, event } if is_inside => {
                    timeline.faults.entry(*fault).or_default().push((at, event));
                }
                RunEvent::Process { instance, event } if is_inside => {
                    timeline
                        .processes
                        .entry(*instance)
                        .or_default()
                        .push((at, event));
                }
                RunEvent::Harness(event) => timeline.harness.push((at, event)),
                RunEvent::Effects(event) => timeline.effects.push(*event),
                RunEvent::PhaseBegan(_)
                | RunEvent::Client { .. }
                | RunEvent::Fault { .. }
                | RunEvent::Process { .. } => {}
            }
        }
        timeline
    }

    /// When a phase began, if it did.
    pub(super) fn begin(&self, phase: RunPhase) -> Option<Instant> {
        self.phases.get(&phase).copied()
    }

    /// The end of the run: the last event of a client if the end was not recorded.
    pub(super) fn end(&self) -> Instant {
        let clients = self.clients.values().filter_map(|events| events.last());
        let last = clients.map(|(at, _)| *at).max().unwrap_or_default();
        self.begin(RunPhase::End).unwrap_or(last)
    }

    pub(super) fn of_client(&self, client: ClientId) -> &[(Instant, &'a ClientEvent)] {
        self.clients.get(&client).map_or(&[], Vec::as_slice)
    }
}
