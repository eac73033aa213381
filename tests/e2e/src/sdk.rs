//! One client of a third-party SDK: its driver process, and the lines that it writes.
//!
//! For tests of a few clients, each with a driver of its own; [`crate::driver`] talks to drivers with many clients.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::binaries;
use crate::driver::ClientKind;

/// The name of the client in its driver, which has no other one.
const NAME: &str = "client";

/// The SDK of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sdk {
    /// npm `centrifuge` under Node.
    Node,
    /// The Python package `centrifuge-python`.
    Python,
}

impl Sdk {
    /// Each SDK that has a driver for one client.
    pub(crate) const ALL: [Self; 2] = [Self::Node, Self::Python];

    /// The command that starts a driver.
    ///
    /// # Errors
    ///
    /// When the driver cannot be built.
    pub(crate) fn driver(self) -> Result<Command> {
        match self {
            Self::Node => binaries::driver(ClientKind::Node),
            Self::Python => {
                let mut command = Command::new(binaries::root().join(".venv/bin/python"));
                command.arg(binaries::root().join("tests/third-party/python/driver.py"));
                Ok(command)
            }
        }
    }
}

/// A client and its driver.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    commands: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: u64,
}

impl Client {
    /// Starts the driver with this command.
    ///
    /// # Errors
    ///
    /// When the driver cannot be started.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start a driver")?;
        let output = child.stdout.take().context("the driver has no stdout")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            // The receiver is gone once the run is over.
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.all(|line| sender.send(line).is_ok());
        });
        Ok(Self {
            commands: child.stdin.take(),
            child,
            lines,
            next_id: 1,
        })
    }

    /// Sends a command, and returns the number that its response will have.
    ///
    /// # Errors
    ///
    /// When the driver has ended.
    pub(crate) fn send(&mut self, mut command: Value) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(fields) = command.as_object_mut() {
            fields.insert("id".to_owned(), json!(id));
            fields.insert("client".to_owned(), json!(NAME));
        }
        let commands = self.commands.as_mut().context("the driver is closed")?;
        writeln!(commands, "{command}").context("the driver has ended")?;
        Ok(id)
    }

    /// Returns the next line: a response or an event.
    ///
    /// # Errors
    ///
    /// After the deadline, or when the driver has ended.
    pub(crate) fn next(&self, deadline: Instant) -> Result<Value> {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(wait) {
            Ok(line) => Ok(serde_json::from_str(&line)?),
            Err(RecvTimeoutError::Timeout) => bail!("the time is over"),
            Err(RecvTimeoutError::Disconnected) => bail!("the driver has ended"),
        }
    }

    /// Waits for an event with this name; other lines are ignored.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub(crate) fn await_event(&self, name: &str, deadline: Instant) -> Result<Value> {
        loop {
            let line = self
                .next(deadline)
                .with_context(|| format!("waiting for {name}"))?;
            if line.get("event").is_some_and(|event| event == name) {
                return Ok(line);
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.commands = None;
        // The driver exits at the end of its input; if it is still running, it is killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
