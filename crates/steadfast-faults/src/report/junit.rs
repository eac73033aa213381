//! The report as JUnit XML, as CI systems read it: one test case for each check and each guard.
//!
//! A required check that fails is a `failure`. What makes a run INCONCLUSIVE, such as a guard that is not met, is an
//! `error`. A check that was not applicable is `skipped`. A check of level `should` or `info` never fails a build, so
//! its result is only in its output.

use std::time::Duration;

use crate::check::{CheckOutcome, CheckResult};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::scenario::model::CheckLevel;
use crate::verdict::Verdict;
use crate::verdict::guards::Guard;

/// What a test case contains.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Undecided(String),
    Skipped(String),
}

struct Case {
    group: &'static str,
    name: String,
    outcome: Outcome,
    output: String,
}

/// Renders the report as JUnit XML. `command` repeats the run.
pub fn render(report: &Report<'_>, command: &str) -> String {
    let is_inconclusive = report.evaluation.verdict == Verdict::Inconclusive;
    let checks = report.evaluation.checks.iter();
    let mut cases: Vec<Case> = checks.map(|it| of_check(it, is_inconclusive)).collect();
    cases.extend(report.evaluation.guards.iter().map(of_guard));
    cases.extend(of_verdict(report, &cases));
    let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|it| is(&it.outcome)).count();
    let failures = count(|it| matches!(it, Outcome::Failed(_)));
    let errors = count(|it| matches!(it, Outcome::Undecided(_)));
    let skipped = count(|it| matches!(it, Outcome::Skipped(_)));
    let time = seconds(report.ledger.duration());
    let name = report.scenario.name();
    let mut page = Markup::new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    page.open(
        "testsuites",
        &[
            ("name", &"steadfast lab"),
            ("tests", &cases.len()),
            ("failures", &failures),
            ("errors", &errors),
            ("time", &time),
        ],
    );
    page.open(
        "testsuite",
        &[
            ("name", &name),
            ("tests", &cases.len()),
            ("failures", &failures),
            ("errors", &errors),
            ("skipped", &skipped),
            ("time", &time),
        ],
    );
    write_properties(&mut page, report, command);
    for case in &cases {
        write_case(&mut page, name, case);
    }
    page.leaf("system-out", &[], format!("Run it again: {command}"));
    page.finish()
}

fn write_properties(page: &mut Markup, report: &Report<'_>, command: &str) {
    page.open("properties", &[]);
    let mut property = |name: &str, value: &str| {
        page.empty("property", &[("name", &name), ("value", &value)]);
    };
    property("verdict", report.evaluation.verdict.name());
    property("seed", &report.plan.seed().to_string());
    property("profiles", &report.profiles.join(","));
    property("placebo", &report.is_placebo.to_string());
    property("command", command);
    for program in report.programs {
        property(&format!("program.{}", program.service), &program.version);
    }
    for (name, value) in report.scenario.params() {
        property(&format!("param.{name}"), value);
    }
    page.close();
}

fn write_case(page: &mut Markup, scenario: &str, case: &Case) {
    let group = format!("{scenario}.{}", case.group);
    page.open(
        "testcase",
        &[("classname", &group), ("name", &case.name), ("time", &0)],
    );
    match &case.outcome {
        Outcome::Passed => {}
        Outcome::Failed(reason) => {
            page.leaf("failure", &[("message", reason), ("type", &"FAIL")], reason);
        }
        Outcome::Undecided(reason) => {
            let attributes: [(_, &dyn std::fmt::Display); 2] =
                [("message", reason), ("type", &"INCONCLUSIVE")];
            page.leaf("error", &attributes, reason);
        }
        Outcome::Skipped(reason) => page.empty("skipped", &[("message", reason)]),
    }
    if !case.output.is_empty() {
        page.leaf("system-out", &[], &case.output);
    }
    page.close();
}

/// In an INCONCLUSIVE run, a check that fails is no failure of the system: the harness may be its cause.
fn of_check(check: &CheckResult, is_inconclusive: bool) -> Case {
    let measured = check.measured();
    let reason = format!("{measured} (condition: {})", check.that);
    let outcome = match (check.outcome, check.level) {
        (CheckOutcome::NotApplicable, _) => Outcome::Skipped(reason),
        (CheckOutcome::Holds, _) => Outcome::Passed,
        (CheckOutcome::Fails, CheckLevel::Must) if is_inconclusive => Outcome::Undecided(reason),
        (CheckOutcome::Fails, CheckLevel::Must) => Outcome::Failed(reason),
        (CheckOutcome::Unknown, CheckLevel::Must) => Outcome::Undecided(reason),
        (CheckOutcome::Fails | CheckOutcome::Unknown, CheckLevel::Should | CheckLevel::Info) => {
            Outcome::Passed
        }
    };
    Case {
        group: "check",
        name: check.id.clone(),
        outcome,
        output: format!(
            "{} {}: {measured}",
            check.level.name(),
            check.outcome.name()
        ),
    }
}

fn of_guard(guard: &Guard) -> Case {
    let outcome = guard.violation.clone().map(Outcome::Undecided);
    Case {
        group: "guard",
        name: guard.name.to_owned(),
        outcome: outcome.unwrap_or(Outcome::Passed),
        output: String::new(),
    }
}

/// A case of its own if the verdict is not PASS and no other case says why, so that no CI system shows such a run as
/// passed.
fn of_verdict(report: &Report<'_>, cases: &[Case]) -> Option<Case> {
    let reasons = report.evaluation.reasons.join("\n");
    let outcome = match report.evaluation.verdict {
        Verdict::Pass => return None,
        Verdict::Fail => Outcome::Failed(reasons),
        Verdict::Inconclusive => Outcome::Undecided(reasons),
    };
    let is_stated = cases
        .iter()
        .any(|it| matches!(it.outcome, Outcome::Failed(_) | Outcome::Undecided(_)));
    (!is_stated).then(|| Case {
        group: "verdict",
        name: report.evaluation.verdict.name().to_owned(),
        outcome,
        output: String::new(),
    })
}

/// With three decimals, as JUnit requires.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}
