//! `steadfast lab run`: runs a scenario, prints the report, and sets the exit code by the verdict.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::scenario::routes::Route;
use steadfast_faults::verdict::Verdict;
use steadfast_lab::interrupt::Interrupt;
use steadfast_lab::journal::Journal;
use steadfast_lab::runner::{self, FaultsMode, RunSetup};

use super::display::Display;
use super::read::PlannedRun;
use super::rendered::{self, Destinations, RenderedRun};
use super::stored::{self, Description};
use super::{check, drivers, heal, interrupt, isolate, machine, read, rerun};
use crate::args::LabRun;
use crate::exit::Failure;
use crate::output;

/// Parent of the directories of all runs.
pub(super) const PARENT_DEFAULT: &str = "steadfast-lab";

/// Runs the scenario and evaluates it.
///
/// # Errors
///
/// When it cannot be run, or the verdict is not PASS.
pub(super) fn run(arguments: &LabRun) -> Result<(), Failure> {
    let PlannedRun {
        text,
        options,
        scenario,
        plan,
    } = read::read(&arguments.scenario)?;
    let examination = machine::examine(&scenario, arguments.isolated.is_some());
    let needs_isolation = examination.needs_isolation(&scenario);
    let routes = examination
        .routes
        .map_err(|reasons| Failure::skipped(&reasons))?;
    let isolation = examination.isolation.filter(|_| needs_isolation);
    if let Some(isolation) = isolation {
        let isolation = isolation.map_err(|reason| Failure::skipped(&[reason]))?;
        let folder = folder(arguments, scenario.name(), &plan)?;
        let journal = Journal::create(&folder).map_err(|it| Failure::from_lab(&it, &folder))?;
        let outcome = isolate::run(&isolation, arguments, plan.seed(), &folder);
        // With the namespace of processes everything has ended, whatever the result is.
        journal
            .end()
            .map_err(|it| Failure::from_lab(&it, &folder))?;
        return outcome;
    }
    let setup = prepare(arguments, &scenario, &plan, routes)?;
    // As it was started, which may be a path: the program need not be in the search path of the shell.
    let program = env::args_os().next();
    let program = program.unwrap_or_else(|| "steadfast".into());
    let command = rerun::command(&program, arguments, plan.seed());
    let description = Description::new(&scenario, options, &plan, arguments.placebo, command);
    stored::write_description(&setup.folder, &description, &text)?;
    output::detach_messages()?;
    output::message(&format!(
        "{}; files in {}",
        check::summary(&scenario, &plan),
        setup.folder.display()
    ));
    let mut display = Display::new(scenario.run());
    let outcome = runner::run(&scenario, &plan, &setup, &mut |progress| {
        display.show(progress);
    });
    display.end();
    if let (Some(journal), None) = (&setup.journal, &arguments.isolated) {
        journal
            .end()
            .map_err(|it| Failure::from_lab(&it, &setup.folder))?;
    }
    let outcome = outcome.map_err(|error| Failure::from_lab(&error, &setup.folder))?;
    for notice in &outcome.notices {
        output::message(&format!("note: {notice}"));
    }
    display.show_status("evaluating");
    stored::write_outcome(&setup.folder, &plan, &outcome)?;
    display.end();
    let run = RenderedRun {
        folder: &setup.folder,
        description: &description,
        scenario: &scenario,
        plan: &plan,
        outcome: &outcome,
    };
    let destinations = Destinations {
        copies: &arguments.output.report,
        is_json: arguments.output.json,
    };
    let verdict = rendered::render(&run, destinations)?;
    let page = setup.folder.join("report.html");
    output::message(&format!("Report as a page: {}", page.display()));
    conclude(&description, verdict)
}

/// Finds the programs of the run, and creates its directory.
fn prepare(
    arguments: &LabRun,
    scenario: &Scenario,
    plan: &Plan,
    routes: Vec<Route>,
) -> Result<RunSetup, Failure> {
    let this_program = env::current_exe().map_err(|error| {
        Failure::lab_failed(format!("failed to find this program: {error}"), "")
    })?;
    let (folder, journal) = if let Some(folder) = &arguments.isolated {
        (folder.clone(), Journal::open(folder))
    } else {
        let folder = folder(arguments, scenario.name(), plan)?;
        let journal = Journal::create(&folder);
        (folder, journal)
    };
    let journal = journal.map_err(|error| Failure::from_lab(&error, &folder))?;
    let interrupt = Interrupt::default();
    let interrupted = interrupt.clone();
    if arguments.isolated.is_some() {
        interrupt::on_closed_input(interrupted)?;
    } else {
        interrupt::on_signals(&folder, move || interrupted.request())?;
    }
    Ok(RunSetup {
        gateway: arguments
            .gateway
            .as_deref()
            .map_or_else(|| Ok(this_program.clone()), absolute)?,
        drivers: drivers::find(scenario, &arguments.drivers, &this_program)?,
        launcher: Some(this_program),
        search: crate::env::search_path(),
        folder,
        routes,
        journal: Some(journal),
        faults: if arguments.placebo {
            FaultsMode::Placebo
        } else {
            FaultsMode::Real
        },
        interrupt,
    })
}

/// Turns the verdict into the exit code, with the command that repeats the run.
pub(super) fn conclude(description: &Description, verdict: Verdict) -> Result<(), Failure> {
    let again = format!("Run it again: {}", description.command);
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::verdict_fail(again)),
        Verdict::Inconclusive if description.is_placebo => Err(Failure::verdict_inconclusive(
            format!("With --placebo it must be so: no fault was injected.\n{again}"),
        )),
        Verdict::Inconclusive => Err(Failure::verdict_inconclusive(again)),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Each service is started in its own directory, where a relative path would not be valid.
    fs::canonicalize(path).map_err(|error| {
        Failure::usage(
            format!("program {} not found: {error}", path.display()),
            "Give its path, for example --gateway target/release/steadfast",
        )
    })
}

/// Creates a new directory for this run.
fn folder(arguments: &LabRun, name: &str, plan: &Plan) -> Result<PathBuf, Failure> {
    let parent = match &arguments.out {
        Some(folder) => folder.clone(),
        None => PathBuf::from(PARENT_DEFAULT),
    };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::scenario(
            format!("failed to create {}: {error}", path.display()),
            "Choose another directory: --out DIR",
        )
    };
    fs::create_dir_all(&parent).map_err(|error| failed(&parent, error))?;
    let parent = fs::canonicalize(&parent).map_err(|error| failed(&parent, error))?;
    heal::before_run(&parent);
    for number in 1_u32.. {
        let folder = parent.join(format!("{name}-{}-{number}", plan.seed()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&folder, error)),
        }
    }
    Err(Failure::scenario(
        "the output directory contains too many runs",
        "Choose another directory: --out DIR",
    ))
}
