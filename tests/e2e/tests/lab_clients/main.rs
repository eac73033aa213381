//! Clients of scenarios: a driver that the documents show, the adapters of the lab, and drivers that misbehave.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod adapters;
mod misbehaving;
mod requests;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use steadfast_e2e::binaries;
use steadfast_e2e::lab_run::LabRun;

/// The shortest phases in which a kill can be evaluated.
pub(crate) const PHASES: &str = r#"
[run]
baseline = "1s"
duration = "2s"
quiet = "2s"
drain = "1s"
control = "off"
stall = "4s"
"#;

/// Runs a scenario of these tables.
pub(crate) fn run(name: &str, tables: &str) -> Result<LabRun> {
    let phases = if tables.contains("[run]") { "" } else { PHASES };
    LabRun::of(name, &format!("{tables}{phases}"))
}

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> String {
    let path = binaries::root().join("tests/e2e/fixtures").join(name);
    path.to_string_lossy().into_owned()
}

/// Writes a driver into a directory of its own.
pub(crate) fn driver(name: &str, text: &str) -> Result<PathBuf> {
    let path = binaries::scratch(&format!("driver-{name}"))?.join("driver.py");
    fs::write(&path, text)?;
    Ok(path)
}

/// The driver that the documents show.
pub(crate) fn documented_driver() -> Result<String> {
    let page = binaries::root().join("docs/reference/driver-protocol.md");
    let page = fs::read_to_string(page)?;
    let (_, rest) = page
        .split_once("```python\n")
        .context("the page shows no driver")?;
    let (text, _) = rest.split_once("```").context("the driver has no end")?;
    Ok(text.to_owned())
}
