//! Runs the scenario in namespaces: starts this program again within them, with the same arguments.

use std::env;
use std::io;
use std::path::Path;
use std::process::Stdio;

use steadfast_lab::isolation::Isolation;

use super::interrupt;
use crate::args::{LabRun, ReportArgs, ScenarioArgs};
use crate::exit::Failure;

/// Runs the scenario in namespaces and returns its result, which it has printed.
pub(super) fn run(
    isolation: &Isolation,
    arguments: &LabRun,
    seed: u64,
    folder: &Path,
) -> Result<(), Failure> {
    let program = env::current_exe().map_err(|error| {
        Failure::lab_failed(format!("failed to find this program: {error}"), "")
    })?;
    // Every field is named, so that a new option cannot be forgotten here.
    let LabRun {
        scenario,
        out,
        gateway,
        drivers,
        placebo,
        isolated: _,
        output: ReportArgs { report, json },
    } = arguments;
    let ScenarioArgs {
        file,
        params,
        profile,
        seed: _,
    } = scenario;
    let mut command = isolation.command(&program, &program);
    command.args(["lab", "run"]).arg(file);
    command.arg("--seed").arg(seed.to_string());
    command.arg("--isolated").arg(folder);
    command.arg("--drivers").arg(drivers);
    for name in profile {
        command.arg("--profile").arg(name);
    }
    for param in params {
        command.arg("--param").arg(param);
    }
    if let Some(gateway) = gateway {
        command.arg("--gateway").arg(gateway);
    }
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    for file in report {
        command.arg("--report").arg(&file.path);
    }
    let flags = [("--placebo", *placebo), ("--json", *json)];
    command.args(
        flags
            .iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(flag, _)| *flag),
    );
    let failed = |error: io::Error| {
        Failure::lab_failed(
            format!("failed to start the run in namespaces: {error}"),
            "",
        )
    };
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(failed)?;
    // The run ends when this end of the pipe is closed.
    let input = child.stdin.take();
    interrupt::on_signals(folder, move || drop(input))?;
    let status = child.wait().map_err(failed)?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(Failure::reported(code)),
        Some(Err(_)) | None => Err(Failure::lab_failed(
            format!("the run in namespaces ended early: {status}"),
            format!("The logs are in {}", folder.display()),
        )),
    }
}
