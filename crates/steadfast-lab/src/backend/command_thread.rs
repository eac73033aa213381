//! A thread that executes commands in their order, for a backend whose operations take time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::error::LabError;

/// Capacity of the command queue; a plan sends one command at a time.
const COMMANDS_MAX: usize = 16;

/// Handle of the thread, which ends when the handle is dropped.
#[derive(Debug)]
pub(super) struct CommandThread<C> {
    /// Closed first at the end: the thread ends with its commands.
    commands: Option<SyncSender<C>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> CommandThread<C> {
    /// Starts the thread. `run` returns when the queue of commands is closed.
    pub(super) fn start(
        name: &str,
        run: impl FnOnce(&Receiver<C>) + Send + 'static,
    ) -> Result<Self, LabError> {
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&received))
            .map_err(LabError::Thread)?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Queues a command.
    pub(super) fn send(&self, command: C) {
        if let Some(commands) = &self.commands {
            // The thread ends only when this handle is dropped.
            drop(commands.send(command));
        }
    }
}

impl<C> Drop for CommandThread<C> {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
