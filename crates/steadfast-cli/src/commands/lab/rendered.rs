//! The reports of a run as files: all formats in the directory of the run, and copies at the paths of `--report`.

use std::path::Path;

use steadfast_faults::ledger::Ledger;
use steadfast_faults::report::html::{self, PageContext};
use steadfast_faults::report::{Report, json, junit, text};
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::verdict::{Evaluation, Verdict, evaluate};
use steadfast_lab::runner::RunOutcome;

use super::logs;
use super::stored::{self, Description};
use crate::args::{ReportFile, ReportFormat};
use crate::exit::Failure;
use crate::output;

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
                logs: &logs::last_lines(run.folder),
                fault_logs: &logs::of_faults(run.folder, report),
                is_in_folder,
            },
        ),
    }
}
