//! A published client of TrueNAS uses `steadfast lab emulate truenas`, directly and over `steadfast bridge`.
//!
//! The client is a program in `tests/third-party/truenas`, which prints what it observes; this module compares it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::binaries;

const USER: &str = "observer";
const PASSWORD: &str = "a password";
/// The client takes a text for an API key only if it has this form.
const KEY: &str = "7-0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQR";

/// Runs the client, and compares what it observed.
///
/// # Errors
///
/// When the emulator or the client cannot be started, or the client observed something else.
pub fn run(program: &Path) -> Result<()> {
    let emulator = Server::emulator(program)?;
    let url = emulator.banner("url")?;
    observe("observe.py", [&url, USER, PASSWORD, KEY], &expected())
}

/// Runs the client over a bridge, as if the socket of the bridge were that of the server, and compares what it observed.
/// `folder` is an empty one, for the socket and the key.
///
/// # Errors
///
/// When a process cannot be started, or the client observed something else.
pub fn run_over_bridge(program: &Path, folder: &Path) -> Result<()> {
    let emulator = Server::emulator(program)?;
    let url = emulator.banner("url")?;
    let (key, socket) = (folder.join("key"), folder.join("nas.sock"));
    fs::write(&key, KEY)?;
    let mut bridge = Command::new(program);
    bridge
        .args(["bridge", &url, "--json", "--user", USER, "--key-file"])
        .arg(&key)
        .arg("--socket")
        .arg(&socket);
    let _bridge = Server::start(&mut bridge)?;
    let arguments = [socket.as_os_str(), OsStr::new(&url)];
    observe("observe_bridge.py", arguments, &expected_over_bridge())
}

fn observe(
    script: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    expected: &Value,
) -> Result<()> {
    let root = binaries::root();
    let python = binaries::python()?;
    let output = Command::new(python)
        .arg(root.join("tests/third-party/truenas").join(script))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the client")?;
    ensure!(output.status.success(), "the client: {}", output.status);
    let observed: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        observed == *expected,
        "{observed:#} instead of {expected:#}"
    );
    Ok(())
}

fn expected() -> Value {
    let too_many = json!({
        "type": "ClientException",
        "errno": null,
        "text": "Maximum number of concurrent calls (20) has exceeded",
    });
    let not_authenticated = json!({
        "type": "ClientException",
        "errno": 207,
        "text": "[ENOTAUTHENTICATED] Not authenticated",
    });
    let exists = json!({
        "type": "ValidationErrors",
        "errno": null,
        "text": "[EEXIST] pool_dataset_create.name: Path tank/observed already exists",
    });
    json!({
        "logins": ["SUCCESS", "SUCCESS", true, USER],
        "anonymous": ["pong", not_authenticated],
        "datasets": ["tank/observed", exists],
        "subscription": [["pool.dataset.query", "added", "tank/event"]],
        "rejected": [[too_many], [too_many]],
        "client": "tank",
    })
}

/// No limit is reached, and the only error is that of the call whose reply was lost.
fn expected_over_bridge() -> Value {
    let error = |text: &str| json!({"type": "ClientException", "errno": null, "text": text});
    json!({
        "pool": "tank",
        "user": USER,
        "unknown": error("Method does not exist"),
        "subscription": [["pool.dataset.query", "added", "tank/event"]],
        "parallel": [30, []],
        "lost": error("The connection to the server was lost after the call was sent"),
        "found": ["tank/lost"],
    })
}

/// A running server, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    banner: Value,
}

impl Server {
    fn emulator(program: &Path) -> Result<Self> {
        Self::start(
            Command::new(program)
                .args(["lab", "emulate", "truenas", "--json"])
                .args(["--listen", "127.0.0.1:0", "--user", USER])
                .args(["--password", PASSWORD, "--api-key", KEY]),
        )
    }

    /// Starts a command that prints a banner as JSON.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start a server")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut server = Self {
            child,
            banner: Value::Null,
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.banner = serde_json::from_str(&line).context(line)?;
        Ok(server)
    }

    /// A text of the banner.
    pub(crate) fn banner(&self, name: &str) -> Result<String> {
        let text = self.banner.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
            .with_context(|| format!("no {name} in the banner"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
