//! A program with a published client of Toxiproxy, which executes calls: one JSON object per line.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::binaries;

/// The published clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyClientKind {
    /// The package `toxiproxy-node-client` of npm.
    Node,
    /// The package `toxiproxy-python` from `PyPI`, which always uses port 8474.
    Python,
}

/// A running driver, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct ProxyClient {
    pub(super) kind: ProxyClientKind,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ProxyClient {
    pub(super) fn start(kind: ProxyClientKind, api: SocketAddr) -> Result<Self> {
        let mut child = program(kind, api)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the driver")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self {
            kind,
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Executes a call: its result, or the text of its error.
    pub(super) fn call(&mut self, call: &Value) -> Result<Result<Value, String>> {
        writeln!(self.input, "{call}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut outcome: Value =
            serde_json::from_str(&line).with_context(|| format!("no outcome of {call}"))?;
        if let Some(error) = outcome.get("error").and_then(Value::as_str) {
            return Ok(Err(error.to_owned()));
        }
        let ok = outcome.get_mut("ok").map(Value::take);
        Ok(Ok(ok.with_context(|| format!("no outcome of {call}"))?))
    }

    /// Executes a call that must succeed.
    pub(super) fn succeed(&mut self, call: &Value) -> Result<Value> {
        match self.call(call)? {
            Ok(value) => Ok(value),
            Err(error) => bail!("{call}: {error}"),
        }
    }

    /// Executes a call that must return this.
    pub(super) fn expect(&mut self, call: &Value, expected: &Value) -> Result<()> {
        let found = self.succeed(call)?;
        ensure!(found == *expected, "{call}: {found} instead of {expected}");
        Ok(())
    }

    /// Executes a call that must fail with an error that contains this text.
    pub(super) fn fail(&mut self, call: &Value, text: &str) -> Result<()> {
        match self.call(call)? {
            Err(error) if error.contains(text) => Ok(()),
            other => bail!("{call}: {other:?} instead of an error with `{text}`"),
        }
    }
}

impl Drop for ProxyClient {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program(kind: ProxyClientKind, api: SocketAddr) -> Result<Command> {
    let root = binaries::root();
    let drivers = root.join("tests/third-party");
    match kind {
        ProxyClientKind::Node => {
            let package = drivers.join("node/node_modules/toxiproxy-node-client");
            ensure!(
                package.is_dir(),
                "the npm packages of {} are not installed; run `cargo xtask setup`",
                drivers.join("node").display()
            );
            let mut command = Command::new("node");
            command.arg(drivers.join("node/proxy-driver.mjs"));
            command.arg(format!("http://{api}"));
            Ok(command)
        }
        ProxyClientKind::Python => {
            let mut command = Command::new(binaries::python()?);
            command.arg(drivers.join("python/proxy_driver.py"));
            Ok(command)
        }
    }
}

/// The first line of an output.
pub(super) fn first_line(output: impl Read) -> Result<String> {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(!line.is_empty(), "the program ended without output");
    Ok(line)
}
