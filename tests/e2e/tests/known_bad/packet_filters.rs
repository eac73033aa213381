//! Packet filters with a planted bug: a run in which a rule ends early or stays proves nothing, and must say so.

use std::thread;

use crate::run::{Outcome, Run};
use steadfast_e2e::namespaces;

#[test]
fn rules_that_end_early_are_found_at_the_heal() {
    let Some((broken, correct)) = pair("ends-early") else {
        return;
    };

    assert_eq!(correct.verdict(), "PASS", "{correct}");
    assert_eq!(broken.verdict(), "INCONCLUSIVE", "{broken}");
    let failed = broken.failed();
    assert!(failed.contains_key("faults-last"), "{broken}");
    let reasons = broken.reasons();
    let reason = "it had ended before the heal: its rules were changed";
    assert!(reasons.contains(reason), "{reasons}");
}

#[test]
fn rules_that_stay_after_the_heal_are_found() {
    let Some((broken, correct)) = pair("forgets-rules") else {
        return;
    };

    assert_eq!(correct.verdict(), "PASS", "{correct}");
    assert_eq!(broken.verdict(), "INCONCLUSIVE", "{broken}");
    let reasons = broken.reasons();
    assert!(
        reasons.contains("after the heal no probe passed over "),
        "{reasons}"
    );
}

/// Runs with this packet filter and with the real one; `None` where namespaces cannot be created.
fn pair(bug: &str) -> Option<(Outcome, Outcome)> {
    let reason = namespaces::unavailable();
    // In CI a missing permission must not go unnoticed.
    assert!(
        reason.is_none() || std::env::var_os("CI").is_none(),
        "{reason:?}"
    );
    if reason.is_some() {
        return None;
    }
    let broken = Run::new("partition", bug).unwrap();
    let broken = broken.search_first(&format!("nft/{bug}")).unwrap();
    let correct = Run::new("partition", &format!("no-{bug}")).unwrap();
    Some(thread::scope(|scope| {
        let broken = scope.spawn(|| broken.finish().unwrap());
        let correct = correct.finish().unwrap();
        (broken.join().unwrap(), correct)
    }))
}
