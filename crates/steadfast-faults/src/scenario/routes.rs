//! How each link of a run is connected on this machine, and why a scenario cannot run here.
//!
//! A scenario lists the ways that it accepts for a link, best first. A shell knows which ways are usable, and the first
//! one that is both usable and able to inject all faults of the link is taken.

use std::collections::BTreeMap;

use crate::scenario::model::{FaultAction, Link, LinkFault, Scenario, Via};

/// What a shell found out about the machine: why a way is not usable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The ways that are not usable, each with the reason.
    pub unusable: BTreeMap<Via, String>,
    /// Programs that the scenario requires and that are not in the search path.
    pub programs_missing: Vec<String>,
    /// The user is root.
    pub is_root: bool,
}

/// How a link is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The load whose clients connect.
    pub load: String,
    /// The service to which they connect.
    pub service: String,
    /// The way that is taken.
    pub via: Via,
    /// The better ways, each with the reason why it was not taken.
    pub rejected: Vec<(Via, String)>,
}

impl Machine {
    fn reason(&self, via: Via) -> Option<String> {
        self.unusable.get(&via).cloned()
    }
}

/// The route of every load to its service, in the order of the loads.
///
/// # Errors
///
/// Every reason why the scenario must be skipped on this machine.
pub fn choose(scenario: &Scenario, machine: &Machine) -> Result<Vec<Route>, Vec<String>> {
    let mut missing = unmet_requirements(scenario, machine);
    let mut routes = Vec::new();
    for load in scenario.loads() {
        let found = scenario.link(&load.name, &load.to);
        let ways: &[Via] = found.map_or(&[Via::Direct], |link| &link.via);
        let mut rejected = Vec::new();
        let taken = ways.iter().copied().find(|via| {
            let unsupported = unsupported(scenario, &load.name, *via);
            let reason = unsupported.or_else(|| machine.reason(*via));
            let is_usable = reason.is_none();
            rejected.extend(reason.map(|reason| (*via, reason)));
            is_usable
        });
        if let Some(via) = taken {
            routes.push(Route {
                load: load.name.clone(),
                service: load.to.clone(),
                via,
                rejected,
            });
            continue;
        }
        let reasons = rejected.iter();
        let reasons = reasons.map(|(via, reason)| format!("{}: {reason}", via.name()));
        let reasons: Vec<String> = reasons.collect();
        let link = found.map(Link::name).unwrap_or_default();
        missing.push(format!("link {link}: {}", reasons.join("; ")));
    }
    if missing.is_empty() {
        Ok(routes)
    } else {
        Err(missing)
    }
}

fn unmet_requirements(scenario: &Scenario, machine: &Machine) -> Vec<String> {
    let requires = scenario.requires();
    let mut missing = Vec::new();
    let ways = &requires.any_of;
    if !ways.is_empty() && ways.iter().all(|via| machine.unusable.contains_key(via)) {
        let reasons = ways.iter().filter_map(|via| {
            let reason = machine.reason(*via)?;
            Some(format!("{}: {reason}", via.name()))
        });
        missing.push(reasons.collect::<Vec<_>>().join("; "));
    }
    let programs = machine.programs_missing.iter();
    missing.extend(programs.map(|program| format!("the program `{program}` is not installed")));
    if requires.needs_root && !machine.is_root {
        missing.push("root is required; run the lab as root".to_owned());
    }
    missing
}

/// Why this way cannot inject a fault that the scenario has for the links of a load.
pub(super) fn unsupported(scenario: &Scenario, load: &str, via: Via) -> Option<String> {
    faults_of(scenario, load).find_map(|(step, fault)| {
        let reason = fault.unsupported_by(via)?;
        Some(format!("step `{step}` ({}): {reason}", fault.name()))
    })
}

/// The faults of links of this load, each with its step.
fn faults_of<'a>(
    scenario: &'a Scenario,
    load: &'a str,
) -> impl Iterator<Item = (&'a str, &'a LinkFault)> {
    let to = scenario.loads().iter().find(|it| it.name == load);
    let to = to.map(|load| load.to.as_str());
    scenario.steps().iter().filter_map(move |step| {
        let is_of_load = step.load.as_deref().is_none_or(|name| name == load);
        match &step.action {
            FaultAction::Link(fault) if is_of_load && Some(step.on.service.as_str()) == to => {
                Some((step.id.as_str(), fault))
            }
            FaultAction::Link(_)
            | FaultAction::Kill
            | FaultAction::Term { .. }
            | FaultAction::Pause => None,
        }
    })
}
