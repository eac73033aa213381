//! Packet filters with a planted bug: a run in which a rule ends early or stays proves nothing, and must say so.

use steadfast_e2e::namespaces;

use crate::run::{Outcome, Run};

#[test]
fn rules_that_end_early_are_found_at_the_heal() {
    let Some(broken) = run(Some("ends-early")) else {
        return;
    };

    assert_eq!(broken.verdict(), "INCONCLUSIVE", "{broken}");
    let failed = broken.failed();
    assert!(failed.contains_key("faults-last"), "{broken}");
    let reasons = broken.reasons();
    let reason = "it had ended before the heal: its rules were changed";
    assert!(reasons.contains(reason), "{reasons}");
}

#[test]
fn rules_that_stay_after_the_heal_are_found() {
    let Some(broken) = run(Some("forgets-rules")) else {
        return;
    };

    assert_eq!(broken.verdict(), "INCONCLUSIVE", "{broken}");
    let reasons = broken.reasons();
    assert!(
        reasons.contains("after the heal no probe passed over "),
        "{reasons}"
    );
}

/// The findings of the other tests prove the planted bugs only if the real packet filter passes.
#[test]
fn the_real_packet_filter_passes() {
    let Some(correct) = run(None) else {
        return;
    };

    assert_eq!(correct.verdict(), "PASS", "{correct}");
}

/// Runs with a planted bug of the packet filter, or with the real one; `None` where namespaces cannot be created.
fn run(bug: Option<&str>) -> Option<Outcome> {
    let reason = namespaces::unavailable();
    // In CI a missing permission must not go unnoticed.
    assert!(
        reason.is_none() || std::env::var_os("CI").is_none(),
        "{reason:?}"
    );
    if reason.is_some() {
        return None;
    }
    let run = Run::new("partition", bug.unwrap_or("correct")).unwrap();
    let run = match bug {
        Some(bug) => run.search_first(&format!("nft/{bug}")).unwrap(),
        None => run,
    };
    Some(run.finish().unwrap())
}
