//! Gateways with a planted bug: the ledger must detect each of them, for the right reason.

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
    // The gateway reports recovery, which makes this bug dangerous.
    assert_eq!(verdict.count("not recovered"), 0, "{verdict}");
    assert!(verdict.counts.resumed > 0, "{verdict}");
}

#[test]
fn the_ledger_catches_a_gateway_that_forgets_keys_at_a_restart() {
    let verdict = verdict_on("forgets-keys").unwrap();
    println!("{verdict}");

    assert!(verdict.count("applied twice") > 0, "{verdict}");
    assert_eq!(verdict.count("lost"), 0, "{verdict}");
}

#[test]
fn the_ledger_catches_a_gateway_that_reuses_an_offset() {
    let verdict = verdict_on("reuses-offset").unwrap();
    println!("{verdict}");

    assert!(verdict.count("offsets reused") > 0, "{verdict}");
}

/// The findings of the other tests prove the planted bugs only if the same plan finds nothing in the gateway itself.
#[test]
fn the_ledger_finds_nothing_in_the_gateway_itself() {
    let verdict = kills::run(binaries::gateway().unwrap(), "no-bug", &Plan::known_bad()).unwrap();
    println!("{verdict}");

    assert!(verdict.holds(), "{verdict}");
}

/// Runs a known-bad build over kills and restarts; the run must end, whatever the planted bug is.
fn verdict_on(name: &str) -> Result<Verdict> {
    kills::run(binaries::known_bad(name)?, name, &Plan::known_bad())
}
