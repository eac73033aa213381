//! Measures the proxy rows: each repeat is a new process, which starts the servers and the relays.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use load::relays::Report;

use super::plan::Plan;
use super::results::Results;
use crate::paths::Paths;

/// Measures all rows of the plan.
pub(crate) fn run(plan: &Plan, paths: &Paths, machine: String) -> Result<Results> {
    let mut results = Results {
        machine,
        repeats: plan.repeats,
        connections: plan.connections,
        samples: Vec::new(),
        skipped: None,
    };
    for repeat in 0..plan.repeats {
        crate::print_progress(&format!(
            "repeat {} of {}: proxy\n",
            repeat + 1,
            plan.repeats
        ))?;
        let report = report(plan, paths, repeat)?;
        let samples = report.samples.into_iter();
        results
            .samples
            .extend(samples.map(|sample| (repeat, sample)));
        results.skipped = report.skipped;
    }
    Ok(results)
}

fn report(plan: &Plan, paths: &Paths, repeat: u32) -> Result<Report> {
    let output = Command::new(paths.proxy()?)
        .args(["measure", &serde_json::to_string(&plan.job(repeat))?])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the process of the proxy rows")?;
    if !output.status.success() {
        bail!("the process of the proxy rows failed; its error output is above");
    }
    serde_json::from_slice(&output.stdout).context("invalid report of the proxy rows")
}
