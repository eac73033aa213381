//! `steadfast lab check`: prints the fault plan of a scenario without running it.

use std::time::Duration;

use steadfast_faults::counted::counted_len;
use steadfast_faults::scenario::model::{ControlRun, Scenario};
use steadfast_faults::scenario::plan::{Plan, PlannedFault};
use steadfast_faults::topology::ClientKind;

use super::display::duration;
use super::{machine, read};
use crate::args::LabCheck;
use crate::exit::Failure;
use crate::output;

/// Prints the plan.
///
/// # Errors
///
/// When the scenario is invalid.
pub(super) fn run(arguments: &LabCheck) -> Result<(), Failure> {
    let planned = read::read(&arguments.scenario)?;
    output::print(&describe(&planned.scenario, &planned.plan));
    output::print(&describe_needs(&planned.scenario));
    Ok(())
}

/// The planned time of the run, with the control run if there is one.
pub(super) fn total(scenario: &Scenario) -> Duration {
    match scenario.run().control {
        ControlRun::Before => scenario.run().total() * 2,
        ControlRun::Off => scenario.run().total(),
    }
}

fn describe(scenario: &Scenario, plan: &Plan) -> String {
    let run = scenario.run();
    let mut lines = vec![
        format!("{}: {}", scenario.name(), scenario.about()),
        format!("seed        {}", plan.seed()),
        format!("duration    {}", describe_duration(scenario)),
        format!(
            "phases      baseline {}, faults {}, quiet {}, drain {}",
            duration(run.baseline),
            duration(run.duration),
            duration(run.quiet),
            duration(run.drain)
        ),
        format!("processes   {}", processes(plan)),
        format!("clients     {}", clients(plan)),
        format!("parameters  {}", parameters(scenario)),
        format!(
            "faults      {}, by the time since the baseline ended",
            plan.faults().len()
        ),
    ];
    lines.extend(plan.faults().iter().map(|it| describe_fault(it, plan)));
    lines.join("\n")
}

/// What the run needs from this machine, and whether it is there.
fn describe_needs(scenario: &Scenario) -> String {
    let examination = machine::examine(scenario, false);
    let namespaces = match &examination.isolation {
        None => "not needed",
        Some(Ok(_)) => "usable",
        Some(Err(_)) => "not usable",
    };
    let mut lines = vec![format!("namespaces  {namespaces}")];
    if examination.isolation.is_some() {
        let needs = machine::namespace_needs().into_iter();
        lines.extend(needs.map(|(name, outcome)| match outcome {
            Ok(()) => format!("  yes       {name}"),
            Err(reason) => format!("  no        {name}: {reason}"),
        }));
    }
    match &examination.routes {
        Ok(routes) => {
            let links = machine::describe(routes).into_iter();
            lines.extend(links.map(|link| format!("link        {link}")));
        }
        Err(reasons) => {
            lines.extend(reasons.iter().map(|reason| format!("SKIP        {reason}")));
        }
    }
    lines.join("\n")
}

fn describe_duration(scenario: &Scenario) -> String {
    let each = duration(scenario.run().total());
    match scenario.run().control {
        ControlRun::Before => format!(
            "{}: {each} for the control run without faults, then {each} with faults",
            duration(total(scenario))
        ),
        ControlRun::Off => each,
    }
}

fn processes(plan: &Plan) -> String {
    let instances = plan.topology().instances();
    let names: Vec<String> = instances.iter().map(ToString::to_string).collect();
    format!("{}: {}", names.len(), names.join(", "))
}

fn clients(plan: &Plan) -> String {
    let clients = plan.topology().clients();
    let of_kind = |kind: ClientKind| clients.iter().filter(|it| it.kind == kind).count();
    let kinds: Vec<String> = ClientKind::ALL
        .into_iter()
        .map(|kind| (kind, of_kind(kind)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {}", kind.name()))
        .collect();
    format!("{}: {}", clients.len(), kinds.join(", "))
}

fn parameters(scenario: &Scenario) -> String {
    let params = scenario.params().iter();
    let params: Vec<String> = params
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if params.is_empty() {
        "none".to_owned()
    } else {
        params.join(" ")
    }
}

fn describe_fault(fault: &PlannedFault, plan: &Plan) -> String {
    let targets = fault.target_names(plan.topology());
    let role = fault.role.map(|it| format!("the {} of ", it.role.name()));
    let healed = if fault.action.ends_process() {
        "started again"
    } else if fault.action.is_instantaneous() {
        "over"
    } else if fault.action.link_fault().is_some() {
        "restored"
    } else {
        "resumed"
    };
    format!(
        "  {:>8}  {} {}{}, {healed} at {}",
        duration(fault.at),
        fault.action.name(),
        role.unwrap_or_default(),
        targets.join(", "),
        duration(fault.heal_at)
    )
}

/// What a run consists of, in one line.
pub(super) fn summary(scenario: &Scenario, plan: &Plan) -> String {
    format!(
        "{}: {}, {}, seed {}, takes {}",
        scenario.name(),
        counted_len(plan.topology().clients().len(), "client", "clients"),
        counted_len(plan.faults().len(), "fault", "faults"),
        plan.seed(),
        duration(total(scenario)),
    )
}
