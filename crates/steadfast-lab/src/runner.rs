//! Executes a scenario on real processes: the control run, then the run itself, each in an empty directory.
//!
//! One thread performs all actions. The threads that read drivers and own processes only send their observations to
//! that thread.
//! The result is a history for each of the two runs, without a verdict.

mod clients;
pub(crate) mod fault_parts;
pub(crate) mod inbox;
mod requests;
mod run;
mod schedule;
mod streams;

use std::path::PathBuf;

use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::report::ProgramVersion;
use steadfast_faults::scenario::model::{ControlRun, Scenario};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::scenario::routes::Route;

use crate::driver::DriverCommands;
use crate::error::LabError;
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::progress::Progress;
use crate::service::programs;
use run::Run;

/// Capacity of a history in events: about a gigabyte of memory, and far more events than 50 clients cause in an hour.
pub const EVENTS_MAX: usize = 8_000_000;

/// The programs, the directory and the mode of a run.
#[derive(Clone, Debug)]
pub struct RunSetup {
    /// The program of the service `builtin:gateway`.
    pub gateway: PathBuf,
    /// A binary whose `lab launch` kills a service when the lab terminates ([`crate::launcher`]). Without a
    /// launcher, services are started directly.
    pub launcher: Option<PathBuf>,
    /// The directories in which the programs of services are searched for.
    pub search: Vec<PathBuf>,
    /// The command that starts the driver of each client kind.
    pub drivers: DriverCommands,
    /// Directory of the run: configurations, data, and logs of services.
    pub folder: PathBuf,
    /// How each load reaches its service.
    pub routes: Vec<Route>,
    /// Where faults are written before they are injected.
    pub journal: Option<Journal>,
    /// Whether faults are injected or only reported.
    pub faults: FaultsMode,
    /// Ends the run early.
    pub interrupt: Interrupt,
}

/// Whether planned faults are injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultsMode {
    /// Faults are injected as planned.
    Real,
    /// Faults are reported but not injected: a check that passes in this mode would pass for any system.
    Placebo,
}

/// The recorded histories.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The run without faults, if the scenario requires one.
    pub control: Option<EventLog>,
    /// The run with faults.
    pub run: EventLog,
    /// The programs of the services with their versions.
    pub programs: Vec<ProgramVersion>,
    /// What the operator should know and what does not change the result, such as processes that a service left.
    pub notices: Vec<String>,
}

/// Executes a plan. `watch` is called with the progress about once a second.
///
/// # Errors
///
/// When services or drivers cannot be started, or are not ready in time, or the run was interrupted. Nothing is left then.
pub fn run(
    scenario: &Scenario,
    plan: &Plan,
    setup: &RunSetup,
    watch: &mut dyn FnMut(&Progress),
) -> Result<RunOutcome, LabError> {
    run_both(scenario, plan, setup, watch).map_err(|error| {
        // A terminal interrupts the drivers too, and their end is then a consequence.
        if setup.interrupt.is_requested() {
            LabError::Interrupted
        } else {
            error
        }
    })
}

fn run_both(
    scenario: &Scenario,
    plan: &Plan,
    setup: &RunSetup,
    watch: &mut dyn FnMut(&Progress),
) -> Result<RunOutcome, LabError> {
    let programs = programs::versions(scenario, setup);
    let mut notices = Vec::new();
    let control = match scenario.run().control {
        ControlRun::Before => {
            let plan = plan.without_faults();
            let mut setup = setup.clone();
            setup.folder.push("control");
            let mut watch = |progress: &Progress| {
                let progress = Progress {
                    is_control: true,
                    remaining: progress.remaining + scenario.run().total(),
                    ..progress.clone()
                };
                watch(&progress);
            };
            let (history, of_control) = Run::start(scenario, &plan, &setup)?.execute(&mut watch)?;
            notices = of_control;
            Some(history)
        }
        ControlRun::Off => None,
    };
    let mut setup = setup.clone();
    setup.folder.push("run");
    let (run, of_run) = Run::start(scenario, plan, &setup)?.execute(watch)?;
    for notice in of_run {
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }
    Ok(RunOutcome {
        control,
        run,
        programs,
        notices,
    })
}
