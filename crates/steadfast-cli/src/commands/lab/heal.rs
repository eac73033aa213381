//! `steadfast lab heal`: undoes what crashed runs left.

use std::path::Path;

use steadfast_faults::counted::counted_len;
use steadfast_lab::error::LabError;
use steadfast_lab::heal::{self, Healing};

use super::run::PARENT_DEFAULT;
use crate::args::LabHeal;
use crate::exit::{Failure, with_causes};
use crate::output;

/// Undoes what the runs in a directory left, and prints it.
///
/// # Errors
///
/// When the directory or a journal cannot be read or written, or a run is still in progress. Everything else is undone
/// nevertheless.
pub(super) fn run(arguments: &LabHeal) -> Result<(), Failure> {
    let folder = arguments.folder.as_deref();
    let folder = match folder {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::usage(
                format!("{} is not a directory", folder.display()),
                "Give the directory of a run, or that of all runs: steadfast lab heal DIR",
            ));
        }
        Some(folder) => folder,
        // Without any run, nothing is left.
        None if !Path::new(PARENT_DEFAULT).is_dir() => {
            output::print("nothing to heal");
            return Ok(());
        }
        None => Path::new(PARENT_DEFAULT),
    };
    let healed = heal::heal(folder).map_err(|error| unhealed(&[error], &[]))?;
    let mut running = Vec::new();
    for (run, healing) in &healed.runs {
        if let Healing::Running(id) = healing {
            running.push(id.to_string());
        }
        for line in describe(run, healing) {
            output::print(&line);
        }
    }
    if healed.runs.is_empty() && healed.problems.is_empty() {
        output::print("nothing to heal");
    }
    if healed.problems.is_empty() && running.is_empty() {
        return Ok(());
    }
    Err(unhealed(&healed.problems, &running))
}

/// Why not everything is undone: journals that could not be read or written, and runs in progress.
fn unhealed(problems: &[LabError], running: &[String]) -> Failure {
    let mut errors: Vec<String> = problems.iter().map(|it| with_causes(it)).collect();
    let mut hints = Vec::new();
    if !errors.is_empty() {
        hints.push("Run it as the user who started the run: steadfast lab heal DIR".to_owned());
    }
    if !running.is_empty() {
        errors.push("a run is still in progress".to_owned());
        hints.push(format!("Stop it first: kill {}", running.join(" ")));
    }
    Failure::lab_failed(errors.join("\n"), hints.join("\n"))
}

/// Undoes what earlier runs left, before a new one begins.
pub(super) fn before_run(parent: &Path) {
    // A directory that cannot be read is reported when the new run creates its own.
    let healed = heal::heal(parent).unwrap_or_default();
    for problem in &healed.problems {
        output::message(&format!(
            "note: an earlier run may have left something: {}",
            with_causes(problem)
        ));
    }
    for (run, healing) in &healed.runs {
        if matches!(healing, Healing::Healed { .. }) {
            for line in describe(run, healing) {
                output::message(&line);
            }
        }
    }
}

fn describe(run: &Path, healing: &Healing) -> Vec<String> {
    let run = run.display();
    match healing {
        Healing::Running(id) => vec![format!("{run}: still in progress as process {id}")],
        Healing::Healed { faults, killed } => {
            let processes = counted_len(killed.len(), "process was", "processes were");
            let killed = if killed.is_empty() {
                "no process was left".to_owned()
            } else {
                format!("{processes} left and killed: {}", killed.join(", "))
            };
            let mut lines = vec![format!("{run}: the lab ended early; {killed}")];
            lines.extend(faults.iter().map(|fault| format!("  undone: {fault}")));
            lines
        }
        _ => Vec::new(),
    }
}
