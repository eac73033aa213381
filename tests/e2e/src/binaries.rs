//! Finds what the tests start, and has cargo build it when it is not there or not fresh.
//!
//! The gateway and its broken twins are built with the profile and into the folder of the program that asks, so that
//! nothing is compiled twice; the Rust client of others has a workspace, and so a target folder, of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::driver::Kind;

/// The variables that cargo and nextest set for a test alone begin so.
const ABOUT_A_TEST: [&str; 6] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_",
    "CARGO_BIN_",
    "CARGO_PRIMARY_",
    "NEXTEST",
];

/// The gateway that a user starts.
///
/// # Errors
///
/// When it cannot be built.
pub fn gateway() -> Result<PathBuf> {
    ours("steadfast")
}

/// A gateway that breaks one promise; the names are those of `tests/gym/src/bin`.
///
/// # Errors
///
/// When there is no such twin, or it cannot be built.
pub fn twin(name: &str) -> Result<PathBuf> {
    ours(name)
}

/// The program that owns clients of this kind, ready to be started.
///
/// # Errors
///
/// When it cannot be built, or its packages are not installed.
pub fn driver(kind: Kind) -> Result<Command> {
    let peers = root().join("tests/peers");
    match kind {
        Kind::Node => {
            let folder = peers.join("node");
            ensure!(
                folder.join("node_modules/centrifuge").is_dir(),
                "the npm packages of {} are not installed; `cargo xtask setup` does that",
                folder.display()
            );
            let mut command = Command::new("node");
            command.arg(folder.join("driver.mjs"));
            Ok(command)
        }
        Kind::Rust => {
            let target = target()?.join("peers");
            let manifest = peers.join("rust/Cargo.toml");
            let mut build = cargo();
            build.args(["build", "--quiet", "--locked", "--manifest-path"]);
            build.arg(manifest).arg("--target-dir").arg(&target);
            carry_out(build)?;
            Ok(Command::new(target.join("debug/steadfast-peers-rust")))
        }
    }
}

/// Everything that the tests start.
///
/// # Errors
///
/// When something of it cannot be built, or the packages of the npm client are not installed.
pub fn all() -> Result<()> {
    build(&["--bins"])?;
    for kind in Kind::ALL {
        driver(kind)?;
    }
    Ok(())
}

/// A fresh folder for one run, inside the target folder.
///
/// # Errors
///
/// When it cannot be made.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let folder = target()?
        .join("e2e")
        .join(format!("{name}-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn ours(binary: &str) -> Result<PathBuf> {
    build(&["--bin", binary])?;
    Ok(profile_folder()?.join(binary))
}

/// Always for the whole workspace, so that every binary shares one build of what they all use.
fn build(targets: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--workspace"]);
    build.args(targets).arg("--target-dir").arg(target()?);
    if profile_folder()?.ends_with("release") {
        build.arg("--release");
    }
    carry_out(build)
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).stdin(Stdio::null());
    // What cargo tells a test about itself would make build scripts that look at it run again, and all behind them.
    let about_this_test = env::vars_os().filter_map(|(name, _)| {
        let name = name.into_string().ok()?;
        ABOUT_A_TEST
            .iter()
            .any(|prefix| name.starts_with(prefix))
            .then_some(name)
    });
    for name in about_this_test {
        command.env_remove(name);
    }
    command
}

fn carry_out(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The project's root.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The folder of this program's profile: binaries stand in it, tests one level deeper.
fn profile_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("the system does not tell where this program is")?;
    let folder = program.parent().context("this program has no folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

fn target() -> Result<PathBuf> {
    let profile = profile_folder()?;
    let target = profile.parent().context("the profile has no folder")?;
    Ok(target.to_owned())
}
