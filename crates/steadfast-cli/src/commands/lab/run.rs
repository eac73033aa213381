//! `steadfast lab run`: the scenario, its verdict, the exit code.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast_faults::ledger::Ledger;
use steadfast_faults::report::{Report, json, text};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::verdict::{Verdict, judge};
use steadfast_lab::runner::{self, FaultsMode, Setup};

use super::shown::Display;
use super::{peers, read};
use crate::args::LabRun;
use crate::exit::Failure;
use crate::output;

/// Where runs are kept.
const FOLDER_DEFAULT: &str = "steadfast-lab";

/// Carries the scenario out and judges it.
///
/// # Errors
///
/// When it cannot be carried out, or the verdict is not PASS.
pub(super) fn run(arguments: &LabRun) -> Result<(), Failure> {
    let (scenario, plan) = read::read(&arguments.chosen)?;
    let own = env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program: {error}"), ""))?;
    let kinds = plan.roster().clients().iter().map(|client| client.kind);
    let setup = Setup {
        gateway: arguments
            .gateway
            .as_deref()
            .map_or_else(|| Ok(own.clone()), absolute)?,
        drivers: peers::find(kinds, &arguments.peers, &own)?,
        launcher: Some(own),
        folder: folder(arguments, scenario.name(), &plan)?,
        faults: if arguments.placebo {
            FaultsMode::Placebo
        } else {
            FaultsMode::Real
        },
    };
    output::say(&format!(
        "{}: {} clients, {} faults, seed {}; files in {}",
        scenario.name(),
        plan.roster().clients().len(),
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
    let ledger = Ledger::balance(&scenario, &plan, &outcome.run);
    let without_faults = plan.without_faults();
    let control = outcome
        .control
        .as_ref()
        .map(|history| Ledger::balance(&scenario, &without_faults, history));
    let judgement = judge(&scenario, &ledger, control.as_ref());
    let report = Report {
        scenario: &scenario,
        profiles: &arguments.chosen.profile,
        plan: &plan,
        ledger: &ledger,
        judgement: &judgement,
    };
    let rendered = json::render(&report);
    keep(&setup.folder, &rendered)?;
    if arguments.json {
        output::print(rendered.trim_end());
    } else {
        output::print(text::render(&report).trim_end());
    }
    match judgement.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::verdict_fail(&again(arguments, &plan))),
        Verdict::Inconclusive => Err(Failure::verdict_inconclusive(&again(arguments, &plan))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Services are started in folders of their own, where a relative path would mean something else.
    fs::canonicalize(path).map_err(|error| {
        Failure::usage(
            format!("there is no program {}: {error}", path.display()),
            "",
        )
    })
}

/// A new folder for this run.
fn folder(arguments: &LabRun, name: &str, plan: &Plan) -> Result<PathBuf, Failure> {
    let parent = match &arguments.out {
        Some(folder) => folder.clone(),
        None => PathBuf::from(FOLDER_DEFAULT),
    };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(
            format!("cannot make {}: {error}", path.display()),
            "Choose another folder: --out DIR",
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
    Err(Failure::failed("there are too many runs in the folder", ""))
}

fn keep(folder: &Path, report: &str) -> Result<(), Failure> {
    let path = folder.join("report.json");
    fs::write(&path, report)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display()), ""))
}

/// The line that runs it again.
fn again(arguments: &LabRun, plan: &Plan) -> String {
    let file = arguments.chosen.file.display();
    let seed = plan.seed();
    let profiles = arguments.chosen.profile.iter();
    let profiles = profiles.map(|profile| format!(" --profile {profile}"));
    let params = arguments.chosen.params.iter();
    let params = params.map(|param| format!(" -p {param}"));
    let rest: String = profiles.chain(params).collect();
    format!("steadfast lab run {file} --seed {seed}{rest}")
}
