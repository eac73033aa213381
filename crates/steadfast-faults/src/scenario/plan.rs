//! The plan of a run, generated from a scenario and a seed: the topology, and every fault by time with its
//! targets.
//!
//! The same scenario and seed give the same plan. The lab executes it and records the events.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Seed, convert};

use crate::scenario::model::{FaultAction, Load, Scenario, Step, StepSchedule, Traffic};
use crate::scenario::publish_schedule::PublishSchedule;
use crate::scenario::role::RoleSelection;
use crate::scenario::select::{InstanceSet, occurrence_seed};
use crate::topology::{Client, ClientActivity, ClientId, FaultId, InstanceId, Topology};

/// The maximum number of faults of one plan; one per second for more than 2.5 hours.
pub const FAULTS_MAX: usize = 10_000;

/// The topology and the faults of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    seed: u64,
    topology: Topology,
    faults: Vec<PlannedFault>,
}

/// One occurrence of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFault {
    /// Its index in [`Plan::faults`].
    pub id: FaultId,
    /// The step's id.
    pub step: String,
    /// The number of the occurrence of the step, from 1.
    pub occurrence: u32,
    /// When it is injected, relative to the start of the steps phase.
    pub at: Duration,
    /// The fault to inject.
    pub action: FaultAction,
    /// The instances that it hits, or of a selection by role all that it may hit; for a fault of links, those at their
    /// ends.
    pub targets: Vec<InstanceId>,
    /// For a fault of a process: the instances that forward connections to its targets. Which of their clients it hits is
    /// not known before.
    pub forwarders: Vec<InstanceId>,
    /// For a fault of links: the loads at the other ends. Empty when the instances themselves are the targets.
    pub loads: Vec<String>,
    /// Selects among the targets when the fault is injected; `None`: it hits all of them.
    pub role: Option<RoleSelection>,
    /// When it is healed, relative to the same start; at the latest at the end of the phase.
    pub heal_at: Duration,
}

impl PlannedFault {
    /// Whether it can affect the connections of this client.
    pub fn hits(&self, client: &Client) -> bool {
        let is_of_load = self.loads.is_empty() || self.loads.contains(&client.load);
        is_of_load && (self.targets.contains(&client.instance) || self.is_forwarded(client))
    }

    /// Whether it can only affect this client over a load balancer, which may have chosen another target. Until a role is
    /// resolved, nothing is a target.
    pub fn is_forwarded(&self, client: &Client) -> bool {
        !self.targets.is_empty() && self.forwarders.contains(&client.instance)
    }

    /// The names of its targets, for example `gateway:2` or `chat->gateway:2`.
    pub fn target_names(&self, topology: &Topology) -> Vec<String> {
        let instances = self.targets.iter().filter_map(|id| topology.instance(*id));
        let names = instances.map(ToString::to_string);
        if self.loads.is_empty() {
            return names.collect();
        }
        let of_loads = |name: String| self.loads.iter().map(move |load| format!("{load}->{name}"));
        names.flat_map(of_loads).collect()
    }
}

/// Why there is no plan for a scenario with this seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum PlanError {
    /// A selector matches no instance.
    #[error("step `{step}` matches no instance at {at:?}")]
    NoTarget { step: String, at: Duration },
    /// Two faults would affect one process at the same time.
    #[error(
        "step `{step}` targets {target} at {at:?}, but a fault of step `{earlier}` lasts until {heal_at:?}"
    )]
    Overlap {
        step: String,
        earlier: String,
        target: String,
        /// When the later fault would be injected.
        at: Duration,
        /// When the earlier fault is healed.
        heal_at: Duration,
    },
    /// The plan has more than [`FAULTS_MAX`] faults.
    #[error("the plan would have more than {FAULTS_MAX} faults")]
    TooMany,
}

impl Plan {
    /// Generates a plan from a scenario and a seed.
    ///
    /// # Errors
    ///
    /// When a step matches no instance or targets a process that another fault affects, or there are too many
    /// faults.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, PlanError> {
        let topology = build_topology(scenario);
        let faults = fault_schedule(scenario, seed, &topology)?;
        reject_overlaps(&faults, &topology)?;
        Ok(Self {
            seed,
            topology,
            faults,
        })
    }

    /// The same plan without faults, for the control run.
    #[must_use]
    pub fn without_faults(&self) -> Self {
        Self {
            faults: Vec::new(),
            ..self.clone()
        }
    }

    /// The seed from which the plan was generated.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The participants of the run.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The faults, in order of time.
    pub fn faults(&self) -> &[PlannedFault] {
        &self.faults
    }

    /// When this client publishes or sends a request, relative to the start of the baseline, until the end of the quiet
    /// phase; `None` if it only receives or is idle.
    pub fn publish_schedule(
        &self,
        scenario: &Scenario,
        client: ClientId,
    ) -> Option<PublishSchedule> {
        let sender = self.topology.client(client)?;
        let mut loads = scenario.loads().iter();
        let load = loads.find(|load| load.name == sender.load)?;
        if load.traffic == Traffic::Streams || sender.activity != ClientActivity::Full {
            return None;
        }
        let run = scenario.run();
        let until = run.total().saturating_sub(run.drain);
        Some(PublishSchedule::new(&load.send, self.seed, client, until))
    }
}

/// Assigns clients to kinds, instances and channels. Kinds are assigned round-robin. Each kind is assigned to the
/// instances round-robin, one instance further than the previous kind, so that no instance has only some of the kinds.
/// A channel gets one client of each kind before the next channel does.
fn build_topology(scenario: &Scenario) -> Topology {
    let mut topology = Topology::default();
    let mut instances: BTreeMap<&str, Vec<InstanceId>> = BTreeMap::new();
    for service in scenario.services() {
        for number in 1..=service.replicas {
            let id = topology.add_instance(&service.name, number);
            instances.entry(&service.name).or_default().push(id);
        }
    }
    for load in scenario.loads() {
        let instances = instances.get(load.to.as_str()).cloned().unwrap_or_default();
        assign_load(load, &instances, &mut topology);
        topology.limit_publishers(&load.name, load.publishers);
    }
    topology
}

fn assign_load(load: &Load, instances: &[InstanceId], topology: &mut Topology) {
    let mut channels = Vec::new();
    for (host, number) in instances.iter().zip(1_u32..) {
        let of_instance: Vec<_> = (1..=load.send.channels)
            .map(|channel| {
                let name = format!("{}-{}-{number}-channel-{channel}", load.name, load.to);
                topology.add_channel(*host, name)
            })
            .collect();
        channels.push(of_instance);
    }
    for number in 0..convert::to_usize(load.clients) {
        let round = number.checked_div(load.kinds.len());
        let (Some(round), Some(kind_index)) = (round, number.checked_rem(load.kinds.len())) else {
            return;
        };
        let (Some(host), Some(channel_round)) = (
            (round + kind_index).checked_rem(instances.len()),
            round.checked_div(instances.len()),
        ) else {
            return;
        };
        let channel = channels
            .get(host)
            .and_then(|of_instance| of_instance.get(channel_round.checked_rem(of_instance.len())?));
        if let (Some(kind), Some(channel)) = (load.kinds.get(kind_index), channel) {
            let name = format!("{}-{}", load.name, number + 1);
            topology.add_client(name, &load.name, *kind, *channel);
        }
    }
}

fn fault_schedule(
    scenario: &Scenario,
    seed: u64,
    topology: &Topology,
) -> Result<Vec<PlannedFault>, PlanError> {
    let end = scenario.run().duration;
    let mut due: Vec<(Duration, usize, u32, &Step, Seed)> = Vec::new();
    for (index, step) in scenario.steps().iter().enumerate() {
        for (planned, occurrence) in occurrences(step, end)?.into_iter().zip(1_u32..) {
            let mut draw = occurrence_seed(seed, &step.id, occurrence).generator();
            let at = planned + draw.between(Duration::ZERO, step.jitter);
            if due.len() == FAULTS_MAX {
                return Err(PlanError::TooMany);
            }
            due.push((at.min(end), index, occurrence, step, draw.split()));
        }
    }
    due.sort_by_key(|(at, index, occurrence, ..)| (*at, *index, *occurrence));

    let mut last: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut faults = Vec::new();
    for ((at, _, occurrence, step, draw), number) in due.into_iter().zip(0_u32..) {
        let service = step.on.service.as_str();
        let replicas = replicas_of(scenario, service);
        let before = last.get(service).map(Vec::as_slice);
        let numbers = step.on.instances.pick(replicas, draw, before);
        let role = match step.on.instances {
            InstanceSet::Role(role) => Some(RoleSelection {
                role,
                draw: draw.generator().next_u64(),
            }),
            InstanceSet::All
            | InstanceSet::Number(_)
            | InstanceSet::Not(_)
            | InstanceSet::Random(_)
            | InstanceSet::Last
            | InstanceSet::Next => None,
        };
        let targets: Vec<InstanceId> = topology
            .instances()
            .iter()
            .filter(|it| it.service == service && numbers.contains(&it.number))
            .map(|it| it.id)
            .collect();
        if targets.is_empty() {
            let step = step.id.clone();
            return Err(PlanError::NoTarget { step, at });
        }
        if role.is_none() {
            last.insert(service, numbers);
        }
        let heal_at = step
            .heal_after
            .map_or(end, |after| at.saturating_add(after));
        faults.push(PlannedFault {
            id: FaultId(number),
            step: step.id.clone(),
            occurrence,
            at,
            action: step.action.clone(),
            targets,
            forwarders: forwarders_of(scenario, step, topology),
            loads: loads_of(scenario, step),
            role,
            heal_at: heal_at.min(end),
        });
    }
    Ok(faults)
}

/// The loads whose links a step hits; none if it hits the instances themselves.
fn loads_of(scenario: &Scenario, step: &Step) -> Vec<String> {
    if step.action.link_fault().is_none() {
        return Vec::new();
    }
    let loads = scenario.loads().iter().filter(|load| {
        let is_meant = step.load.as_ref().is_none_or(|name| *name == load.name);
        load.to == step.on.service && is_meant
    });
    loads.map(|load| load.name.clone()).collect()
}

/// The instances over which clients reach the service of a step, whatever the number of services in between.
fn forwarders_of(scenario: &Scenario, step: &Step, topology: &Topology) -> Vec<InstanceId> {
    if step.action.link_fault().is_some() {
        return Vec::new();
    }
    let mut reached = vec![step.on.service.as_str()];
    // A service forwards to one that is defined without it, so each round adds one of them or is the last.
    for _ in scenario.services() {
        let more = scenario.services().iter().filter(|it| {
            let is_forwarder = it
                .forwards_to
                .as_deref()
                .is_some_and(|to| reached.contains(&to));
            is_forwarder && !reached.contains(&it.name.as_str())
        });
        let more: Vec<&str> = more.map(|it| it.name.as_str()).collect();
        reached.extend(more);
    }
    let instances = topology.instances().iter();
    let forwarders = instances
        .filter(|it| it.service != step.on.service && reached.contains(&it.service.as_str()));
    forwarders.map(|it| it.id).collect()
}

fn replicas_of(scenario: &Scenario, service: &str) -> u32 {
    let found = scenario.services().iter().find(|it| it.name == service);
    found.map_or(0, |service| service.replicas)
}

/// The planned instants of a step, without jitter.
pub(super) fn occurrences(step: &Step, end: Duration) -> Result<Vec<Duration>, PlanError> {
    let (period, count) = match step.when {
        StepSchedule::At(at) => return Ok(vec![at]),
        StepSchedule::Every { period, count } => (period, count),
    };
    let mut found = Vec::new();
    let mut at = period;
    while at < end && count.is_none_or(|count| found.len() < convert::to_usize(count)) {
        // A period of zero would loop forever.
        if found.len() == FAULTS_MAX {
            return Err(PlanError::TooMany);
        }
        found.push(at);
        at = at.saturating_add(period);
    }
    Ok(found)
}

/// A process, or one of the links to it, has one fault at a time. A fault of a process and one of its links may overlap.
fn reject_overlaps(faults: &[PlannedFault], topology: &Topology) -> Result<(), PlanError> {
    let mut active: BTreeMap<(InstanceId, Option<&str>), &PlannedFault> = BTreeMap::new();
    for fault in faults {
        let loads: Vec<Option<&str>> = if fault.loads.is_empty() {
            vec![None]
        } else {
            fault.loads.iter().map(|load| Some(load.as_str())).collect()
        };
        for (target, load) in fault
            .targets
            .iter()
            .flat_map(|it| loads.iter().map(move |load| (*it, *load)))
        {
            let earlier = active.insert((target, load), fault);
            if let Some(earlier) = earlier.filter(|earlier| earlier.heal_at > fault.at) {
                let target = topology.instance(target);
                let target = target.map(ToString::to_string).unwrap_or_default();
                return Err(PlanError::Overlap {
                    step: fault.step.clone(),
                    earlier: earlier.step.clone(),
                    target: match load {
                        Some(load) => format!("{load}->{target}"),
                        None => target,
                    },
                    at: fault.at,
                    heal_at: earlier.heal_at,
                });
            }
        }
    }
    Ok(())
}
