//! Finds and runs other programs, and prints progress.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::tree::root;

/// Prints one line of progress to standard output. A reader that is gone does not stop the work.
pub(crate) fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

/// The folder of the Python environment; it belongs to the working copy and is not tracked.
pub(crate) fn environment() -> PathBuf {
    root().join(".venv")
}

/// A command that runs in the root, with the programs that `setup` installed first on its search path.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", search_path());
    command
}

/// Returns cargo's target folder, which its configuration or `CARGO_TARGET_DIR` may set; relative to the root if it is in it.
///
/// # Errors
///
/// When cargo does not report the folder.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .context("failed to find the target folder of cargo")?;
    let folder = metadata.target_directory.into_std_path_buf();
    let relative = folder.strip_prefix(root()).map(PathBuf::from);
    Ok(relative.unwrap_or(folder))
}

fn search_path() -> OsString {
    let system = env::var_os("PATH").unwrap_or_default();
    let own = environment().join("bin");
    let folders = std::iter::once(own).chain(env::split_paths(&system));
    // A folder whose name contains a colon cannot be on a search path; in this case, the system's path is used.
    env::join_paths(folders).unwrap_or(system)
}

/// True if the program can be run with these arguments.
pub(crate) fn is_available(program: &str, arguments: &[&str]) -> bool {
    let quiet = command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs a program to its end.
///
/// # Errors
///
/// When it cannot be started or does not succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = command(program)
        .args(arguments)
        .status()
        .with_context(|| format!("failed to start {program}"))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{program} {}` failed: {status}", arguments.join(" "))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
///
/// When it cannot be started or does not succeed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to start {program}"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}` failed: {}",
            arguments.join(" "),
            output.status
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} did not print text"))
}
