//! One run of the lab as a user starts it: a scenario of its own folder, its report and its messages.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::binaries;

/// The seed of every run, so that a scenario always has the same faults.
const SEED: &str = "5";

/// A finished run.
#[derive(Debug)]
pub struct LabRun {
    /// The exit code; `None` if a signal ended the lab.
    pub exit: Option<i32>,
    /// What the lab printed on standard error.
    pub messages: String,
    /// The directory of the run with the logs of the instances.
    folder: PathBuf,
    report: Value,
}

impl LabRun {
    /// Runs a scenario of this name, of which `tables` is everything after the name.
    ///
    /// # Errors
    ///
    /// When the program is not found, or the scenario cannot be written or started.
    pub fn of(name: &str, tables: &str) -> Result<Self> {
        let scratch = binaries::scratch(&format!("lab-{name}"))?;
        let file = scratch.join(format!("{name}.toml"));
        let text = format!("schema = \"lab/1\"\nname = \"{name}\"\n{tables}");
        fs::write(&file, text)?;
        let output = binaries::command(binaries::gateway()?)
            .args(["lab", "run"])
            .arg(&file)
            .args(["--seed", SEED, "--json", "--out"])
            .arg(scratch.join("out"))
            .output()?;
        Ok(Self {
            exit: output.status.code(),
            messages: String::from_utf8(output.stderr)?,
            folder: scratch.join(format!("out/{name}-{SEED}-1")),
            report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        })
    }

    /// PASS, FAIL or INCONCLUSIVE; empty without a report.
    pub fn verdict(&self) -> &str {
        let verdict = self.report.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    /// The ids of the checks that fail.
    pub fn failed(&self) -> Vec<&str> {
        let checks = self.report.get("checks").and_then(Value::as_array);
        let failed = checks.into_iter().flatten().filter_map(|check| {
            let text = |key: &str| check.get(key)?.as_str();
            (text("outcome")? == "fails").then_some(text("id")?)
        });
        failed.collect()
    }

    /// The step and the targets of each fault.
    pub fn targets(&self) -> Vec<(String, Vec<String>)> {
        let faults = self.report.get("faults").and_then(Value::as_array);
        let read = faults.into_iter().flatten().filter_map(|fault| {
            let step = fault.get("step")?.as_str()?.to_owned();
            let targets = fault.get("targets")?.as_array()?.iter();
            let targets = targets.filter_map(Value::as_str).map(str::to_owned);
            Some((step, targets.collect()))
        });
        read.collect()
    }

    /// The service and the version of each program.
    pub fn programs(&self) -> Vec<(String, String)> {
        let programs = self.report.get("programs").and_then(Value::as_array);
        let read = programs.into_iter().flatten().filter_map(|it| {
            let text = |key: &str| it.get(key)?.as_str().map(str::to_owned);
            Some((text("service")?, text("version")?))
        });
        read.collect()
    }

    /// The output of an instance.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn log(&self, instance: &str) -> Result<String> {
        self.file(&format!("run/{instance}/service.log"))
    }

    /// A file in the directory of the run.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(&self, name: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    /// Requires that the lab printed this text on standard error.
    ///
    /// # Panics
    ///
    /// When it did not.
    pub fn mentions(&self, text: &str) {
        assert!(self.messages.contains(text), "{}", self.messages);
    }

    /// The report and the messages, for an assertion that failed.
    pub fn all(&self) -> String {
        format!("{}\n{:#}", self.messages, self.report)
    }
}
