//! The commands that start client drivers: this binary for the Rust client library, programs for third-party clients.

mod build;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::topology::ClientKind;
use steadfast_lab::driver::DriverCommands;

use crate::exit::Failure;

/// The parameter of a scenario that selects the kinds of its clients.
const KINDS_PARAM: &str = "kinds";

/// Returns the command of the driver for each kind of client of a scenario.
///
/// # Errors
///
/// When drivers are not installed, or one cannot be built.
pub(super) fn find(
    scenario: &Scenario,
    folder: &Path,
    own: &Path,
) -> Result<DriverCommands, Failure> {
    let loads = scenario.loads().iter();
    // A scenario names the program of `exec` itself.
    let kinds: BTreeSet<ClientKind> = loads
        .flat_map(|load| load.kinds.clone())
        .filter(|kind| *kind != ClientKind::Exec)
        .collect();
    let mut commands = DriverCommands::new();
    let mut missing = Vec::new();
    for kind in kinds {
        match locate(kind, folder, own) {
            Ok(command) => {
                commands.insert(kind, command);
            }
            Err(reason) => missing.push((kind, reason)),
        }
    }
    if !missing.is_empty() {
        return Err(not_found(scenario, &commands, &missing));
    }
    if commands.contains_key(&ClientKind::CentrifugeClient) {
        build::build(&manifest(folder), &target()).map_err(|error| {
            let kind = ClientKind::CentrifugeClient;
            commands.remove(&kind);
            Failure::scenario(
                format!(
                    "failed to build the driver for `{}` clients: {error}",
                    kind.name()
                ),
                format!("Run without it: {}", without(scenario, &commands)),
            )
        })?;
    }
    Ok(commands)
}

/// The command of a driver, or why it cannot be started.
fn locate(kind: ClientKind, folder: &Path, own: &Path) -> Result<Vec<OsString>, String> {
    match kind {
        ClientKind::Steadfast => Ok(vec![own.into(), "lab".into(), "driver".into()]),
        ClientKind::Centrifuge => node(&folder.join("node")),
        ClientKind::CentrifugePython => python(&folder.join("python/driver.py")),
        ClientKind::CentrifugeClient => rust(folder),
        ClientKind::WebsocketEcho
        | ClientKind::WebsocketSubscribe
        | ClientKind::HttpPoll
        | ClientKind::Jsonrpc
        | ClientKind::Truenas => Ok(vec![
            own.into(),
            "lab".into(),
            "driver".into(),
            kind.name().into(),
        ]),
        ClientKind::Exec => Err("the scenario names its program".to_owned()),
    }
}

fn node(folder: &Path) -> Result<Vec<OsString>, String> {
    exists(&folder.join("driver.mjs"))?;
    exists(&folder.join("node_modules/centrifuge"))?;
    succeeds("node", &["--version"])?;
    Ok(vec!["node".into(), folder.join("driver.mjs").into()])
}

fn python(driver: &Path) -> Result<Vec<OsString>, String> {
    let python = PathBuf::from(".venv/bin/python");
    exists(driver)?;
    exists(&python)?;
    succeeds(&python, &["-c", "import centrifuge"])?;
    Ok(vec![python.into(), driver.into()])
}

/// The driver is not in the product's workspace and target directory.
fn rust(folder: &Path) -> Result<Vec<OsString>, String> {
    exists(&manifest(folder))?;
    succeeds("cargo", &["--version"])?;
    Ok(vec![
        target().join("debug/steadfast-third-party-rust").into(),
    ])
}

fn manifest(folder: &Path) -> PathBuf {
    folder.join("rust/Cargo.toml")
}

fn target() -> PathBuf {
    PathBuf::from("target/third-party")
}

fn exists(path: &Path) -> Result<(), String> {
    if path.exists() {
        Ok(())
    } else {
        Err(format!("{} not found", path.display()))
    }
}

fn succeeds(program: impl AsRef<Path>, arguments: &[&str]) -> Result<(), String> {
    let program = program.as_ref();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let command = format!("{} {}", program.display(), arguments.join(" "));
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{command}` failed: {status}")),
        Err(error) => Err(format!("failed to start `{command}`: {error}")),
    }
}

fn not_found(
    scenario: &Scenario,
    found: &DriverCommands,
    missing: &[(ClientKind, String)],
) -> Failure {
    let missing: Vec<String> = missing
        .iter()
        .map(|(kind, reason)| format!("\n  `{}`: {reason}", kind.name()))
        .collect();
    Failure::scenario(
        format!("client libraries not found:{}", missing.concat()),
        format!(
            "Run without them: {}\nOr install them: in a clone of Steadfast, run `make setup`",
            without(scenario, found)
        ),
    )
}

/// The option that leaves out all kinds but these.
fn without(scenario: &Scenario, found: &DriverCommands) -> String {
    let names: Vec<&str> = found.keys().map(|kind| kind.name()).collect();
    let has_param = scenario
        .params()
        .iter()
        .any(|(name, _)| name == KINDS_PARAM);
    // The library of this project needs no installation.
    let names = if names.is_empty() {
        ClientKind::Steadfast.name().to_owned()
    } else {
        names.join(",")
    };
    if has_param {
        format!("-p {KINDS_PARAM}={names}")
    } else {
        format!("write {names} as `kinds` into the scenario")
    }
}
