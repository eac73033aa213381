//! Fixed seeds of the world of calls violate no invariant, and every planted bug is detected.

use steadfast_sim::Verdict;
use steadfast_sim::calls::{Invariant, PlantedBug, Report, run};

/// More seeds than any planted bug has needed so far. A failing test prints the counts.
const SEEDS: u64 = 120;

#[test]
fn no_write_is_executed_twice_and_none_that_was_reported_as_not_executed() {
    let mut report = Report::default();
    for seed in 0..SEEDS {
        report.add(run(seed, None));
    }

    assert_eq!(report.verdict(), Verdict::Pass, "{report}");
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in [1, 7, 23] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn a_session_that_resends_interrupted_writes_executes_one_twice() {
    check(
        PlantedBug::ResendsInterruptedWrites,
        &[Invariant::WritesExecutedOnce],
    );
}

#[test]
fn a_call_that_was_sent_and_is_reported_as_not_sent_is_found() {
    check(
        PlantedBug::SentAsNotSent,
        &[Invariant::NotExecutedAsReported],
    );
}

#[test]
fn a_forgotten_call_is_found() {
    check(
        PlantedBug::ForgetsPendingCalls,
        &[Invariant::OneOutcomePerCall],
    );
}

#[test]
fn a_call_without_a_reply_that_is_reported_as_executed_is_found() {
    check(
        PlantedBug::InterruptedAsDone,
        &[Invariant::ResultsAreOfExecutions],
    );
}

#[test]
fn a_result_of_another_call_is_found() {
    check(PlantedBug::SwapsResults, &[Invariant::ResultsMatchCalls]);
}

#[test]
fn a_call_that_ends_after_its_deadline_is_found() {
    check(PlantedBug::LateDeadlines, &[Invariant::OutcomesInTime]);
}

#[test]
fn a_session_that_does_not_notice_a_silent_server_does_not_return() {
    check(PlantedBug::NoLiveness, &[Invariant::SessionsReturn]);
}

#[test]
fn sessions_that_log_in_as_often_as_they_connect_exceed_the_limit_of_the_server() {
    check(PlantedBug::NoLoginBudget, &[Invariant::LoginsPermitted]);
}

/// Some seed must detect the bug, and each that does must violate one of these first.
fn check(planted_bug: PlantedBug, expected: &[Invariant]) {
    let mut detected = 0;
    for seed in 0..SEEDS {
        let result = run(seed, Some(planted_bug));
        if let Some(first) = result.violations.first() {
            assert!(expected.contains(&first.invariant), "seed {seed}: {first}");
            detected += 1;
        }
        if detected == 3 {
            return;
        }
    }
    panic!("{detected} of {SEEDS} seeds detected it");
}
