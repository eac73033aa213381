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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::ExitCode;

    use super::super::stored::tests::stored_run;
    use super::*;
    use crate::args::{ReportArgs, ReportFile, ReportFormat};
    use crate::exit;
    use crate::output::Colours;

    /// Renders a stored run with a copy of the page at this path.
    fn render(folder: &Path, copy: &Path) -> Result<(), Failure> {
        run(&LabReport {
            folder: folder.to_owned(),
            output: ReportArgs {
                report: vec![ReportFile {
                    path: copy.to_owned(),
                    format: ReportFormat::Html,
                }],
                json: false,
            },
        })
    }

    #[test]
    fn a_report_that_cannot_be_written_is_a_failure_of_the_lab_and_no_verdict() {
        let stored = stored_run();
        let copy = stored.path().join("copy.html");

        let verdict = render(stored.path(), &copy);
        let size = copy.metadata().unwrap().len();
        // The history ends before its first fault.
        assert_eq!(exit::finish(verdict, Colours::Off), ExitCode::from(2));
        assert!(size > 1_000, "{size} bytes");

        std::fs::remove_file(&copy).unwrap();
        symlink("/dev/full", &copy).unwrap();
        let failure = render(stored.path(), &copy);
        let reason = failure.as_ref().unwrap_err().reason();
        assert!(reason.contains("copy.html: No space left"), "{reason}");
        assert_eq!(exit::finish(failure, Colours::Off), ExitCode::from(7));
    }
}
