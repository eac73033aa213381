//! A scenario on real processes: the control run, then the run, each from an empty folder.
//!
//! One thread makes all moves; those that read drivers and own processes only send it what they see. What comes out is
//! a history for each of the two, and no judgement.

mod agenda;
mod clients;
pub(crate) mod inbox;
mod stage;

use std::path::PathBuf;

use steadfast_faults::ledger::history::History;
use steadfast_faults::scenario::model::{Control, Scenario};
use steadfast_faults::scenario::plan::Plan;

use crate::driver::DriverCommands;
use crate::error::LabError;
use crate::progress::Progress;
use stage::Stage;

/// How a scenario is carried out here.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Started as the service `builtin:gateway`.
    pub gateway: PathBuf,
    /// A binary whose `lab launch` ties a service to the life of the lab ([`crate::launcher`]).
    pub launcher: Option<PathBuf>,
    /// How clients are started.
    pub drivers: DriverCommands,
    /// Everything of the run is in here: configurations, data, logs of services.
    pub folder: PathBuf,
    /// What is done at the planned instants.
    pub faults: FaultsMode,
}

/// What is done at the planned instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultsMode {
    /// What the plan says.
    Real,
    /// Nothing, although it is announced: a verdict that passes then would pass for any system.
    Placebo,
}

/// What was written down.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run without faults, when the scenario asks for one.
    pub control: Option<History>,
    /// The run.
    pub run: History,
}

/// Carries a plan out. `watch` hears how it goes, about once a second.
///
/// # Errors
///
/// When services or drivers cannot be started, or were not ready in time.
pub fn run(
    scenario: &Scenario,
    plan: &Plan,
    setup: &Setup,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Outcome, LabError> {
    let control = match scenario.run().control {
        Control::Before => {
            let plan = plan.without_faults();
            let mut setup = setup.clone();
            setup.folder.push("control");
            let mut watch = |progress: &Progress| {
                let progress = Progress {
                    is_control: true,
                    ..progress.clone()
                };
                watch(&progress);
            };
            Some(Stage::set(scenario, &plan, &setup)?.play(&mut watch)?)
        }
        Control::Off => None,
    };
    let mut setup = setup.clone();
    setup.folder.push("run");
    let run = Stage::set(scenario, plan, &setup)?.play(watch)?;
    Ok(Outcome { control, run })
}
