//! What this machine can do for a scenario, and the way that each link takes.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use steadfast_faults::scenario::model::{Network, Scenario, Via};
use steadfast_faults::scenario::routes::{self, Machine, Route};
use steadfast_lab::isolation::Isolation;

/// The result for a scenario.
#[derive(Debug)]
pub(super) struct Examination {
    /// The route of each load, or the reasons why the scenario cannot run here.
    pub(super) routes: Result<Vec<Route>, Vec<String>>,
    /// How namespaces are created, if the scenario may need them and they are possible.
    pub(super) isolation: Option<Result<Isolation, String>>,
}

impl Examination {
    /// Whether the run needs network namespaces.
    pub(super) fn needs_isolation(&self, scenario: &Scenario) -> bool {
        let routes = self.routes.iter().flatten();
        let mut routes = routes.filter(|route| route.via == Via::Namespace);
        routes.next().is_some() || has_own_networks(scenario)
    }
}

/// Examines the machine. Within the namespaces of a run they are known to be possible.
pub(super) fn examine(scenario: &Scenario, is_isolated: bool) -> Examination {
    let may_isolate = may_isolate(scenario);
    let isolation = (may_isolate && !is_isolated).then(|| Isolation::examine(&search_path()));
    let mut machine = Machine {
        programs_missing: missing_programs(&scenario.requires().programs),
        is_root: rustix::process::geteuid().is_root(),
        ..Machine::default()
    };
    if let Some(Err(reason)) = &isolation {
        machine.unusable.insert(Via::Namespace, reason.clone());
    }
    let mut routes = routes::choose(scenario, &machine);
    if let (Some(Err(reason)), true) = (&isolation, has_own_networks(scenario)) {
        let missing = format!("`network = \"own\"`: {reason}");
        match &mut routes {
            Ok(_) => routes = Err(vec![missing]),
            Err(reasons) => reasons.push(missing),
        }
    }
    Examination { routes, isolation }
}

/// What a run in namespaces needs from this machine, each with the reason why it is missing.
pub(super) fn namespace_needs() -> Vec<(&'static str, Result<(), String>)> {
    Isolation::needs(&search_path())
}

fn search_path() -> OsString {
    env::join_paths(crate::env::search_path()).unwrap_or_default()
}

/// The way of each link, and why it is not a better one.
pub(super) fn describe(routes: &[Route]) -> Vec<String> {
    let described = routes.iter().map(|route| {
        let Route {
            load,
            service,
            via,
            rejected,
        } = route;
        let rejected = rejected.iter();
        let rejected = rejected.map(|(via, reason)| format!("; not {}: {reason}", via.name()));
        let rejected: String = rejected.collect();
        format!("{load}->{service} via {}{rejected}", via.name())
    });
    described.collect()
}

fn may_isolate(scenario: &Scenario) -> bool {
    let links = scenario.links().iter().flat_map(|link| &link.via);
    let mut ways = links.chain(&scenario.requires().any_of);
    ways.any(|via| *via == Via::Namespace) || has_own_networks(scenario)
}

fn has_own_networks(scenario: &Scenario) -> bool {
    let mut services = scenario.services().iter();
    services.any(|service| service.network == Network::Own)
}

fn missing_programs(required: &[String]) -> Vec<String> {
    let mut folders = crate::env::search_path();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let is_missing = |program: &&String| !folders.iter().any(|it| it.join(program).is_file());
    required.iter().filter(is_missing).cloned().collect()
}
