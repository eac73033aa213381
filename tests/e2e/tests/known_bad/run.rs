//! Runs of the lab, and what their reports say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use steadfast_e2e::{binaries, lab_run};

/// A run that is prepared.
pub(crate) struct Run {
    command: Command,
}

/// A finished run.
pub(crate) struct Outcome {
    messages: String,
    report: Value,
}

impl Run {
    /// A run of a scenario of this folder. `name` is unique in this process.
    pub(crate) fn new(scenario: &str, name: &str) -> Result<Self> {
        Self::of_file(&folder().join(format!("{scenario}.toml")), name)
    }

    /// A run of this scenario. `name` is unique in this process.
    pub(crate) fn of_file(file: &Path, name: &str) -> Result<Self> {
        let scratch = binaries::scratch(&format!("known-bad-{name}"))?;
        let mut command = binaries::command(binaries::gateway()?);
        command.args(["lab", "run"]).arg(file);
        command
            .args(["--seed", "5", "--json", "--out"])
            .arg(scratch);
        command.env("RUST_BACKTRACE", "0");
        Ok(Self { command })
    }

    pub(crate) fn profile(mut self, name: &str) -> Self {
        self.command.args(["--profile", name]);
        self
    }

    pub(crate) fn param(mut self, name: &str, value: &str) -> Self {
        self.command.arg("-p").arg(format!("{name}={value}"));
        self
    }

    /// Programs of this folder come before those of the system.
    pub(crate) fn search_first(mut self, folder: &str) -> Result<Self> {
        let folder = binaries::root().join("tests/known-bad").join(folder);
        let mut path: OsString = folder.into();
        path.push(":");
        path.push(std::env::var_os("PATH").context("no PATH")?);
        self.command.env("PATH", path);
        Ok(self)
    }

    /// Runs it to its end.
    pub(crate) fn finish(mut self) -> Result<Outcome> {
        let (output, _) = lab_run::undisturbed(&mut self.command)?;
        let messages = String::from_utf8(output.stderr)?;
        let report = serde_json::from_slice(&output.stdout).with_context(|| messages.clone())?;
        Ok(Outcome { messages, report })
    }
}

fn folder() -> PathBuf {
    binaries::root().join("tests/e2e/tests/known_bad")
}

impl Outcome {
    pub(crate) fn verdict(&self) -> &str {
        let verdict = self.report.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    /// The checks that do not hold, with what was measured.
    pub(crate) fn failed(&self) -> BTreeMap<&str, &str> {
        let checks = self.report.get("checks").and_then(Value::as_array);
        let failed = checks.into_iter().flatten().filter_map(|check| {
            let text = |key: &str| check.get(key)?.as_str();
            let is_failed = text("outcome") == Some("fails");
            is_failed.then(|| Some((text("id")?, text("measured").unwrap_or_default())))?
        });
        failed.collect()
    }

    /// The reasons of a verdict other than PASS.
    pub(crate) fn reasons(&self) -> String {
        let reasons = self.report.get("reasons");
        reasons.map(Value::to_string).unwrap_or_default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:#}", self.messages, self.report)
    }
}
