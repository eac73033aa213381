//! The course of each planned fault, the attribution of disconnects to faults, and the restarts of processes.

mod links;

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::connections::{ConnectionInterval, ConnectionStats};
use crate::ledger::event::{FaultEvent, LossCause, ProcessEvent, ProcessExit};
use crate::ledger::incidents::Disconnect;
use crate::ledger::timeline::Timeline;
use crate::samples::Sample;
use crate::scenario::model::FaultAction;
use crate::scenario::plan::PlannedFault;
use crate::topology::{Client, InstanceId, Topology};

/// How late a client may record that it connected: the fault may be recorded between the connection and its record.
const RECORDING_SLACK: Duration = Duration::from_millis(100);

/// How long a pause may still end connections after the suspended process resumed: the gateway's usual ping interval
/// and pong timeout, and a margin.
const PAUSE_AFTEREFFECT: Duration = Duration::from_secs(35);

/// How long a load balancer may take to end the connections of its clients to a process that has exited.
const FORWARDED_AFTEREFFECT: Duration = Duration::from_secs(5);

/// The course of a planned fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultStats {
    /// The fault in the plan.
    pub planned: PlannedFault,
    /// The instant immediately before the fault took effect.
    pub injected: Option<Instant>,
    /// When its effect was confirmed.
    pub confirmed: Option<Instant>,
    /// What confirmed it, for example `dropped 14 packets`.
    pub evidence: Option<String>,
    /// Why it had no effect, if that was reported.
    pub ineffective: Option<String>,
    /// When its effect was undone.
    pub healed: Option<Instant>,
    /// The number of clients that it can affect.
    pub clients: u64,
    /// The number of client connections that the fault ended.
    pub disconnects: u64,
    /// The number of clients whose connection was open at some time while it lasted.
    pub connected: u64,
    /// When its course was first reported.
    pub(super) reported: Option<Instant>,
    /// Earlier faults had disconnected all of its clients, and none of them was connected while it lasted.
    pub found_no_client: bool,
    /// The number of clients that stalled because of it.
    pub stalled: u64,
    /// Requests to its targets that were disturbed: in the time in which the fault was in effect, they had an outcome other
    /// than ok, or none.
    pub disturbed_requests: u64,
    /// Publications and requests to its targets that were sent before their client noticed the fault, and had no final reply when
    /// the fault took effect.
    pub in_flight: u64,
}

/// The restarts and unexpected exits of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// The number of connections to each instance when the senders stopped, where that was counted.
    pub connections: BTreeMap<InstanceId, u32>,
    /// The instances of each service, by its name.
    pub instances: BTreeMap<String, Vec<InstanceId>>,
    /// The starts of each process after the first that led to a ready process.
    pub restarts: Vec<Restart>,
    /// Exits that are not attributed to a fault.
    pub unexpected_exits: Vec<UnexpectedExit>,
}

/// A start of a process after its first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Whose process it is.
    pub instance: InstanceId,
    /// When it was started.
    pub started: Instant,
    /// The time until it was ready.
    pub duration: Sample,
}

/// The end of a process that no fault explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedExit {
    /// Whose process it was.
    pub instance: InstanceId,
    /// When the lab noticed it.
    pub at: Instant,
    /// Its exit code or signal.
    pub exit: ProcessExit,
}

impl FaultStats {
    /// Whether its effect was confirmed.
    pub const fn is_effective(&self) -> bool {
        self.injected.is_some() && self.confirmed.is_some() && self.ineffective.is_none()
    }

    /// Whether it took effect and yet tested nothing: it should have ended connections and ended none, or no client was
    /// connected over its links or to its suspended process. A service without clients of the run, such as a store of the gateways, has no
    /// connections that count here. Clients without connections of their own notice a fault by their requests.
    pub const fn has_no_impact(&self) -> bool {
        if !self.is_effective() || self.disturbed_requests > 0 {
            return false;
        }
        match self.planned.action.link_fault() {
            Some(fault) if fault.is_instantaneous() => self.disconnects == 0,
            Some(_) => self.connected == 0,
            None if self.planned.action.ends_process() => self.clients > 0 && self.disconnects == 0,
            None => self.clients > 0 && self.connected == 0,
        }
    }

    /// Whether this process is a target.
    pub fn hits(&self, instance: InstanceId) -> bool {
        self.planned.loads.is_empty() && self.planned.targets.contains(&instance)
    }

    /// Whether one of these connections was open while the fault lasted.
    pub(super) fn found_connected(&self, connections: &[ConnectionInterval]) -> bool {
        let Some(injected) = self.injected else {
            return false;
        };
        connections.iter().any(|connection| {
            let begins_in_time = self.healed.is_none_or(|healed| connection.from <= healed);
            begins_in_time && connection.to.is_none_or(|to| to >= injected)
        })
    }

    /// Whether the client had lost its connection because of another fault, and was not connected while this one lasted.
    pub(super) fn found_cut_off(&self, connections: &ConnectionStats) -> bool {
        let Some(begin) = self.reported else {
            return false;
        };
        let before = |it: &&Disconnect| it.at <= begin;
        let last = connections.disconnects.iter().rfind(before);
        let is_cut_off = last.is_some_and(|it| it.fault.is_some_and(|of| of != self.planned.id));
        let end = self.healed.unwrap_or(begin);
        is_cut_off
            && !connections
                .intervals
                .iter()
                .any(|interval| interval.from <= end && interval.to.is_none_or(|to| to > begin))
    }

    /// Whether this end of a connection over a load balancer comes too late for a process that has exited. A client of
    /// another instance never has to notice, so that its later disconnects have other causes.
    fn is_too_late(&self, client: &Client, lost: Instant) -> bool {
        self.planned.is_forwarded(client)
            && self.planned.action.ends_process()
            && self
                .confirmed
                .is_some_and(|confirmed| lost > confirmed + FORWARDED_AFTEREFFECT)
    }

    /// Whether the end of a connection to one of its targets is attributed to this fault.
    fn is_cause_of(&self, connected: Instant, lost: Instant, cause: LossCause) -> bool {
        let (Some(injected), Some(confirmed), true) =
            (self.injected, self.confirmed, self.is_effective())
        else {
            return false;
        };
        if lost < injected {
            return false;
        }
        match &self.planned.action {
            // Every open connection ended, however late its client notices.
            FaultAction::Kill | FaultAction::Term { .. } => {
                connected <= confirmed + RECORDING_SLACK
            }
            FaultAction::Pause => self.healed.is_none_or(|healed| {
                connected <= healed + RECORDING_SLACK && lost <= healed + PAUSE_AFTEREFFECT
            }),
            FaultAction::Link(fault) => {
                let until = if fault.is_instantaneous() {
                    Some(confirmed)
                } else {
                    self.healed
                };
                until.is_none_or(|until| {
                    connected <= until + RECORDING_SLACK
                        && lost <= until + links::aftereffect(fault)
                }) && links::explains(
                    fault,
                    cause,
                    self.healed.is_some_and(|healed| lost >= healed),
                )
            }
        }
    }
}

/// The course of all planned faults; the connections that they ended are counted later.
pub(super) fn open(planned: &[PlannedFault], timeline: &Timeline<'_>) -> Vec<FaultStats> {
    let all = planned.iter().map(|fault| {
        let mut stats = FaultStats {
            planned: fault.clone(),
            injected: None,
            confirmed: None,
            evidence: None,
            ineffective: None,
            healed: None,
            clients: 0,
            disconnects: 0,
            connected: 0,
            reported: None,
            found_no_client: false,
            stalled: 0,
            disturbed_requests: 0,
            in_flight: 0,
        };
        if fault.role.is_some() {
            // Until the role is resolved, it hits nothing.
            stats.planned.targets.clear();
        }
        for (at, event) in timeline.faults.get(&fault.id).into_iter().flatten() {
            stats.reported = stats.reported.or(Some(*at));
            match event {
                FaultEvent::Targeted(targets) => stats.planned.targets.clone_from(targets),
                FaultEvent::Injected => stats.injected = stats.injected.or(Some(*at)),
                FaultEvent::Confirmed(evidence) => {
                    stats.confirmed = stats.confirmed.or(Some(*at));
                    stats.evidence = Some(evidence.clone()).filter(|it| !it.is_empty());
                }
                // What follows is a consequence of the first reason.
                FaultEvent::Ineffective(reason) => {
                    stats.ineffective.get_or_insert_with(|| reason.clone());
                }
                FaultEvent::Healed => stats.healed = stats.healed.or(Some(*at)),
            }
        }
        stats
    });
    all.collect()
}

/// The fault to which the end of a connection is attributed: if there are several, the fault that was injected last.
pub(super) fn attributed<'a>(
    faults: &'a [FaultStats],
    client: &Client,
    connected: Instant,
    lost: Instant,
    cause: LossCause,
) -> Option<&'a FaultStats> {
    let candidates = faults
        .iter()
        .filter(|fault| fault.planned.hits(client) && fault.is_cause_of(connected, lost, cause))
        .filter(|fault| !fault.is_too_late(client, lost));
    candidates.max_by_key(|fault| (fault.injected, fault.planned.id))
}

pub(super) fn services(
    topology: &Topology,
    faults: &[FaultStats],
    timeline: &Timeline<'_>,
) -> ServiceStats {
    let mut stats = ServiceStats::default();
    for instance in topology.instances() {
        let of_service = stats.instances.entry(instance.service.clone());
        of_service.or_default().push(instance.id);
    }
    for (instance, events) in &timeline.processes {
        let mut starts = 0_u64;
        let mut started = None;
        for (at, event) in events {
            match event {
                ProcessEvent::Started => {
                    starts += 1;
                    started = Some(*at);
                }
                ProcessEvent::Ready => {
                    if let Some(started) = started.take().filter(|_| starts > 1) {
                        stats.restarts.push(Restart {
                            instance: *instance,
                            started,
                            duration: Sample::time(*at - started),
                        });
                    }
                }
                ProcessEvent::Connections(count) => {
                    stats.connections.insert(*instance, *count);
                }
                ProcessEvent::Exited(exit) => {
                    let expected = faults.iter().any(|fault| {
                        let from = fault.injected.is_some_and(|injected| injected <= *at);
                        let to = fault.healed.is_none_or(|healed| *at <= healed);
                        fault.hits(*instance) && fault.planned.action.ends_process() && from && to
                    });
                    if !expected {
                        stats.unexpected_exits.push(UnexpectedExit {
                            instance: *instance,
                            at: *at,
                            exit: *exit,
                        });
                    }
                }
            }
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::FaultId;

    #[test]
    fn a_suspended_process_without_connected_clients_tested_nothing() {
        let planned = PlannedFault {
            id: FaultId(0),
            step: "freeze".to_owned(),
            occurrence: 1,
            at: Duration::ZERO,
            action: FaultAction::Pause,
            targets: vec![InstanceId(0)],
            loads: Vec::new(),
            forwarders: Vec::new(),
            role: None,
            heal_at: Duration::from_secs(1),
        };
        let at = |event| (Instant::START, event);
        let events = [
            at(FaultEvent::Injected),
            at(FaultEvent::Confirmed("it is stopped".to_owned())),
        ];
        let mut timeline = Timeline::default();
        let events = events.iter().map(|(at, event)| (*at, event));
        timeline.faults.insert(FaultId(0), events.collect());
        let mut stats = open(&[planned], &timeline).remove(0);

        stats.clients = 4;
        assert!(stats.is_effective() && stats.has_no_impact());
        stats.connected = 1;
        assert!(!stats.has_no_impact());
        (stats.clients, stats.connected) = (0, 0);
        assert!(!stats.has_no_impact(), "a store without clients of the run");
    }
}
