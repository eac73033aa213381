//! Fixed seeds keep every promise, and a broken promise is noticed with a seed that reproduces it.

use steadfast_sim::reference::Promise;
use steadfast_sim::{Mutation, explore, run};

/// More than any mutation has needed so far; see the counts that a failing test prints.
const SEEDS: u64 = 60;

#[test]
fn every_promise_is_kept_although_links_break_and_the_power_fails() {
    let report = explore(0..SEEDS, None, |_| {});

    assert!(report.is_convincing(), "{report}");
}

/// Both: a segment was removed while it was read.
#[test]
fn a_seed_that_once_broke_a_promise_keeps_it() {
    for seed in [24, 350] {
        assert_eq!(run(seed, None).violations, [], "seed {seed}");
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in [1, 7, 23] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn a_sync_that_is_not_done_loses_what_was_acknowledged() {
    check(
        Mutation::NoSync,
        &[
            Promise::NothingAcknowledgedIsLost,
            Promise::APlaceHoldsOnePublication,
            Promise::TheLogOpens,
        ],
    );
}

#[test]
fn keys_that_never_reach_the_log_are_applied_twice() {
    check(Mutation::NoDedupe, &[Promise::NothingIsAppliedTwice]);
}

#[test]
fn positions_that_are_not_checked_recover_over_a_hole() {
    check(
        Mutation::NoPositionCheck,
        &[
            Promise::RecoveredMeansWhole,
            Promise::APlaceHoldsOnePublication,
        ],
    );
}

#[test]
fn frames_that_overtake_each_other_break_the_order() {
    check(
        Mutation::NoOrder,
        &[Promise::OrderIsKept, Promise::NothingIsDeliveredTwice],
    );
}

#[test]
fn what_retention_does_not_hide_is_seen() {
    check(Mutation::NoRetention, &[Promise::RetentionKeepsWhatItSays]);
}

/// The mutation breaks one of the promises in some seed, and that seed breaks it again.
fn check(mutation: Mutation, promises: &[Promise]) {
    let finding = (0..SEEDS)
        .map(|seed| run(seed, Some(mutation)))
        .find(|finding| !finding.violations.is_empty())
        .unwrap_or_else(|| panic!("no seed noticed {mutation:?}"));
    let broken = finding
        .violations
        .first()
        .map(|violation| violation.promise);
    assert!(
        broken.is_some_and(|promise| promises.contains(&promise)),
        "{:?}",
        finding.violations
    );
    assert_eq!(run(finding.seed, Some(mutation)), finding);
}
