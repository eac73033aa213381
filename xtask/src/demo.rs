//! `make run`: builds and starts the demo from a fresh clone, with progress.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::setup;
use crate::tools::{command, run as execute, say};

/// Builds the page and the program, and replaces this process with the program; returns only on failure.
///
/// # Errors
///
/// When something cannot be installed, built or started.
pub(crate) fn run() -> Result<()> {
    say("1/3 page: install packages and build");
    setup::npm_packages("web/package-lock.json")?;
    execute("npm", &["--prefix", "web", "run", "--silent", "build"])?;
    say("2/3 program: compile; the first build takes a few minutes on two cores");
    execute(
        "cargo",
        &["build", "--locked", "--release", "--bin", "steadfast"],
    )?;
    say("3/3 start");
    Err(command("target/release/steadfast")
        .arg("demo")
        .exec()
        .into())
}
