//! From a scenario and a seed to what will be done: who takes part, and every fault in order of time with its targets.
//!
//! The same scenario and seed give the same plan. It starts nothing; hosts carry it out and write down what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Seed;

use crate::roster::{ClientId, FaultId, InstanceId, Roster};
use crate::scenario::model::{Action, Load, Scenario, Step, When};
use crate::scenario::schedule::Schedule;
use crate::scenario::select::occurrence_seed;

/// Faults of one plan; far more than a run of hours with one each second.
pub const FAULTS_MAX: usize = 10_000;

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    seed: u64,
    roster: Roster,
    faults: Vec<PlannedFault>,
}

/// One occurrence of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// Its place in [`Plan::faults`].
    pub id: FaultId,
    /// The step's id.
    pub step: String,
    /// Which occurrence of the step, from 1.
    pub occurrence: u32,
    /// When, counted from the start of the phase of steps.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// Whom.
    pub targets: Vec<InstanceId>,
    /// When it is healed, counted as `at`; at the latest when the steps are over.
    pub heal_at: Duration,
}

/// Why there is no plan for a scenario with this seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The selector finds nobody.
    #[error("step `{step}` finds nobody to hit at {at:?}")]
    NoTarget {
        /// The step.
        step: String,
        /// When.
        at: Duration,
    },
    /// Two faults would be on one process at the same time.
    #[error(
        "step `{step}` hits {target} at {at:?}, while step `{earlier}` is not healed there before {heal_at:?}"
    )]
    Overlap {
        /// The later step.
        step: String,
        /// The earlier step.
        earlier: String,
        /// The process.
        target: String,
        /// When the later one happens.
        at: Duration,
        /// When the earlier one is healed.
        heal_at: Duration,
    },
    /// There is no room for so many.
    #[error("the plan would have more than {FAULTS_MAX} faults")]
    TooMany,
}

impl Plan {
    /// Draws a plan.
    ///
    /// # Errors
    ///
    /// When a step finds nobody, or hits a process that is still under another fault.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, PlanError> {
        let roster = seat(scenario);
        let faults = schedule(scenario, seed, &roster)?;
        refuse_overlaps(&faults, &roster)?;
        Ok(Self {
            seed,
            roster,
            faults,
        })
    }

    /// The same without any fault, for the control run.
    #[must_use]
    pub fn without_faults(&self) -> Self {
        Self {
            faults: Vec::new(),
            ..self.clone()
        }
    }

    /// The number from which the plan was drawn.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Who takes part.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What is broken, in order of time.
    pub fn faults(&self) -> &[PlannedFault] {
        &self.faults
    }

    /// When this client publishes, counted from the start of the baseline; ends with the quiet phase.
    pub fn schedule(&self, scenario: &Scenario, client: ClientId) -> Option<Schedule> {
        let name = &self.roster.client(client)?.load;
        let load = scenario.loads().iter().find(|load| load.name == *name)?;
        let run = scenario.run();
        let until = run.total().saturating_sub(run.drain);
        Some(Schedule::new(&load.send, self.seed, client, until))
    }
}

/// Gives out the seats. Clients are dealt over the kinds in turn. Each kind by itself is dealt over the instances in
/// turn, beginning one further than the kind before it, so that no instance has only some of the kinds. A room takes
/// one client of each kind before the next room does.
fn seat(scenario: &Scenario) -> Roster {
    let mut roster = Roster::default();
    let mut instances: BTreeMap<&str, Vec<InstanceId>> = BTreeMap::new();
    for service in scenario.services() {
        for number in 1..=service.replicas {
            let id = roster.add_instance(&service.name, number);
            instances.entry(&service.name).or_default().push(id);
        }
    }
    for load in scenario.loads() {
        let hosts = instances.get(load.to.as_str()).cloned().unwrap_or_default();
        seat_load(load, &hosts, &mut roster);
    }
    roster
}

fn seat_load(load: &Load, hosts: &[InstanceId], roster: &mut Roster) {
    let mut rooms = Vec::new();
    for (host, number) in hosts.iter().zip(1_u32..) {
        let of_host: Vec<_> = (1..=load.send.rooms)
            .map(|room| {
                let name = format!("{}-{}-{number}-room-{room}", load.name, load.to);
                roster.add_room(*host, name)
            })
            .collect();
        rooms.push(of_host);
    }
    for number in 0..usize::try_from(load.clients).unwrap_or(usize::MAX) {
        let dealt = number.checked_div(load.kinds.len());
        let (Some(round), Some(turn)) = (dealt, number.checked_rem(load.kinds.len())) else {
            return;
        };
        let (Some(host), Some(lap)) = (
            (round + turn).checked_rem(hosts.len()),
            round.checked_div(hosts.len()),
        ) else {
            return;
        };
        let room = rooms
            .get(host)
            .and_then(|of_host| of_host.get(lap.checked_rem(of_host.len())?));
        if let (Some(kind), Some(room)) = (load.kinds.get(turn), room) {
            let name = format!("{}-{}", load.name, number + 1);
            roster.add_client(name, &load.name, *kind, *room);
        }
    }
}

fn schedule(
    scenario: &Scenario,
    seed: u64,
    roster: &Roster,
) -> Result<Vec<PlannedFault>, PlanError> {
    let end = scenario.run().duration;
    let mut due: Vec<(Duration, usize, u32, &Step, Seed)> = Vec::new();
    for (place, step) in scenario.steps().iter().enumerate() {
        for (planned, occurrence) in occurrences(step, end)?.into_iter().zip(1_u32..) {
            let mut draw = occurrence_seed(seed, &step.id, occurrence).generator();
            let at = planned + draw.between(Duration::ZERO, step.jitter);
            if due.len() == FAULTS_MAX {
                return Err(PlanError::TooMany);
            }
            due.push((at.min(end), place, occurrence, step, draw.split()));
        }
    }
    due.sort_by_key(|(at, place, occurrence, ..)| (*at, *place, *occurrence));

    let mut last: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut faults = Vec::new();
    for ((at, _, occurrence, step, draw), number) in due.into_iter().zip(0_u32..) {
        let service = step.on.service.as_str();
        let replicas = count_of(scenario, service);
        let before = last.get(service).map(Vec::as_slice);
        let numbers = step.on.which.pick(replicas, draw, before);
        let targets: Vec<InstanceId> = roster
            .instances()
            .iter()
            .filter(|it| it.service == service && numbers.contains(&it.number))
            .map(|it| it.id)
            .collect();
        if targets.is_empty() {
            let step = step.id.clone();
            return Err(PlanError::NoTarget { step, at });
        }
        last.insert(service, numbers);
        let heal_at = step
            .heal_after
            .map_or(end, |after| at.saturating_add(after));
        faults.push(PlannedFault {
            id: FaultId(number),
            step: step.id.clone(),
            occurrence,
            at,
            action: step.action,
            targets,
            heal_at: heal_at.min(end),
        });
    }
    Ok(faults)
}

fn count_of(scenario: &Scenario, service: &str) -> u32 {
    let found = scenario.services().iter().find(|it| it.name == service);
    found.map_or(0, |service| service.replicas)
}

/// The planned instants of a step, without jitter.
pub(super) fn occurrences(step: &Step, end: Duration) -> Result<Vec<Duration>, PlanError> {
    let (period, count) = match step.when {
        When::At(at) => return Ok(vec![at]),
        When::Every { period, count } => (period, count),
    };
    let mut found = Vec::new();
    let mut at = period;
    while at < end && count.is_none_or(|count| found.len() < to_len(count)) {
        // A period of zero would never get there.
        if found.len() == FAULTS_MAX {
            return Err(PlanError::TooMany);
        }
        found.push(at);
        at = at.saturating_add(period);
    }
    Ok(found)
}

fn to_len(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn refuse_overlaps(faults: &[PlannedFault], roster: &Roster) -> Result<(), PlanError> {
    let mut under: BTreeMap<InstanceId, &PlannedFault> = BTreeMap::new();
    for fault in faults {
        for target in &fault.targets {
            let earlier = under.insert(*target, fault);
            if let Some(earlier) = earlier.filter(|earlier| earlier.heal_at > fault.at) {
                let target = roster.instance(*target);
                return Err(PlanError::Overlap {
                    step: fault.step.clone(),
                    earlier: earlier.step.clone(),
                    target: target.map(ToString::to_string).unwrap_or_default(),
                    at: fault.at,
                    heal_at: earlier.heal_at,
                });
            }
        }
    }
    Ok(())
}
