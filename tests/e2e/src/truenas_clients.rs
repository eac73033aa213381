//! A published client of `TrueNAS` uses `steadfast lab emulate truenas`.
//!
//! The client is a program in `tests/third-party/truenas`, which prints what it observes; this module compares it.

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
    let emulator = Emulator::start(program)?;
    let root = binaries::root();
    let python = root.join(".venv/bin/python3");
    ensure!(
        python.exists(),
        "{} does not exist; run `cargo xtask setup`",
        python.display()
    );
    let output = Command::new(python)
        .arg(root.join("tests/third-party/truenas/observe.py"))
        .args([&emulator.url, USER, PASSWORD, KEY])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start the client")?;
    ensure!(output.status.success(), "the client: {}", output.status);
    let observed: Value = serde_json::from_slice(&output.stdout)?;
    let expected = expected();
    ensure!(observed == expected, "{observed:#} instead of {expected:#}");
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

/// A running emulator, which ends when it is dropped.
#[derive(Debug)]
struct Emulator {
    child: Child,
    url: String,
}

impl Emulator {
    fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["lab", "emulate", "truenas", "--json"])
            .args(["--listen", "127.0.0.1:0", "--user", USER])
            .args(["--password", PASSWORD, "--api-key", KEY])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the emulator")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut emulator = Self {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let banner: Value = serde_json::from_str(&line).context(line)?;
        let url = banner.get("url").and_then(Value::as_str);
        url.context("no URL")?.clone_into(&mut emulator.url);
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
