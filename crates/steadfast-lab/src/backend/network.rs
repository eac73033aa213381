//! Links through network namespaces as a backend: packets are dropped, rejected or delayed, and connections reset.
//!
//! One thread injects and heals. A fault counts only when it is confirmed: the counter of its rule grew by a probe that the
//! lab sent, or a probe was lost, in each direction of each link. A heal counts when a probe passes again.

mod block;
mod device;
mod probe;
mod reset;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::ledger::event::FaultEvent;
use steadfast_faults::scenario::model::{BlockState, FaultAction, LinkFault};
use steadfast_faults::scenario::plan::{Plan, PlannedFault};
use steadfast_faults::topology::{FaultId, InstanceId};

use self::probe::Probe;
use super::command_thread::CommandThread;
use crate::error::LabError;
use crate::network::{LinkPlace, Namespaces};
use crate::runner::fault_parts::FaultPart;
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// Interval at which faults are polled that only traffic can confirm.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
enum LinkCommand {
    /// Injects a fault into these links.
    Inject(FaultId, Box<LinkFault>, Vec<LinkPlace>),
    Heal(FaultId),
}

/// Handle of the thread.
#[derive(Debug)]
pub(crate) struct NetworkBackend {
    namespaces: Arc<Namespaces>,
    thread: CommandThread<LinkCommand>,
}

impl NetworkBackend {
    /// Starts the thread. `ports` are those to which clients connect.
    pub(crate) fn start(
        namespaces: Arc<Namespaces>,
        ports: BTreeMap<InstanceId, u16>,
        plan: &Plan,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let worker = Worker {
            namespaces: Arc::clone(&namespaces),
            ports,
            clock,
            inbox,
            active: BTreeMap::new(),
        };
        // Before any connection that a rule is to distinguish from new ones.
        if plan.faults().iter().any(depends_on_state) {
            worker.track_connections()?;
        }
        let thread = CommandThread::start("network", move |commands| worker.run(commands))?;
        Ok(Self { namespaces, thread })
    }

    /// Injects a fault into the links of these loads to its targets.
    pub(crate) fn inject(&self, fault: &PlannedFault, action: &LinkFault, loads: &[&str]) {
        let ends = loads
            .iter()
            .flat_map(|load| fault.targets.iter().map(move |target| (*load, *target)));
        let layout = self.namespaces.layout();
        let links = ends.filter_map(|(load, target)| layout.link(load, target).cloned());
        self.thread.send(LinkCommand::Inject(
            fault.id,
            Box::new(action.clone()),
            links.collect(),
        ));
    }

    /// Heals a fault in all links.
    pub(crate) fn heal(&self, fault: FaultId) {
        self.thread.send(LinkCommand::Heal(fault));
    }
}

/// Whether the rules of a fault distinguish new connections from established ones.
fn depends_on_state(fault: &PlannedFault) -> bool {
    let FaultAction::Link(LinkFault::Block(block)) = &fault.action else {
        return false;
    };
    block.state != BlockState::All
}

/// A fault in effect.
#[derive(Debug)]
struct ActiveFault {
    action: LinkFault,
    links: Vec<LinkPlace>,
    is_confirmed: bool,
    /// The rules of a block as the kernel listed them at the injection.
    rules: Vec<String>,
}

/// The state of the thread.
#[derive(Debug)]
struct Worker {
    namespaces: Arc<Namespaces>,
    ports: BTreeMap<InstanceId, u16>,
    clock: Clock,
    inbox: SyncSender<HarnessMessage>,
    active: BTreeMap<FaultId, ActiveFault>,
}

impl Worker {
    fn run(mut self, commands: &Receiver<LinkCommand>) {
        loop {
            match commands.recv_timeout(POLL_INTERVAL) {
                Ok(LinkCommand::Inject(id, action, links)) => self.inject(id, *action, links),
                Ok(LinkCommand::Heal(id)) => self.heal(id),
                Err(RecvTimeoutError::Timeout) => self.poll(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let remaining: Vec<FaultId> = self.active.keys().copied().collect();
        for fault in remaining {
            self.heal(fault);
        }
    }

    fn inject(&mut self, id: FaultId, action: LinkFault, links: Vec<LinkPlace>) {
        // A link that is broken already would make the fault look effective.
        let probes = links.iter().map(|link| self.probe(link));
        let probes: Vec<Probe> = match probes.collect() {
            Ok(probes) => probes,
            Err(reason) => return self.ineffective(id, format!("before the fault {reason}")),
        };
        self.send(id, FaultEvent::Injected);
        let confirmed = match &action {
            LinkFault::Block(block) => self.block(id, block, &links, &probes).map(Some),
            LinkFault::Down => self.take_down(&links, &probes).map(Some),
            LinkFault::Bandwidth {
                bytes_per_second,
                directions,
            } => {
                drop(probes);
                let limited = self.limit(*bytes_per_second, *directions, &links);
                limited.map(|()| None)
            }
            LinkFault::Reset => {
                drop(probes);
                self.reset(&links).map(Some)
            }
            LinkFault::Latency { .. } | LinkFault::Freeze { .. } | LinkFault::Toxic(_) => {
                Err(format!("network namespaces have no {}", action.name()))
            }
        };
        let is_instantaneous = action.is_instantaneous();
        let is_confirmed = matches!(confirmed, Ok(Some(_)));
        match confirmed {
            Ok(Some(evidence)) => self.send(id, FaultEvent::Confirmed(evidence)),
            Ok(None) => {}
            Err(reason) => self.ineffective(id, reason),
        }
        if is_instantaneous {
            self.send(id, FaultEvent::Healed);
            return;
        }
        let rules = if let LinkFault::Block(block) = &action {
            self.rules(id, block, &links)
        } else {
            Vec::new()
        };
        self.active.insert(
            id,
            ActiveFault {
                action,
                links,
                is_confirmed,
                rules,
            },
        );
    }

    fn heal(&mut self, id: FaultId) {
        let Some(fault) = self.active.remove(&id) else {
            return;
        };
        if let Some(reason) = self.lost_effect(id, &fault) {
            self.ineffective(id, format!("it had ended before the heal: {reason}"));
        }
        let healed = match &fault.action {
            LinkFault::Block(block) => self.unblock(id, block, &fault.links).map(Some),
            LinkFault::Down => self.bring_up(&fault.links).map(|()| None),
            LinkFault::Bandwidth { directions, .. } => self.unlimit(*directions, &fault.links),
            LinkFault::Reset
            | LinkFault::Latency { .. }
            | LinkFault::Freeze { .. }
            | LinkFault::Toxic(_) => Ok(None),
        };
        match healed {
            Ok(evidence) => {
                // The final count replaces that of the first probe.
                if let Some(evidence) = evidence.filter(|_| fault.is_confirmed) {
                    self.send(id, FaultEvent::Confirmed(evidence));
                }
                if let Err(reason) = self.await_passage(&fault.links) {
                    return self.report_failure(format!("after the heal {reason}"));
                }
                self.send(id, FaultEvent::Healed);
            }
            Err(reason) => self.report_failure(format!("failed to heal a link: {reason}")),
        }
    }

    /// Why a fault that is about to be healed is no longer in effect.
    fn lost_effect(&self, id: FaultId, fault: &ActiveFault) -> Option<String> {
        match &fault.action {
            LinkFault::Block(block) => {
                let is_same = self.rules(id, block, &fault.links) == fault.rules;
                (!is_same).then(|| "its rules were changed".to_owned())
            }
            LinkFault::Down => self.device_up(&fault.links),
            LinkFault::Bandwidth { directions, .. } => {
                self.device_unlimited(*directions, &fault.links)
            }
            LinkFault::Reset
            | LinkFault::Latency { .. }
            | LinkFault::Freeze { .. }
            | LinkFault::Toxic(_) => None,
        }
    }

    /// Confirms the faults that only traffic can confirm.
    fn poll(&mut self) {
        let waiting = self.active.iter().filter(|(_, fault)| !fault.is_confirmed);
        let confirmed: Vec<(FaultId, String)> = waiting
            .filter_map(|(id, fault)| Some((*id, self.limited(&fault.action, &fault.links)?)))
            .collect();
        for (id, evidence) in confirmed {
            if let Some(fault) = self.active.get_mut(&id) {
                fault.is_confirmed = true;
            }
            self.send(id, FaultEvent::Confirmed(evidence));
        }
    }

    fn send(&self, fault: FaultId, event: FaultEvent) {
        self.message(MessagePayload::Fault(fault, FaultPart::Network, event));
    }

    fn ineffective(&self, fault: FaultId, reason: String) {
        self.send(fault, FaultEvent::Ineffective(reason));
    }

    fn report_failure(&self, what: String) {
        self.message(MessagePayload::Failure(what));
    }

    fn message(&self, payload: MessagePayload) {
        let at = self.clock.now();
        // The inbox is closed once the run has ended.
        drop(self.inbox.send(HarnessMessage { at, payload }));
    }
}
