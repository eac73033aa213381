//! Drivers: processes that own client libraries and do what they are told, a JSON object a line.
//!
//! One driver owns all clients of its kind. Lines that come are stamped with the run's clock by a thread that does
//! nothing else, so that a busy harness does not make a client look slow. It keeps no state of the clients.

pub mod line;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

use serde_json::{Value, json};
use steadfast::clock::Clock;
use steadfast_faults::roster::ClientKind;

use self::line::Line;
use crate::error::LabError;
use crate::runner::inbox::{Message, Source};

/// How each kind of client is started: a program and its arguments.
pub type DriverCommands = BTreeMap<ClientKind, Vec<OsString>>;

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    /// Closed first at the end, which is how a driver is told to end.
    commands: Option<ChildStdin>,
}

impl Driver {
    /// Starts one; a thread hands its lines, and at the end [`Line::Ended`], to `inbox`.
    pub(crate) fn start(
        kind: ClientKind,
        command: &[OsString],
        clock: Clock,
        inbox: SyncSender<Message>,
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
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let commands = child.stdin.take();
        let Some(lines) = child.stdout.take() else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let read = move || {
            let stamp = |line| Message {
                at: clock.now(),
                source: Source::Driver(kind, line),
            };
            for text in BufReader::new(lines).lines() {
                let line = text.map_or(Line::Ended, |text| Line::parse(&text));
                // Nobody listens any more once the run is over.
                if inbox.send(stamp(line)).is_err() {
                    return;
                }
            }
            drop(inbox.send(stamp(Line::Ended)));
        };
        thread::Builder::new()
            .name(format!("driver-{}", kind.name()))
            .spawn(read)
            .map_err(LabError::Thread)?;
        Ok(Self { child, commands })
    }

    /// Sends a command; fails when the driver has ended.
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
        // It ends by itself at the end of its input; what is left is stopped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The commands of the lab; their ids are set by who sends them.
pub(crate) fn open(client: &str, url: &str) -> Value {
    json!({"do": "open", "client": client, "url": url})
}

/// Subscribes so that a position is kept and recovered from.
pub(crate) fn subscribe(client: &str, channel: &str) -> Value {
    json!({"do": "subscribe", "client": client, "channel": channel, "recoverable": true, "join_leave": false})
}

/// Publishes with a key.
pub(crate) fn publish(client: &str, channel: &str, key: &str, data: &Value) -> Value {
    let data = json!({"channel": channel, "data": data, "key": key});
    json!({"do": "rpc", "client": client, "method": "gw.publish", "data": data})
}

/// Disconnects.
pub(crate) fn close(client: &str) -> Value {
    json!({"do": "close", "client": client})
}
