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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ScenarioOptions;

    const SCENARIO: &str = r#"
schema = "lab/1"
name = "links"

[requires]
any_of = ["netns", "proxy"]
bins = ["haproxy"]
root = true

[service.gateway]
use = "builtin:gateway"

[link."chat->gateway"]
via = ["netns", "proxy"]

[load.chat]
driver = "gateway-chat"
to = "gateway"

[load.other]
driver = "gateway-chat"
to = "gateway"

[run]
duration = "60s"

[[step]]
at = "1s"
do = "DO"
on = "link:chat->gateway"

[[check]]
that = "delivery.lost == 0"
"#;

    fn scenario(action: &str) -> Scenario {
        let text = SCENARIO.replace("DO", action);
        Scenario::parse("links.toml", &text, &ScenarioOptions::default()).unwrap()
    }

    fn machine() -> Machine {
        Machine {
            is_root: true,
            ..Machine::default()
        }
    }

    #[test]
    fn the_first_way_is_taken_that_is_usable_and_can_inject_all_faults() {
        let via = |action, machine: &Machine| {
            let routes = choose(&scenario(action), machine).unwrap();
            let of = |load: &str| routes.iter().find(|it| it.load == load).unwrap().clone();
            assert_eq!(of("other").via, Via::Direct);
            of("chat")
        };
        let without_namespaces = Machine {
            unusable: [(Via::Namespace, "no permission".to_owned())].into(),
            ..machine()
        };

        assert_eq!(via("net.block", &machine()).via, Via::Namespace);
        assert_eq!(via("conn.freeze", &machine()).via, Via::Proxy);
        let route = via("net.block", &without_namespaces);
        assert_eq!(route.via, Via::Proxy);
        assert_eq!(
            route.rejected,
            [(Via::Namespace, "no permission".to_owned())]
        );
    }

    #[test]
    fn every_reason_to_skip_a_scenario_is_named() {
        let machine = Machine {
            unusable: [
                (Via::Namespace, "no permission".to_owned()),
                (Via::Proxy, "no port".to_owned()),
            ]
            .into(),
            programs_missing: vec!["haproxy".to_owned()],
            is_root: false,
        };

        assert_eq!(
            choose(&scenario("net.block"), &machine),
            Err(vec![
                "netns: no permission; proxy: no port".to_owned(),
                "the program `haproxy` is not installed".to_owned(),
                "root is required; run the lab as root".to_owned(),
                "link chat->gateway: netns: no permission; proxy: no port".to_owned(),
            ])
        );
    }
}
