//! The top of the page: the verdict in a sentence, its reasons, the decisive numbers, and the command that repeats the
//! run.

use super::{PageContext, time};
use crate::check::{CheckOutcome, samples};
use crate::counted::{counted_len, grouped};
use crate::ledger::{ClientOutcome, ClientStats};
use crate::metrics::{Metric, MetricFilter};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::samples::Aggregate;
use crate::scenario::model::CheckLevel;
use crate::verdict::Verdict;

/// The most reasons that are listed.
const REASONS_MAX: usize = 30;

pub(super) fn write(page: &mut Markup, report: &Report<'_>, context: &PageContext<'_>) {
    let verdict = report.evaluation.verdict;
    let class = match verdict {
        Verdict::Pass => "verdict pass",
        Verdict::Fail => "verdict fail",
        Verdict::Inconclusive => "verdict inconclusive",
    };
    page.open("header", &[]);
    page.open("h1", &[("class", &class)]);
    page.leaf("strong", &[], verdict.name());
    page.say(format!(": {}", sentence(report)));
    page.close();
    page.leaf("p", &[], report.scenario.about());
    page.leaf("p", &[("class", &"run")], of_run(report));
    if report.is_placebo {
        page.leaf(
            "p",
            &[],
            "Placebo: faults were reported, and none was injected.",
        );
    }
    write_reasons(page, report);
    write_numbers(page, report);
    page.leaf("h2", &[("id", &"repeat")], "Run it again");
    page.open("pre", &[]);
    page.leaf("code", &[], context.command);
    page.close();
    write_contents(page);
    page.close();
}

/// The scenario with everything that determines its plan.
fn of_run(report: &Report<'_>) -> String {
    let mut parts = vec![report.scenario.name().to_owned()];
    parts.extend(report.profiles.iter().map(|it| format!("profile {it}")));
    parts.push(format!("seed {}", report.plan.seed()));
    let params = report.scenario.params().iter();
    parts.extend(params.map(|(name, value)| format!("{name} {value}")));
    parts.push(format!("lasted {}", time(report.ledger.duration())));
    parts.join(", ")
}

fn sentence(report: &Report<'_>) -> String {
    let checks = report.evaluation.checks.iter();
    let required: Vec<_> = checks.filter(|it| it.level == CheckLevel::Must).collect();
    let of_outcome = |outcome| required.iter().filter(move |it| it.outcome == outcome);
    let total = counted_len(required.len(), "required check", "required checks");
    match report.evaluation.verdict {
        Verdict::Pass => {
            let untested = of_outcome(CheckOutcome::NotApplicable).count();
            let untested = match untested {
                0 => String::new(),
                untested => format!(" ({untested} not applicable)"),
            };
            format!("no violation of {total}{untested}, under every precondition")
        }
        Verdict::Fail => {
            let failed = of_outcome(CheckOutcome::Fails).count();
            format!("{failed} of {total} violated")
        }
        Verdict::Inconclusive => {
            "the run proves nothing, because a precondition is not met".to_owned()
        }
    }
}

fn write_reasons(page: &mut Markup, report: &Report<'_>) {
    let reasons = &report.evaluation.reasons;
    if reasons.is_empty() {
        return;
    }
    page.open("ul", &[("class", &"reasons")]);
    for reason in reasons.iter().take(REASONS_MAX) {
        page.open("li", &[]);
        page.leaf("a", &[("href", &evidence_of(report, reason))], reason);
        page.close();
    }
    page.close();
    super::tables::write_cut(
        page,
        REASONS_MAX,
        reasons.len(),
        "more reason",
        "more reasons",
    );
}

/// The evidence of the check that a reason names, else the guards.
fn evidence_of(report: &Report<'_>, reason: &str) -> String {
    let name = reason.split(": ").next().unwrap_or_default();
    let checks = &report.evaluation.checks;
    if checks.iter().any(|it| it.id == name) {
        format!("#check-{name}")
    } else {
        "#guards".to_owned()
    }
}

fn write_numbers(page: &mut Markup, report: &Report<'_>) {
    let clients = &report.ledger.clients;
    let sum = |pick: fn(&ClientStats) -> u64| clients.iter().map(pick).sum::<u64>();
    let affected = clients
        .iter()
        .filter(|it| it.connections.outcome.is_affected());
    let reconnected = clients
        .iter()
        .filter(|it| it.connections.outcome == ClientOutcome::Reconnected);
    let effective = report.ledger.faults.iter().filter(|it| it.is_effective());
    let slowest = samples(
        Metric::RecoveryTotal,
        &MetricFilter::default(),
        report.ledger,
    )
    .and_then(|samples| samples.aggregate(Aggregate::Max));
    let numbers = [
        (
            "affected clients that reconnected",
            format!("{} of {}", reconnected.count(), affected.count()),
        ),
        (
            "expected deliveries lost",
            format!(
                "{} of {}",
                grouped(sum(|it| it.delivery.lost)),
                grouped(sum(|it| it.delivery.expected))
            ),
        ),
        (
            "duplicate deliveries",
            grouped(sum(|it| it.delivery.duplicate)),
        ),
        (
            "reordered deliveries",
            grouped(sum(|it| it.delivery.reordered)),
        ),
        (
            "slowest recovery",
            slowest.map_or_else(|| "none".to_owned(), |it| it.to_string()),
        ),
        (
            "faults that took effect",
            format!("{} of {}", effective.count(), report.ledger.faults.len()),
        ),
    ];
    page.open("dl", &[("class", &"numbers")]);
    for (name, value) in numbers {
        page.open("div", &[]);
        page.leaf("dt", &[], name);
        page.leaf("dd", &[], value);
        page.close();
    }
    page.close();
}

fn write_contents(page: &mut Markup) {
    const SECTIONS: [(&str, &str); 12] = [
        ("#timeline", "Connected clients"),
        ("#checks", "Checks"),
        ("#traffic", "Traffic"),
        ("#latency", "Latency"),
        ("#recovery", "Recovery"),
        ("#clients", "Most affected clients"),
        ("#messages", "Violations by delivery"),
        ("#requests", "Requests"),
        ("#faults", "Faults"),
        ("#programs", "Programs"),
        ("#totals", "All metrics"),
        ("#logs", "Logs"),
    ];
    page.open("nav", &[("aria-label", &"Sections")]);
    for (target, name) in SECTIONS {
        page.leaf("a", &[("href", &target)], name);
        page.constant(" ");
    }
    page.close();
}
