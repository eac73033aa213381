//! Drivers: processes that own clients of a library and execute commands. The protocol is one JSON object per line.
//!
//! One driver owns all clients of its kind. A dedicated thread timestamps the driver's output with the run's clock, so
//! that a busy harness does not make a client look slow. This module keeps no state of the clients.

pub mod line;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_clock::Clock;
use steadfast_faults::topology::ClientKind;

use self::line::DriverLine;
use crate::ending;
use crate::error::LabError;
use crate::runner::inbox::{HarnessMessage, MessagePayload};
use crate::service::VARIABLE;

/// The command that starts the driver of each client kind: a program and its arguments.
pub type DriverCommands = BTreeMap<ClientKind, Vec<OsString>>;

/// Longest wait for the exit of a driver that has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval at which a driver that has closed its output is polled.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    clock: Clock,
    /// The file with the messages that it writes to standard error.
    messages: PathBuf,
    /// Closed first at the end: a driver exits at the end of its input.
    commands: Option<ChildStdin>,
}

impl Driver {
    /// Starts a driver, which writes its messages to a file in `folder`. A thread sends its lines, and finally
    /// [`DriverLine::Ended`], to `inbox`.
    pub(crate) fn start(
        kind: ClientKind,
        command: &[OsString],
        folder: &Path,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let (program, arguments) = command.split_first().ok_or(LabError::DriverMissing(kind))?;
        let failed = |source| LabError::Driver {
            kind,
            command: command
                .join(OsString::from(" ").as_os_str())
                .to_string_lossy()
                .into_owned(),
            source,
        };
        let messages = folder.join(format!("driver-{}.log", kind.name()));
        let mut child = Command::new(program)
            .args(arguments)
            // A process that a crash of the lab leaves is found by it.
            .env(VARIABLE, folder.join("driver"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&messages).map_err(|source| LabError::Folder {
                path: messages.clone(),
                source,
            })?)
            .spawn()
            .map_err(failed)?;
        let commands = child.stdin.take();
        let Some(lines) = child.stdout.take() else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let read = move || {
            let timestamped = |line| HarnessMessage {
                at: clock.now(),
                payload: MessagePayload::Driver(kind, line),
            };
            for text in BufReader::new(lines).lines() {
                let line = text.map_or(DriverLine::Ended, |text| DriverLine::parse(&text));
                // The inbox is closed once the run has ended.
                if inbox.send(timestamped(line)).is_err() {
                    return;
                }
            }
            drop(inbox.send(timestamped(DriverLine::Ended)));
        };
        thread::Builder::new()
            .name(format!("driver-{}", kind.name()))
            .spawn(read)
            .map_err(LabError::Thread)?;
        Ok(Self {
            child,
            clock,
            messages,
            commands,
        })
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
        format!("{how}; {}", ending::output(&self.messages))
    }

    /// Sends a command; fails when the driver has exited.
    pub(crate) fn send(&mut self, command: &Value) -> io::Result<()> {
        match &mut self.commands {
            Some(commands) => writeln!(commands, "{command}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
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

/// Creates a client and connects it. The sender adds the id of the command, as for all commands below.
pub(crate) fn open(client: &str, url: &str) -> Value {
    json!({"do": "open", "client": client, "url": url})
}

/// Subscribes with recovery and without join and leave events.
pub(crate) fn subscribe(client: &str, channel: &str) -> Value {
    json!({"do": "subscribe", "client": client, "channel": channel, "recoverable": true, "join_leave": false})
}

/// Publishes with an idempotency key.
pub(crate) fn publish(client: &str, channel: &str, key: &str, data: &Value) -> Value {
    let data = json!({"channel": channel, "data": data, "idempotency_key": key});
    json!({"do": "rpc", "client": client, "method": "gw.publish", "data": data})
}

/// Disconnects a client.
pub(crate) fn close(client: &str) -> Value {
    json!({"do": "close", "client": client})
}
