//! The ledger against gateways that each break one promise: it must find every one, for the right reason.

use anyhow::Result;
use steadfast_e2e::binaries;
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::verdict::Verdict;

#[test]
fn the_ledger_catches_a_gateway_that_acknowledges_before_the_write() {
    let verdict = verdict_on("acks-before-write").unwrap();
    println!("{verdict}");

    assert!(verdict.count("lost") > 0, "{verdict}");
}

#[test]
fn the_ledger_catches_a_gateway_that_skips_recovery() {
    let verdict = verdict_on("skips-recovery").unwrap();
    println!("{verdict}");

    assert!(verdict.count("lost") > 0, "{verdict}");
    // It claims that nothing is missing, which is what makes it dangerous.
    assert_eq!(verdict.count("not recovered"), 0, "{verdict}");
    assert!(verdict.counts.resumed > 0, "{verdict}");
}

#[test]
fn the_ledger_catches_a_gateway_that_forgets_keys_over_a_restart() {
    let verdict = verdict_on("forgets-dedupe").unwrap();
    println!("{verdict}");

    assert!(verdict.count("applied twice") > 0, "{verdict}");
    assert_eq!(verdict.count("lost"), 0, "{verdict}");
}

#[test]
fn the_ledger_catches_a_gateway_that_gives_an_offset_twice() {
    let verdict = verdict_on("reuses-offset").unwrap();
    println!("{verdict}");

    assert!(verdict.count("offsets given twice") > 0, "{verdict}");
}

/// What the others find is the twins' doing only if this plan finds nothing in the gateway itself.
#[test]
fn the_ledger_finds_nothing_in_a_gateway_that_breaks_no_promise() {
    let verdict = kills::run(binaries::gateway().unwrap(), "no-twin", &Plan::twin()).unwrap();
    println!("{verdict}");

    assert!(verdict.holds(), "{verdict}");
}

/// Runs the twin over kills and restarts; the run must come to an end, whatever the twin breaks.
fn verdict_on(twin: &str) -> Result<Verdict> {
    kills::run(binaries::twin(twin)?, twin, &Plan::twin())
}
