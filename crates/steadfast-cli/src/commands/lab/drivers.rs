//! The commands that start client drivers: this binary for the Rust client library, programs for third-party clients.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use steadfast_faults::topology::ClientKind;
use steadfast_lab::driver::DriverCommands;

use crate::exit::Failure;
use crate::output;

/// Returns the command of the driver for each of these kinds.
///
/// # Errors
///
/// When a driver is not installed or cannot be built.
pub(super) fn find(
    kinds: impl Iterator<Item = ClientKind>,
    folder: &Path,
    own: &Path,
) -> Result<DriverCommands, Failure> {
    let mut commands = DriverCommands::new();
    for kind in kinds {
        if commands.contains_key(&kind) {
            continue;
        }
        let command = match kind {
            ClientKind::Steadfast => vec![own.into(), "lab".into(), "driver".into()],
            ClientKind::Centrifuge => node(folder)?,
            ClientKind::CentrifugePython => python(folder)?,
            ClientKind::CentrifugeClient => rust(folder)?,
        };
        commands.insert(kind, command);
    }
    Ok(commands)
}

fn node(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let folder = folder.join("node");
    if !folder.join("node_modules/centrifuge").is_dir() {
        return Err(missing(ClientKind::Centrifuge, &folder));
    }
    Ok(vec!["node".into(), folder.join("driver.mjs").into()])
}

fn python(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let driver = folder.join("python/driver.py");
    let python = PathBuf::from(".venv/bin/python");
    let has_client = Command::new(&python)
        .args(["-c", "import centrifuge"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_client || !driver.is_file() {
        return Err(missing(ClientKind::CentrifugePython, &driver));
    }
    Ok(vec![python.into(), driver.into()])
}

/// Builds the driver if it is not up to date. The driver is not in the product's workspace and target directory.
fn rust(folder: &Path) -> Result<Vec<OsString>, Failure> {
    let manifest = folder.join("rust/Cargo.toml");
    if !manifest.is_file() {
        return Err(missing(ClientKind::CentrifugeClient, &manifest));
    }
    output::message("building the driver for `centrifuge-client` clients, if it is not up to date");
    let target = PathBuf::from("target/third-party");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err(Failure::scenario(
            "failed to build the driver for `centrifuge-client` clients",
            "See the output of cargo above.",
        ));
    }
    Ok(vec![target.join("debug/steadfast-third-party-rust").into()])
}

fn missing(kind: ClientKind, at: &Path) -> Failure {
    Failure::scenario(
        format!(
            "client library `{}` not found: {}",
            kind.name(),
            at.display()
        ),
        "In a clone of Steadfast, run `make setup`, or remove the kind from `kinds` in the scenario.",
    )
}
