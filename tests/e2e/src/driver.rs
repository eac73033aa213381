//! One process that owns third-party clients: it receives commands and sends responses and events, one JSON object per
//! line.
//!
//! The lines are described in `tests/third-party/README.md`; [`line`](mod@line) reads them. A driver keeps no state.

pub use steadfast_lab::driver::line;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use self::line::DriverLine;
use crate::binaries;

/// A kind of third-party client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientKind {
    /// npm `centrifuge` under Node.
    Node,
    /// The crate `centrifuge-client`.
    Rust,
}

impl ClientKind {
    /// All kinds of clients.
    pub const ALL: [Self; 2] = [Self::Node, Self::Rust];

    /// The prefix of the names of its clients.
    pub fn name_prefix(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rust => "rust",
        }
    }
}

/// A running driver process.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    /// Closed before the process is killed: a driver exits at the end of its input.
    commands: Option<ChildStdin>,
}

impl Driver {
    /// Starts a driver; a thread sends its lines, and at the end [`DriverLine::Ended`], to `inbox`.
    ///
    /// # Errors
    ///
    /// When the driver cannot be built or started.
    pub fn start(kind: ClientKind, inbox: Sender<(ClientKind, DriverLine)>) -> Result<Self> {
        let mut child = binaries::driver(kind)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!(
                    "failed to start the driver of {} clients",
                    kind.name_prefix()
                )
            })?;
        let commands = child.stdin.take();
        let lines = child.stdout.take().context("the driver has no stdout")?;
        thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                let line = line.map_or(DriverLine::Ended, |text| DriverLine::parse(&text));
                // The run is over and the receiver is gone.
                if inbox.send((kind, line)).is_err() {
                    return;
                }
            }
            drop(inbox.send((kind, DriverLine::Ended)));
        });
        Ok(Self { child, commands })
    }

    /// Sends a command to the driver.
    ///
    /// # Errors
    ///
    /// When the driver has ended.
    pub fn send(&mut self, command: &Value) -> Result<()> {
        let commands = self.commands.as_mut().context("the driver is closed")?;
        writeln!(commands, "{command}").context("the driver has ended")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.commands = None;
        // The driver exits at the end of its input; if it is still running, it is killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
