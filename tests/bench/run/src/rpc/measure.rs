//! Measures the rows of JSON-RPC: each repeat is a new process, which starts servers, clients and relays.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use load::rpc::Report;

use super::plan::Plan;
use super::results::Results;
use crate::paths::Paths;

/// Measures all rows of the plan.
pub(crate) fn run(plan: &Plan, paths: &Paths, machine: String) -> Result<Results> {
    let mut results = Results::new(plan, machine);
    for repeat in 0..plan.repeats {
        let progress = format!("repeat {} of {}: JSON-RPC\n", repeat + 1, plan.repeats);
        crate::print_progress(&progress)?;
        let report = report(plan, paths, repeat)?;
        let samples = report.samples.into_iter();
        let samples = samples.map(|sample| (repeat, sample));
        results.samples.extend(samples);
        results.skipped = report.skipped;
    }
    Ok(results)
}

fn report(plan: &Plan, paths: &Paths, repeat: u32) -> Result<Report> {
    let job = plan.job(repeat, &paths.gateway);
    let output = Command::new(paths.rpc()?)
        .args(["measure", &serde_json::to_string(&job)?])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the process of the rows of JSON-RPC")?;
    if !output.status.success() {
        bail!("the process of the rows of JSON-RPC failed; its error output is above");
    }
    serde_json::from_slice(&output.stdout).context("invalid report of the rows of JSON-RPC")
}
