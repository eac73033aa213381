//! Drivers: processes that own clients of a library and execute commands. The protocol is one JSON object per line.
//!
//! One driver owns all clients of its kind, or all clients of a load whose scenario names the program. A dedicated thread
//! timestamps the driver's output with the run's clock, so that a busy harness does not make a client look slow. Another
//! one writes the commands, so that a driver that does not read makes nothing wait. This module keeps no state of the
//! clients.

pub(crate) mod commands;
pub mod line;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use steadfast_clock::Clock;
use steadfast_faults::scenario::model::DriverProgram;
use steadfast_faults::topology::ClientKind;

use self::writer::CommandWriter;
pub(crate) use self::writer::NotAccepted;
use crate::ending;
use crate::error::LabError;
use crate::runner::inbox::HarnessMessage;
use crate::service::VARIABLE;

/// The command that starts the driver of each client kind: a program and its arguments.
pub type DriverCommands = BTreeMap<ClientKind, Vec<OsString>>;

/// Longest wait for the exit of a driver that has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval at which a driver that has closed its output is polled.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Identifies a driver of a run, in the order in which they were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DriverId(pub(crate) usize);

/// How a driver is started.
#[derive(Clone, Debug)]
pub(crate) struct DriverSetup {
    pub(crate) kind: ClientKind,
    /// The load whose clients it owns; `None` if it owns those of all loads with its kind.
    pub(crate) load: Option<String>,
    /// A program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables that are added to its environment.
    pub(crate) env: Vec<(String, String)>,
}

impl DriverSetup {
    /// The driver of all clients of this kind.
    pub(crate) fn of_kind(kind: ClientKind, command: &[OsString]) -> Self {
        Self {
            kind,
            load: None,
            command: command.to_vec(),
            env: Vec::new(),
        }
    }

    /// The driver of a load whose scenario names the program. The launcher, if there is one, kills it when the lab
    /// terminates.
    pub(crate) fn of_load(load: &str, program: &DriverProgram, launcher: Option<&Path>) -> Self {
        let mut command = Vec::new();
        if let Some(launcher) = launcher {
            let own_id = std::process::id().to_string();
            command.push(launcher.as_os_str().to_owned());
            command.extend(["lab", "launch", "--parent", &own_id, "--"].map(OsString::from));
        }
        command.push(OsString::from(&program.cmd));
        command.extend(program.args.iter().map(OsString::from));
        Self {
            kind: ClientKind::Exec,
            load: Some(load.to_owned()),
            command,
            env: program.env.clone(),
        }
    }

    /// The name in messages.
    pub(crate) fn label(&self) -> String {
        match &self.load {
            Some(load) => format!("the driver of load `{load}`"),
            None => format!("the driver for `{}` clients", self.kind.name()),
        }
    }

    /// The name of the file with the messages that it writes to standard error, and of its threads.
    fn file_stem(&self) -> String {
        let name = self.load.as_deref().unwrap_or_else(|| self.kind.name());
        format!("driver-{name}")
    }
}

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
    setup: DriverSetup,
    child: Child,
    clock: Clock,
    /// The file with the messages that it writes to standard error.
    messages: PathBuf,
    /// Closed first at the end: a driver exits at the end of its input.
    commands: Option<CommandWriter>,
}

impl Driver {
    /// Starts a driver, which writes its messages to a file in `folder`. A thread sends its lines, and finally
    /// [`line::DriverLine::Ended`], to `inbox`.
    pub(crate) fn start(
        id: DriverId,
        setup: DriverSetup,
        folder: &Path,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let kind = setup.kind;
        let split = setup.command.split_first();
        let (program, arguments) = split.ok_or(LabError::DriverMissing(kind))?;
        let failed = |source| LabError::Driver {
            driver: setup.label(),
            command: setup
                .command
                .join(OsString::from(" ").as_os_str())
                .to_string_lossy()
                .into_owned(),
            source,
        };
        let stem = setup.file_stem();
        let messages = folder.join(format!("{stem}.log"));
        let mut child = Command::new(program)
            .args(arguments)
            // A process that a crash of the lab leaves is found by it.
            .env(VARIABLE, folder.join("driver"))
            .envs(setup.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&messages).map_err(|source| LabError::Folder {
                path: messages.clone(),
                source,
            })?)
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let commands = CommandWriter::start(&stem, input)?;
        thread::Builder::new()
            .name(stem)
            .spawn(move || reader::read(id, output, clock, &inbox))
            .map_err(LabError::Thread)?;
        Ok(Self {
            setup,
            child,
            clock,
            messages,
            commands: Some(commands),
        })
    }

    pub(crate) const fn setup(&self) -> &DriverSetup {
        &self.setup
    }

    /// Describes how a driver ended that has closed its output or its input, with its last messages.
    pub(crate) fn ending(&mut self) -> String {
        let deadline = self.clock.now() + EXIT_TIMEOUT;
        let how = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break ending::describe(ending::exit(status)),
                Ok(None) if self.clock.now() < deadline => {
                    thread::park_timeout(EXIT_POLL_INTERVAL);
                }
                Ok(None) => break "closed its output".to_owned(),
                Err(error) => break format!("cannot be polled: {error}"),
            }
        };
        format!("{how}; {}", self.output())
    }

    /// The last messages that it wrote to standard error.
    pub(crate) fn output(&self) -> String {
        ending::output(&self.messages)
    }

    /// Queues a command; fails when the driver has closed its input, or does not read.
    pub(crate) fn send(&self, command: &Value) -> Result<(), NotAccepted> {
        match &self.commands {
            Some(commands) => commands.send(command.to_string()),
            None => Err(NotAccepted::Closed),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.commands = None;
        // A driver exits at the end of its input; a driver that has not exited yet is killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
