//! One process that owns published clients: commands go in, answers and events come out, a JSON object a line.
//!
//! The lines are described in `tests/peers/README.md`; [`line`](mod@line) reads them. It keeps no state of the clients.

pub use steadfast_lab::driver::line;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use self::line::DriverLine;
use crate::binaries;

/// A kind of client that others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// npm `centrifuge` under Node.
    Node,
    /// The crate `centrifuge-client`.
    Rust,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Node, Self::Rust];

    /// The word that the names of its clients begin with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rust => "rust",
        }
    }
}

/// A running driver.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    /// Closed first at the end, which is how a driver is told to end.
    commands: Option<ChildStdin>,
}

impl Driver {
    /// Starts one; a thread hands its lines, and at the end [`DriverLine::Ended`], to `inbox`.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started.
    pub fn start(kind: Kind, inbox: Sender<(Kind, DriverLine)>) -> Result<Self> {
        let mut child = binaries::driver(kind)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the driver of {} clients", kind.word()))?;
        let commands = child.stdin.take();
        let lines = child.stdout.take().context("the driver has no stdout")?;
        thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                let line = line.map_or(DriverLine::Ended, |text| DriverLine::parse(&text));
                // The run is over and nobody listens any more.
                if inbox.send((kind, line)).is_err() {
                    return;
                }
            }
            drop(inbox.send((kind, DriverLine::Ended)));
        });
        Ok(Self { child, commands })
    }

    /// Sends a command.
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
        // It ends by itself at the end of its input; what is left is stopped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
