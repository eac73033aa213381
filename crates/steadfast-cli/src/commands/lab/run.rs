//! `steadfast lab run`: runs a scenario, prints the report, and sets the exit code by the verdict.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast_faults::ledger::Ledger;
use steadfast_faults::report::{Report, json, text};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::verdict::{Verdict, evaluate};
use steadfast_lab::runner::{self, FaultsMode, RunSetup};

use super::display::Display;
use super::{drivers, read};
use crate::args::LabRun;
use crate::exit::Failure;
use crate::output;

/// Parent of the directories of all runs.
const PARENT_DEFAULT: &str = "steadfast-lab";

/// Runs the scenario and evaluates it.
///
/// # Errors
///
/// When it cannot be run, or the verdict is not PASS.
pub(super) fn run(arguments: &LabRun) -> Result<(), Failure> {
    let (scenario, plan) = read::read(&arguments.scenario)?;
    let this_program = env::current_exe()
        .map_err(|error| Failure::failed(format!("failed to find this program: {error}"), ""))?;
    let kinds = plan.topology().clients().iter().map(|client| client.kind);
    let setup = RunSetup {
        gateway: arguments
            .gateway
            .as_deref()
            .map_or_else(|| Ok(this_program.clone()), absolute)?,
        drivers: drivers::find(kinds, &arguments.drivers, &this_program)?,
        launcher: Some(this_program),
        folder: folder(arguments, scenario.name(), &plan)?,
        faults: if arguments.placebo {
            FaultsMode::Placebo
        } else {
            FaultsMode::Real
        },
    };
    output::detach_messages()?;
    output::message(&format!(
        "{}: {} clients, {} faults, seed {}; files in {}",
        scenario.name(),
        plan.topology().clients().len(),
        plan.faults().len(),
        plan.seed(),
        setup.folder.display()
    ));
    let mut display = Display::new();
    let outcome = runner::run(&scenario, &plan, &setup, &mut |progress| {
        display.show(progress);
    });
    display.end();
    let outcome = outcome.map_err(|error| Failure::from_lab(&error))?;
    let ledger = Ledger::reconcile(&scenario, &plan, &outcome.run);
    let without_faults = plan.without_faults();
    let control = outcome
        .control
        .as_ref()
        .map(|history| Ledger::reconcile(&scenario, &without_faults, history));
    let evaluation = evaluate(&scenario, &ledger, control.as_ref());
    let report = Report {
        scenario: &scenario,
        profiles: &arguments.scenario.profile,
        is_placebo: arguments.placebo,
        plan: &plan,
        ledger: &ledger,
        evaluation: &evaluation,
    };
    let rendered = json::render(&report);
    write_report(&setup.folder, &rendered)?;
    if arguments.json {
        output::print(rendered.trim_end());
    } else {
        output::print(text::render(&report).trim_end());
    }
    match evaluation.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::verdict_fail(&rerun_command(arguments, &plan))),
        Verdict::Inconclusive => Err(Failure::verdict_inconclusive(&rerun_command(
            arguments, &plan,
        ))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Each service is started in its own directory, where a relative path would not be valid.
    fs::canonicalize(path).map_err(|error| {
        Failure::usage(format!("program {} not found: {error}", path.display()), "")
    })
}

/// Creates a new directory for this run.
fn folder(arguments: &LabRun, name: &str, plan: &Plan) -> Result<PathBuf, Failure> {
    let parent = match &arguments.out {
        Some(folder) => folder.clone(),
        None => PathBuf::from(PARENT_DEFAULT),
    };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(
            format!("failed to create {}: {error}", path.display()),
            "Choose another directory: --out DIR",
        )
    };
    fs::create_dir_all(&parent).map_err(|error| failed(&parent, error))?;
    let parent = fs::canonicalize(&parent).map_err(|error| failed(&parent, error))?;
    for number in 1_u32.. {
        let folder = parent.join(format!("{name}-{}-{number}", plan.seed()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&folder, error)),
        }
    }
    Err(Failure::failed(
        "the output directory contains too many runs",
        "",
    ))
}

fn write_report(folder: &Path, report: &str) -> Result<(), Failure> {
    let path = folder.join("report.json");
    fs::write(&path, report).map_err(|error| {
        Failure::failed(format!("failed to write {}: {error}", path.display()), "")
    })
}

/// The command that runs the scenario again with the same plan.
fn rerun_command(arguments: &LabRun, plan: &Plan) -> String {
    let file = arguments.scenario.file.display();
    let seed = plan.seed();
    let profiles = arguments.scenario.profile.iter();
    let profiles = profiles.map(|profile| format!(" --profile {profile}"));
    let params = arguments.scenario.params.iter();
    let params = params.map(|param| format!(" -p {param}"));
    let rest: String = profiles.chain(params).collect();
    format!("steadfast lab run {file} --seed {seed}{rest}")
}
