//! One run of the lab as a user starts it: a scenario of its own folder, its report and its messages.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::binaries;

/// The seed of every run, so that a scenario always has the same faults.
const SEED: &str = "5";

/// The most runs of a scenario while the machine is too busy for the harness.
const RUNS_MAX: u32 = 3;

/// The guards that a busy machine violates. Such a run says nothing about the lab or the system that it tests.
const BUSY_MACHINE: [&str; 2] = ["the harness was fast enough", "the load reached its rate"];

/// Runs the lab with the option `--json`, again while the machine was too busy for the harness. Returns the output and the
/// number of the run that is not to be repeated; it is the last one if all were disturbed.
///
/// # Errors
///
/// When the lab cannot be started.
pub fn undisturbed(command: &mut Command) -> Result<(Output, u32)> {
    let mut number = 1;
    loop {
        let output = command.output().context("failed to start the lab")?;
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        if number == RUNS_MAX || !was_disturbed(&report) {
            return Ok((output, number));
        }
        let reasons = report.get("reasons").unwrap_or(&Value::Null);
        drop(writeln!(
            io::stderr(),
            "the machine was too busy for run {number}: {reasons}"
        ));
        number += 1;
    }
}

/// Whether a run is INCONCLUSIVE because the machine was too busy for the harness.
pub fn was_disturbed(report: &Value) -> bool {
    let guards = report.get("guards").and_then(Value::as_array);
    let mut violated = guards.into_iter().flatten().filter_map(|guard| {
        let is_met = guard.get("is_met")?.as_bool()?;
        (!is_met).then_some(guard.get("name")?.as_str()?)
    });
    let is_inconclusive = report.get("verdict").is_some_and(|it| it == "INCONCLUSIVE");
    is_inconclusive && violated.any(|name| BUSY_MACHINE.contains(&name))
}

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
        let mut command = binaries::command(binaries::gateway()?);
        command.args(["lab", "run"]).arg(&file);
        command.args(["--seed", SEED, "--json", "--out"]);
        let (output, number) = undisturbed(command.arg(scratch.join("out")))?;
        Ok(Self {
            exit: output.status.code(),
            messages: String::from_utf8(output.stderr)?,
            folder: scratch.join(format!("out/{name}-{SEED}-{number}")),
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
