//! `make run`: from a fresh clone to a page that can be drawn on, saying what it is doing while it takes its time.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::setup;
use crate::tools::{command, run as carry_out, say};

/// Builds the page and the program, and becomes it; comes back only with the reason why not.
///
/// # Errors
///
/// When something cannot be installed, built or started.
pub(crate) fn run() -> Result<()> {
    say("1/3 the page: installs its packages and builds it");
    setup::npm_packages("web/package-lock.json")?;
    carry_out("npm", &["--prefix", "web", "run", "--silent", "build"])?;
    say("2/3 the program: compiles it; the first time takes a few minutes on two cores");
    carry_out(
        "cargo",
        &["build", "--locked", "--release", "--bin", "steadfast"],
    )?;
    say("3/3 starts it");
    Err(command("target/release/steadfast")
        .arg("demo")
        .exec()
        .into())
}
