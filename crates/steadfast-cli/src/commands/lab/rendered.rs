//! The reports of a run as files: all formats in the directory of the run, and copies at the paths of `--report`.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use steadfast_faults::ledger::Ledger;
use steadfast_faults::report::html::{self, LOG_LINES_MAX, LOGS_MAX, LogExcerpt, PageContext};
use steadfast_faults::report::{Report, json, junit, text};
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::verdict::{Evaluation, Verdict, evaluate};
use steadfast_lab::runner::RunOutcome;

use super::stored::{self, Description};
use crate::args::{ReportFile, ReportFormat};
use crate::exit::Failure;
use crate::output;

/// The part of a log file that is read for its last lines.
const LOG_BYTES_MAX: u64 = 32 * 1024;

/// The deepest folder of a run with logs, below the run's directory: `run/gateway-1`.
const LOG_DEPTH_MAX: usize = 3;

/// A run to be evaluated and rendered.
#[derive(Clone, Copy, Debug)]
pub(super) struct RenderedRun<'a> {
    pub(super) folder: &'a Path,
    pub(super) description: &'a Description,
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) outcome: &'a RunOutcome,
}

/// Where the reports go, in addition to the directory of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destinations<'a> {
    pub(super) copies: &'a [ReportFile],
    /// Standard output gets JSON instead of text.
    pub(super) is_json: bool,
}

/// Evaluates the run, prints the report, and writes it in every format.
pub(super) fn render(run: &RenderedRun<'_>, to: Destinations<'_>) -> Result<Verdict, Failure> {
    let ledger = Ledger::reconcile(run.scenario, run.plan, &run.outcome.run);
    let without_faults = run.plan.without_faults();
    let control = run.outcome.control.as_ref();
    let control = control.map(|history| Ledger::reconcile(run.scenario, &without_faults, history));
    let evaluation = evaluate(run.scenario, &ledger, control.as_ref());
    let report = report(run, &ledger, &evaluation);
    let printed = if to.is_json {
        ReportFormat::Json
    } else {
        ReportFormat::Text
    };
    output::print(rendered(run, &report, printed, true).trim_end());
    for (format, name) in ReportFormat::FILES {
        let text = rendered(run, &report, format, true);
        stored::write_file(&run.folder.join(name), &text)?;
    }
    for copy in to.copies {
        let text = rendered(run, &report, copy.format, false);
        stored::write_file(&copy.path, &text)?;
    }
    Ok(evaluation.verdict)
}

fn report<'a>(run: &RenderedRun<'a>, ledger: &'a Ledger, evaluation: &'a Evaluation) -> Report<'a> {
    Report {
        scenario: run.scenario,
        profiles: &run.description.profiles,
        is_placebo: run.description.is_placebo,
        plan: run.plan,
        ledger,
        evaluation,
        programs: &run.outcome.programs,
    }
}

fn rendered(
    run: &RenderedRun<'_>,
    report: &Report<'_>,
    format: ReportFormat,
    is_in_folder: bool,
) -> String {
    let command = &run.description.command;
    match format {
        ReportFormat::Text => text::render(report),
        ReportFormat::Json => json::render(report),
        ReportFormat::Junit => junit::render(report, command),
        ReportFormat::Html => html::render(
            report,
            &PageContext {
                command,
                logs: &logs(run.folder),
                is_in_folder,
            },
        ),
    }
}

/// The last lines of each log of the run. A log that cannot be read is left out: it is only evidence.
fn logs(folder: &Path) -> Vec<LogExcerpt> {
    let mut paths = Vec::new();
    find_logs(folder, "run", LOG_DEPTH_MAX, &mut paths);
    paths.sort();
    let first = paths.iter().take(LOGS_MAX);
    let excerpts = first.filter_map(|path| excerpt(folder, path));
    // The page counts the logs that it does not show.
    let rest = paths.iter().skip(LOGS_MAX).map(|path| LogExcerpt {
        path: path.clone(),
        bytes: 0,
        lines: Vec::new(),
    });
    excerpts.chain(rest).collect()
}

fn find_logs(folder: &Path, below: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let path = format!("{below}/{name}");
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        if is_folder && depth > 1 {
            find_logs(folder, &path, depth - 1, found);
        } else if Path::new(&name).extension().is_some_and(|it| it == "log") {
            found.push(path);
        }
    }
}

fn excerpt(folder: &Path, path: &str) -> Option<LogExcerpt> {
    let mut file = File::open(folder.join(path)).ok()?;
    let bytes = file.metadata().ok()?.len();
    let skipped = bytes.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped)).ok()?;
    let mut end = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let mut lines: Vec<String> = end.lines().map(str::to_owned).collect();
    if skipped > 0 && !lines.is_empty() {
        // The first line is incomplete.
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(LOG_LINES_MAX);
    Some(LogExcerpt {
        path: path.to_owned(),
        bytes,
        lines: lines.split_off(first),
    })
}
