//! Finds the programs that the tests start, and has cargo build those that are missing or outdated.
//!
//! The gateway and the known-bad builds use the profile and the target folder of the calling program, so that nothing
//! is compiled twice; the third-party Rust client is in the workspace of the benchmark, which has a target folder of its own.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::driver::ClientKind;

/// Prefixes of the variables that cargo and nextest set for a single test.
const ABOUT_A_TEST: [&str; 6] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_",
    "CARGO_BIN_",
    "CARGO_PRIMARY_",
    "NEXTEST",
];

/// This variable says that all programs of the workspace are up to date, so that not each test asks cargo for them.
const BUILT: &str = "E2E_PROGRAMS_BUILT";

/// The gateway that a user starts.
///
/// # Errors
///
/// When the gateway cannot be built.
pub fn gateway() -> Result<PathBuf> {
    ours("steadfast")
}

/// A gateway with a planted bug; the names are those of `tests/known-bad/src/bin`.
///
/// # Errors
///
/// When no known-bad build has this name, or it cannot be built.
pub fn known_bad(name: &str) -> Result<PathBuf> {
    ours(name)
}

/// An example of the client library.
///
/// # Errors
///
/// When it cannot be built.
pub(crate) fn example(name: &str) -> Result<PathBuf> {
    build("steadfast")?;
    Ok(profile_folder()?.join("examples").join(name))
}

/// The program that owns clients of this kind, ready to be started.
///
/// # Errors
///
/// When the program cannot be built, or its packages are not installed.
pub fn driver(kind: ClientKind) -> Result<Command> {
    let drivers = root().join("tests/third-party");
    match kind {
        ClientKind::Node => {
            let folder = drivers.join("node");
            ensure!(
                folder.join("node_modules/centrifuge").is_dir(),
                "the npm packages of {} are not installed; run `cargo xtask setup`",
                folder.display()
            );
            let mut command = Command::new("node");
            command.arg(folder.join("driver.mjs"));
            Ok(command)
        }
        ClientKind::Rust => {
            let target = target()?.join("third-party");
            let manifest = drivers.join("rust/Cargo.toml");
            let mut build = cargo();
            build.args(["build", "--quiet", "--locked", "--manifest-path"]);
            build.arg(manifest).arg("--target-dir").arg(&target);
            execute(build)?;
            Ok(Command::new(
                target.join("debug/steadfast-third-party-rust"),
            ))
        }
    }
}

/// An empty folder for one run, inside the target folder.
///
/// # Errors
///
/// When the folder cannot be made.
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
    build(binary)?;
    Ok(profile_folder()?.join(binary))
}

/// Builds a binary. The whole workspace and its examples are selected, because then the dependencies have the features
/// that they have in tests, and are not compiled again.
fn build(binary: &str) -> Result<()> {
    if env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let mut build = cargo();
    build.args(["build", "--quiet", "--workspace", "--examples", "--bin"]);
    build.arg(binary).arg("--target-dir").arg(target()?);
    if profile_folder()?.ends_with("release") {
        build.arg("--release");
    }
    execute(build)
}

fn cargo() -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

/// A command in the project's root without the variables about a test. If cargo received them, build scripts that read
/// such variables would run again, and their dependents would be rebuilt; some programs start cargo themselves.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
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

fn execute(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} exited with {status}");
    Ok(())
}

/// The project's root.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The Python of the environment with the third-party clients.
///
/// # Errors
///
/// When the environment was not set up.
pub fn python() -> Result<PathBuf> {
    let python = root().join(".venv/bin/python3");
    ensure!(
        python.exists(),
        "{} does not exist; run `cargo xtask setup`",
        python.display()
    );
    Ok(python)
}

/// The folder of this program's profile: it contains the binaries; tests are one level deeper.
fn profile_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("failed to find the path of this program")?;
    let folder = program.parent().context("this program has no folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// The folder in which cargo builds.
pub(crate) fn target() -> Result<PathBuf> {
    let profile = profile_folder()?;
    let target = profile.parent().context("the profile has no folder")?;
    Ok(target.to_owned())
}
