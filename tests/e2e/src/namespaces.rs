//! Network and mount namespaces of a run's own: no port and no mount of the machine is used, and nothing remains after the
//! run, whatever happens to it. [`link`] connects more of them.

pub mod link;

use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

use crate::binaries;

/// Why namespaces cannot be created here, or `None` if they can be.
pub fn unavailable() -> Option<String> {
    for (program, arguments) in [
        ("unshare", &["--net", "--mount", "true"][..]),
        ("ip", &["-Version"]),
        ("tc", &["-Version"]),
    ] {
        match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Some(format!("{program} failed: {text}"));
            }
            Err(error) => return Some(format!("{program} cannot be started: {error}")),
        }
    }
    None
}

/// Starts a program in network and mount namespaces of its own, and waits for its end.
///
/// # Errors
///
/// When `unshare` cannot be started.
pub fn run_inside(program: &Path, arguments: &[String]) -> Result<ExitStatus> {
    Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(program)
        .args(arguments)
        .status()
        .context("failed to start unshare")
}

/// Runs a task of `steadfast-e2e` for a test. Skips it where namespaces are not available, unless tests are required to be
/// complete, as in CI: then a missing permission must not go unnoticed.
///
/// # Errors
///
/// When the task fails, or cannot run where it must.
pub fn run_task(runner: &str, task: &str) -> Result<()> {
    if let Some(reason) = unavailable() {
        ensure!(std::env::var_os("CI").is_none(), "{reason}");
        return Ok(());
    }
    let output = Command::new(runner)
        .args([task, "--gateway"])
        .arg(binaries::gateway()?)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{task}: {text}");
    Ok(())
}

/// Prepares the namespaces of this process: loopback, and an empty file system at each of these folders, which are
/// created if they do not exist.
///
/// # Errors
///
/// When the process is not in namespaces of its own, or a command fails.
pub fn prepare(folders: &[&str]) -> Result<()> {
    for folder in folders {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to create the folder {folder}"))?;
        execute("mount", &format!("-t tmpfs tmpfs {folder}"))?;
    }
    execute("ip", "link set lo up")
}

/// Runs a command of words without spaces, and waits for its end.
pub(crate) fn execute(program: &str, arguments: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .with_context(|| format!("failed to start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
