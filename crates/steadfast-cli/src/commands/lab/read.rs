//! From the command line to a scenario and its plan.

use std::fs;
use std::path::Path;

use steadfast_faults::scenario::Choice;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;

use crate::args::Chosen;
use crate::exit::Failure;

/// Reads a scenario and draws its plan.
pub(super) fn read(chosen: &Chosen) -> Result<(Scenario, Plan), Failure> {
    let scenario = scenario(&chosen.file, &choice(chosen)?)?;
    let seed = match chosen.seed.or_else(|| scenario.seed()) {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let plan = Plan::new(&scenario, seed).map_err(|error| {
        Failure::scenario(error.to_string(), "Try another --seed, or change the step.")
    })?;
    Ok((scenario, plan))
}

fn scenario(path: &Path, choice: &Choice) -> Result<Scenario, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::scenario(
            format!("cannot read {}: {error}", path.display()),
            "For example: steadfast lab run scenarios/gateway-kill.toml",
        )
    })?;
    Scenario::parse(&path.to_string_lossy(), &text, choice)
        .map_err(|error| Failure::scenario(error.to_string(), ""))
}

fn choice(chosen: &Chosen) -> Result<Choice, Failure> {
    let params = chosen.params.iter().map(|param| {
        let (name, value) = param.split_once('=').ok_or_else(|| {
            Failure::usage(
                format!("--param must be NAME=VALUE, found \"{param}\""),
                "For example: -p clients=50",
            )
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(Choice {
        profiles: chosen.profile.clone(),
        params: params.collect::<Result<_, Failure>>()?,
    })
}

/// Small, so that people can type it again.
fn draw_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("no randomness to be had: {error}"), ""))?;
    Ok(u64::from(u32::from_be_bytes(bytes)))
}
