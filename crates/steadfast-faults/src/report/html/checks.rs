//! The checks and guards, and the evidence of each check that does not hold.

use super::{evidence, open_section, tables};
use crate::check::{CheckOutcome, CheckResult};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::report::text::label;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "checks", "Checks");
    let checks = &report.evaluation.checks;
    tables::open(
        page,
        "Checks with what was measured next to the limit",
        &["result", "check and its condition", "measured"],
    );
    for check in checks {
        page.open("tr", &[("class", &row_class(check))]);
        tables::cell(page, label(check));
        page.open("th", &[("scope", &"row")]);
        if has_evidence(check) {
            let target = format!("#check-{}", check.id);
            page.leaf("a", &[("href", &target)], &check.id);
        } else {
            page.say(&check.id);
        }
        page.leaf("code", &[("class", &"condition")], &check.that);
        page.close();
        tables::cell(page, check.measured());
        page.close();
    }
    tables::close(page);
    for check in checks.iter().filter(|it| has_evidence(it)) {
        evidence::write(page, report, check);
    }
    write_guards(page, report);
    page.close();
}

fn has_evidence(check: &CheckResult) -> bool {
    matches!(check.outcome, CheckOutcome::Fails | CheckOutcome::Unknown)
}

const fn row_class(check: &CheckResult) -> &'static str {
    match check.outcome {
        CheckOutcome::Holds | CheckOutcome::NotApplicable => "",
        CheckOutcome::Fails => "bad",
        CheckOutcome::Unknown => "unsure",
    }
}

fn write_guards(page: &mut Markup, report: &Report<'_>) {
    page.leaf(
        "h3",
        &[("id", &"guards")],
        "Guards: preconditions of any verdict",
    );
    tables::open(page, "Guards", &["result", "guard", "reason"]);
    for guard in &report.evaluation.guards {
        let class = if guard.violation.is_some() {
            "unsure"
        } else {
            ""
        };
        page.open("tr", &[("class", &class)]);
        let result = if guard.violation.is_some() {
            "NOT MET"
        } else {
            "met"
        };
        tables::cell(page, result);
        tables::heading(page, guard.name);
        tables::cell(page, guard.violation.as_deref().unwrap_or_default());
        page.close();
    }
    tables::close(page);
}
