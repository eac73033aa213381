//! The thread that writes commands to a driver. Its queue is bounded: a driver that does not read its commands makes the
//! lab fail, and not wait.

use std::io::Write as _;
use std::process::ChildStdin;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::error::LabError;

/// Commands that wait to be written: all clients of a load connect and subscribe at once.
pub(super) const COMMANDS_MAX: usize = 8192;

/// Why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAccepted {
    /// The driver has closed its input, or has exited.
    Closed,
    /// [`COMMANDS_MAX`] commands wait: the driver does not read.
    Full,
}

/// The queue of commands. The input of the driver ends when it is dropped and everything is written.
#[derive(Debug)]
pub(super) struct CommandWriter {
    queue: SyncSender<String>,
}

impl CommandWriter {
    /// Starts the thread.
    pub(super) fn start(name: &str, mut input: ChildStdin) -> Result<Self, LabError> {
        let (queue, commands) = sync_channel::<String>(COMMANDS_MAX);
        let write = move || {
            for command in commands {
                // Each command is one write, as a driver without a buffer of its own expects.
                if input.write_all(format!("{command}\n").as_bytes()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name(format!("{name}-commands"))
            .spawn(write)
            .map_err(LabError::Thread)?;
        Ok(Self { queue })
    }

    pub(super) fn send(&self, command: String) -> Result<(), NotAccepted> {
        self.queue.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => NotAccepted::Full,
            TrySendError::Disconnected(_) => NotAccepted::Closed,
        })
    }
}
