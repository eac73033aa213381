//! `steadfast lab check`: prints the fault plan of a scenario without running it.

use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;

use super::{display, read};
use crate::args::LabCheck;
use crate::exit::Failure;
use crate::output;

/// Prints the plan.
///
/// # Errors
///
/// When the scenario is invalid.
pub(super) fn run(arguments: &LabCheck) -> Result<(), Failure> {
    let (scenario, plan) = read::read(&arguments.scenario)?;
    output::print(&describe(&scenario, &plan));
    Ok(())
}

fn describe(scenario: &Scenario, plan: &Plan) -> String {
    let topology = plan.topology();
    let mut lines = vec![
        format!("{}: {}", scenario.name(), scenario.about()),
        format!("seed       {}", plan.seed()),
        format!(
            "duration   {}; a control run takes as long again",
            display::seconds(scenario.run().total())
        ),
        format!("processes  {}", topology.instances().len()),
        format!("clients    {}", topology.clients().len()),
        format!("faults     {}", plan.faults().len()),
    ];
    for fault in plan.faults() {
        let targets = fault.targets.iter().filter_map(|id| topology.instance(*id));
        let targets: Vec<String> = targets.map(ToString::to_string).collect();
        lines.push(format!(
            "  {:>7}  {} {} (heal starts at {})",
            display::seconds(fault.at),
            fault.action.name(),
            targets.join(", "),
            display::seconds(fault.heal_at)
        ));
    }
    lines.join("\n")
}
