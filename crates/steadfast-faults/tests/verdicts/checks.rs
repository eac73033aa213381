//! What the report says about each check: the measured value next to its limit, and whether the condition was tested.

use steadfast_faults::check::{CheckOutcome, CheckResult};
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::verdict::{Evaluation, Verdict};

use crate::run::{Run, healthy};

#[test]
fn every_check_shows_what_was_measured_next_to_its_limit() {
    for (that, measured) in [
        ("delivery.lost == 0", "0 lost of 1,792 expected deliveries"),
        (
            "delivery.lost > 5",
            "0 lost of 1,792 expected deliveries, must be > 5",
        ),
        ("recovery.total max < 6s", "327 ms < 6 s (max of 8 samples)"),
        (
            "recovery.total p50 <= 1s",
            "327 ms <= 1 s (max of 8 samples, too few for p50)",
        ),
        (
            "recovery.total{kind=centrifuge} max <= 1s",
            "327 ms <= 1 s (max of 2 samples, kind=centrifuge)",
        ),
        (
            "clients.reconnected / clients.affected == 100%",
            "4 reconnected of 4 affected clients = 100 %",
        ),
        (
            "clients.never_disconnected + clients.reconnected == clients.total",
            "4 never disconnected clients + 4 reconnected clients = 8 clients",
        ),
        (
            "stalls.total + disconnects.attributed > 0",
            "0 stalls + 8 attributed disconnects > 0",
        ),
        ("delivery.ratio_at_stop >= 95%", "99.77 % >= 95 %"),
        ("faults.planned == 1", "2 planned faults, must be 1"),
        (
            "attempts.per_recovery max <= 20",
            "2 attempts <= 20 (max of 8 samples)",
        ),
        ("attempts.per_recovery count >= 1", "8 samples >= 1"),
        (
            "offsets.gap_reported == 0 and offsets.reused == 1",
            "0 reported gaps; 0 reused offsets, must be 1",
        ),
        ("recovery.stall max <= 2s", "no samples, must be <= 2 s"),
    ] {
        let evaluation = with_check(that, "").evaluate();

        assert_eq!(evaluation.checks[0].measured(), measured, "{that}");
    }
}

#[test]
fn a_check_without_samples_is_unknown_fails_or_is_not_applicable_but_never_holds() {
    for (no_data, outcome, verdict) in [
        ("", CheckOutcome::Unknown, Verdict::Inconclusive),
        ("unknown", CheckOutcome::Unknown, Verdict::Inconclusive),
        ("fail", CheckOutcome::Fails, Verdict::Fail),
        ("not-applicable", CheckOutcome::NotApplicable, Verdict::Pass),
    ] {
        let run = with_check("recovery.stall max <= 2s", no_data);

        let evaluation = run.evaluate();

        assert_eq!(first(&evaluation).outcome, outcome, "{no_data}");
        assert_eq!(evaluation.verdict, verdict, "{no_data}");
    }
}

#[test]
fn a_condition_of_which_one_part_was_not_tested_does_not_hold() {
    let that = "delivery.lost == 0 and recovery.stall max <= 2s";
    let untested = with_check(that, "not-applicable").evaluate();
    let failed = with_check(
        "delivery.lost > 0 and recovery.stall max <= 2s",
        "not-applicable",
    );

    assert_eq!(first(&untested).outcome, CheckOutcome::NotApplicable);
    assert_eq!(
        first(&failed.evaluate()).outcome,
        CheckOutcome::Fails,
        "the part that was tested fails"
    );
}

#[test]
fn a_run_in_which_no_required_check_was_applicable_proves_nothing() {
    let mut run = with_check("recovery.stall max <= 2s", "not-applicable");
    run.scenario = only_first_check(&run);

    let evaluation = run.evaluate();

    assert_eq!(evaluation.verdict, Verdict::Inconclusive);
    assert_eq!(
        evaluation.reasons,
        ["no required check was applicable".to_owned()]
    );
}

fn first(evaluation: &Evaluation) -> &CheckResult {
    evaluation.checks.first().unwrap()
}

/// A healthy run with one more check in the first place.
fn with_check(that: &str, no_data: &str) -> Run {
    let mut run = healthy();
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    let no_data = if no_data.is_empty() {
        String::new()
    } else {
        format!("no_data = \"{no_data}\"\n")
    };
    let check = format!("[[check]]\nid = \"added\"\nthat = \"{that}\"\n{no_data}\n[[check]]\n");
    run.scenario = parse(&text.replacen("[[check]]\n", &check, 1));
    run
}

/// The scenario of the run without all checks after the first.
fn only_first_check(run: &Run) -> Scenario {
    let first = &run.scenario.checks().first().unwrap().that;
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    let (before, _) = text.split_once("[[check]]\n").unwrap();
    parse(&format!(
        "{before}[[check]]\nthat = \"{first}\"\nno_data = \"not-applicable\"\n"
    ))
}

fn parse(text: &str) -> Scenario {
    let options = ScenarioOptions {
        profiles: vec!["short".to_owned()],
        params: Vec::new(),
    };
    Scenario::parse("gateway-kill.toml", text, &options).unwrap()
}
