//! `steadfast lab report`: evaluates a stored run with the checks of this version, and renders it again.

use super::rendered::{self, Destinations, RenderedRun};
use super::run::conclude;
use super::stored;
use crate::args::LabReport;
use crate::exit::Failure;

/// Renders a stored run.
///
/// # Errors
///
/// When the directory does not contain a run, or the verdict is not PASS.
pub(super) fn run(arguments: &LabReport) -> Result<(), Failure> {
    let stored = stored::read(&arguments.folder)?;
    let run = RenderedRun {
        folder: &arguments.folder,
        description: &stored.description,
        scenario: &stored.scenario,
        plan: &stored.plan,
        outcome: &stored.outcome,
    };
    let destinations = Destinations {
        copies: &arguments.output.report,
        is_json: arguments.output.json,
    };
    let verdict = rendered::render(&run, destinations)?;
    conclude(&stored.description, verdict)
}
