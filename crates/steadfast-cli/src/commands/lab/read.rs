//! Reads the scenario that the command line names, and draws its fault plan.

use std::fs;
use std::path::Path;

use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;

use crate::args::ScenarioArgs;
use crate::exit::Failure;

/// A scenario with its text, its options and its plan.
pub(super) struct PlannedRun {
    pub(super) text: String,
    pub(super) options: ScenarioOptions,
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
}

/// Reads a scenario and draws its plan.
pub(super) fn read(arguments: &ScenarioArgs) -> Result<PlannedRun, Failure> {
    let options = choice(arguments)?;
    let text = text(&arguments.file)?;
    let scenario = Scenario::parse(&arguments.file.to_string_lossy(), &text, &options)
        .map_err(|error| Failure::scenario(error.to_string(), ""))?;
    let seed = match arguments.seed.or_else(|| scenario.seed()) {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let plan = Plan::new(&scenario, seed).map_err(|error| {
        Failure::scenario(error.to_string(), "Change the step, or try another --seed.")
    })?;
    Ok(PlannedRun {
        text,
        options,
        scenario,
        plan,
    })
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::scenario(
            format!("failed to read {}: {error}", path.display()),
            "For example: steadfast lab run scenarios/gateway-kill.toml",
        )
    })
}

fn choice(arguments: &ScenarioArgs) -> Result<ScenarioOptions, Failure> {
    let params = arguments.params.iter().map(|param| {
        let (name, value) = param.split_once('=').ok_or_else(|| {
            Failure::usage(
                format!("invalid --param \"{param}\": must be NAME=VALUE"),
                "For example: -p clients=50",
            )
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(ScenarioOptions {
        profiles: arguments.profile.clone(),
        params: params.collect::<Result<_, Failure>>()?,
    })
}

/// Draws a seed of 32 bits, which is short enough to type.
fn draw_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| {
        let error = format!("failed to generate a random seed: {error}");
        Failure::lab_failed(error, "Give a seed: --seed 7")
    })?;
    Ok(u64::from(u32::from_be_bytes(bytes)))
}
