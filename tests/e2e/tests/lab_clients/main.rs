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
use serde_json::Value;
use steadfast_e2e::binaries;

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) exit: Option<i32>,
    /// What the lab printed on standard error.
    pub(crate) messages: String,
    report: Value,
}

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
pub(crate) fn run(name: &str, tables: &str) -> Result<Outcome> {
    let scratch = binaries::scratch(&format!("lab-{name}"))?;
    let file = scratch.join(format!("{name}.toml"));
    let phases = if tables.contains("[run]") { "" } else { PHASES };
    let text = format!("schema = \"lab/1\"\nname = \"{name}\"\n{tables}{phases}");
    fs::write(&file, text)?;
    let output = binaries::command(binaries::gateway()?)
        .args(["lab", "run"])
        .arg(&file)
        .args(["--seed", "5", "--json", "--out"])
        .arg(scratch.join("out"))
        .output()?;
    let messages = String::from_utf8(output.stderr)?;
    Ok(Outcome {
        exit: output.status.code(),
        messages,
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
    })
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

impl Outcome {
    pub(crate) fn verdict(&self) -> &str {
        let verdict = self.report.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    /// The ids of the checks that fail.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let checks = self.report.get("checks").and_then(Value::as_array);
        let failed = checks.into_iter().flatten().filter_map(|check| {
            let text = |key: &str| check.get(key)?.as_str();
            (text("outcome")? == "fails").then_some(text("id")?)
        });
        failed.collect()
    }

    /// The report and the messages, for an assertion that failed.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{:#}", self.messages, self.report)
    }
}
