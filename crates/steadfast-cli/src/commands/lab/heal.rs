//! `steadfast lab heal`: undoes what crashed runs left.

use std::path::Path;

use steadfast_faults::counted::counted_len;
use steadfast_lab::heal::{self, Healing};

use super::run::PARENT_DEFAULT;
use crate::args::LabHeal;
use crate::exit::Failure;
use crate::output;

/// Undoes what the runs in a directory left, and prints it.
///
/// # Errors
///
/// When the directory cannot be read, or a run is still in progress.
pub(super) fn run(arguments: &LabHeal) -> Result<(), Failure> {
    let folder = arguments.folder.as_deref();
    let folder = match folder {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::failed(
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
    let healed = heal::heal(folder).map_err(|error| {
        Failure::failed(
            crate::exit::with_causes(&error),
            "Run it as the user who started the run",
        )
    })?;
    let mut running = Vec::new();
    for (run, healing) in &healed {
        if let Healing::Running(id) = healing {
            running.push(id.to_string());
        }
        for line in describe(run, healing) {
            output::print(&line);
        }
    }
    if healed.is_empty() {
        output::print("nothing to heal");
    }
    if running.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(
        "a run is still in progress",
        format!("Stop it first: kill {}", running.join(" ")),
    ))
}

/// Undoes what earlier runs left, before a new one begins.
pub(super) fn before_run(parent: &Path) {
    // A directory that cannot be read is reported when the new run creates its own.
    let healed = heal::heal(parent).unwrap_or_default();
    for (run, healing) in &healed {
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
