//! Changes one place of a crate at a time, and reports each change that no test of the crate notices.
//!
//! `.cargo/mutants.toml` has the settings, and the changes that are not made with the reason of each.

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::tools::{command, say};

/// The folder of the results. A run that was interrupted continues from them.
const RESULTS: &str = "target/mutants";

/// The crate whose tests are tested unless another one is named.
const DEFAULT_CRATE: &str = "steadfast-core";

/// The exit codes of `cargo-mutants`: a test failed after each change; no test noticed one; after one, a test did not end.
const ALL_NOTICED: i32 = 0;
const SOME_MISSED: i32 = 2;
const SOME_TIMED_OUT: i32 = 3;

/// Tests the tests of a crate. The first argument is its name; all others are passed to `cargo mutants`.
///
/// A change that an earlier run found to be noticed is not made again: remove [`RESULTS`] to begin again.
///
/// # Errors
///
/// When `cargo-mutants` cannot be installed, when the tests fail without a change, or when no test noticed a change.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (package, options) = package(arguments);
    let program = setup::mutants_tool()?;
    say(&format!("mutants: {package}; the results are in {RESULTS}"));
    // As if cargo had started it, it expects the name of its command first.
    let status = command(program)
        .args(["mutants", "--package", package, "--iterate"])
        .args(["--output", RESULTS])
        .args(options)
        .status()
        .context("failed to start cargo-mutants")?;
    match status.code() {
        Some(ALL_NOTICED | SOME_TIMED_OUT) => Ok(()),
        Some(SOME_MISSED) => {
            bail!("changes that no test noticed: {RESULTS}/mutants.out/missed.txt lists them")
        }
        _ => bail!("cargo-mutants failed: {status}"),
    }
}

/// The crate, and the options for `cargo mutants`.
fn package(arguments: &[String]) -> (&str, &[String]) {
    match arguments.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first, rest),
        _ => (DEFAULT_CRATE, arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_need_no_crate() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };

        let arguments = words("steadfast-hub --file hub.rs");
        assert_eq!(package(&arguments), ("steadfast-hub", &arguments[1..]));
        let arguments = words("--list");
        assert_eq!(package(&arguments), (DEFAULT_CRATE, &arguments[..]));
        assert_eq!(package(&[]), (DEFAULT_CRATE, &[][..]));
    }
}
