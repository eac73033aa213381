//! The shipped scenario `truenas-field-report` with clients that have a planted bug: each is found by the check that names
//! the bug. The same client without a bug passes.

use std::fs;

use anyhow::{Context as _, Result};
use steadfast_e2e::binaries;

use crate::run::{Outcome, Run};

/// Parameters of the scenario with their values.
type Params = &'static [(&'static str, &'static str)];

const SHORT: Params = &[];
/// Longer than five attempts take.
const LONG: Params = &[("hold", "24s"), ("duration", "25s")];

/// The line of each load that selects the client.
const DRIVER: &str = "driver = \"truenas\"";

#[test]
fn a_client_that_never_pings_is_found() {
    // Writes fill no buffer within the time of the fault, and nothing else notices silence.
    assert_found("never-pings", SHORT, "noticed-in-time");
}

#[test]
fn a_client_that_gives_up_after_five_attempts_is_found() {
    assert_found(
        "gives-up-after-five",
        LONG,
        "all-affected-clients-reconnected",
    );
}

#[test]
fn a_client_that_repeats_a_create_is_found() {
    assert_found("resends-lost-requests", SHORT, "no-write-executed-twice");
}

/// The findings of the other tests prove the planted bugs only if the client without them passes.
#[test]
fn the_client_without_a_bug_passes_in_the_scenario_of_the_field_report() {
    let correct = run("correct-truenas", "", SHORT).unwrap();

    assert_eq!(correct.verdict(), "PASS", "{correct}");
}

/// At least this check fails with the bug: a client that stays away fails others too.
fn assert_found(bug: &str, fault: Params, check: &str) {
    let broken = run(&format!("truenas-{bug}"), bug, fault).unwrap();

    assert_eq!(broken.verdict(), "FAIL", "{broken}");
    assert!(broken.failed().contains_key(check), "{broken}");
}

/// The scenario as it is shipped, with another client in place of the library.
fn run(name: &str, bug: &str, params: Params) -> Result<Outcome> {
    let client = binaries::known_bad("broken-client")?;
    let client = client.to_str().context("the path is not UTF-8")?;
    let text = fs::read_to_string(binaries::root().join("scenarios/truenas-field-report.toml"))?;
    let program = format!("driver = \"exec\"\ncmd = \"{client}\"\nargs = [\"{bug}\", \"truenas\"]");
    let text = text.replace(DRIVER, &program);
    // The control run proves nothing about a bug.
    let text = text.replace("control = \"before\"", "control = \"off\"");
    let folder = binaries::scratch(&format!("known-bad-file-{name}"))?;
    let file = folder.join("truenas-field-report.toml");
    fs::write(&file, text)?;
    let run = Run::of_file(&file, name)?.profile("short");
    let run = params
        .iter()
        .fold(run, |run, (name, value)| run.param(name, value));
    run.finish()
}
