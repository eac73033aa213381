//! Runs rendered in a format, and elements of the result.

use roxmltree::{Document, Node};
use steadfast_faults::report::html::{self, FaultLog, LogExcerpt, PageContext};
use steadfast_faults::report::{ProgramVersion, Report, junit};

use crate::run::Run;

pub(crate) const COMMAND: &str = "steadfast lab run 'a b.toml' --seed 7";

pub(crate) fn page_of(run: &Run, logs: &[LogExcerpt]) -> String {
    page_with(run, logs, &[])
}

pub(crate) fn page_with(run: &Run, logs: &[LogExcerpt], fault_logs: &[FaultLog]) -> String {
    let context = PageContext {
        command: COMMAND,
        logs,
        fault_logs,
        is_in_folder: true,
    };
    rendered(run, |report| html::render(report, &context))
}

pub(crate) fn junit_of(run: &Run) -> String {
    rendered(run, |report| junit::render(report, COMMAND))
}

pub(crate) fn rendered(run: &Run, render: impl FnOnce(&Report<'_>) -> String) -> String {
    let (ledger, evaluation) = (run.ledger(), run.evaluate());
    render(&Report {
        scenario: &run.scenario,
        profiles: &["short".to_owned()],
        is_placebo: false,
        plan: &run.plan,
        ledger: &ledger,
        evaluation: &evaluation,
        programs: &[ProgramVersion {
            service: "gateway".to_owned(),
            program: "/usr/bin/<gateway>".to_owned(),
            version: "gateway 1.2 & 3".to_owned(),
        }],
    })
}

/// The page is XML too, so that a parser finds each element that is not closed.
pub(crate) fn parsed(page: &str) -> Document<'_> {
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    Document::parse(page).unwrap()
}

pub(crate) fn element<'a>(document: &'a Document<'a>, name: &str) -> Node<'a, 'a> {
    let mut found = document.descendants().filter(|it| it.has_tag_name(name));
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "one {name}");
    first
}
