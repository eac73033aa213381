//! The npm client at the edges of what the gateway supports: its Protobuf build, and texts with half of an emoji.
//!
//! The script `edges.mjs` of the third-party clients does both; this module starts it with a gateway, and the tests
//! evaluate its lines.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::binaries;
use crate::gateway::Gateway;

/// A part of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The Protobuf build of the SDK, which the gateway does not support.
    Protobuf,
    /// Commands with half of a surrogate pair in a text.
    HalfEmoji,
}

/// Runs a part of the script with a gateway of its own, and returns what it printed: one object for each case.
///
/// # Errors
///
/// When the gateway or the script cannot be started, or the script fails.
pub fn run(program: PathBuf, part: Part) -> Result<Vec<Value>> {
    let name = match part {
        Part::Protobuf => "protobuf",
        Part::HalfEmoji => "half-emoji",
    };
    let mut gateway = Gateway::new(program, binaries::scratch(name)?)?;
    gateway.start()?;
    let output = Command::new("node")
        .arg(binaries::root().join("tests/third-party/node/edges.mjs"))
        .args([name, &gateway.url()])
        .stdin(Stdio::null())
        .output()
        .context("failed to start node")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);
    let cases: serde_json::Result<Vec<Value>> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect();
    let cases = cases.context("the script printed no JSON")?;
    gateway.clean_up()?;
    Ok(cases)
}
