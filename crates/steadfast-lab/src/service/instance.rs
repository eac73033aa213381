//! An instance of a service: its directory, its log, and the thread that owns its process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::topology::FaultId;

use super::output::Output;
use super::probe::Probe;
use super::setup::ServiceSetup;
use super::sockets::Sockets;
use super::supervisor::{Supervisor, Waiting};
use crate::address::port_of;
use crate::error::LabError;
use crate::runner::inbox::HarnessMessage;

/// Capacity of the command queue; a plan sends one command at a time.
const COMMANDS_MAX: usize = 16;

/// What to do to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceCommand {
    /// Starts the process for the first time.
    Start,
    /// Sends SIGKILL to the process and its group, and waits for the exit.
    Kill(FaultId),
    /// Sends the stop signal, and SIGKILL if the process has not exited after the grace period.
    Term(FaultId, Duration),
    /// Sends SIGSTOP to the process and its group, and waits until the process is stopped.
    Pause(FaultId),
    /// Heals the fault: starts the process again, or sends SIGCONT.
    Heal(FaultId),
    /// Terminates the process in any state, at the end of the run.
    Stop,
}

/// Handle of an instance: it receives commands, and its thread sends events to the inbox.
#[derive(Debug)]
pub(crate) struct Service {
    commands: SyncSender<ServiceCommand>,
    thread: Option<JoinHandle<()>>,
    url: String,
    effects: Option<PathBuf>,
    leader: Option<Probe>,
    clock: Clock,
    output: Output,
    waiting: Arc<Waiting>,
    /// The id of the process; 0 while there is none.
    process: Arc<AtomicU32>,
}

impl Service {
    /// Writes the files and starts the thread. [`ServiceCommand::Start`] starts the process.
    pub(crate) fn new(
        setup: ServiceSetup,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
    ) -> Result<Self, LabError> {
        let failed = |source| LabError::Folder {
            path: setup.folder.clone(),
            source,
        };
        fs::create_dir_all(&setup.folder).map_err(failed)?;
        fs::create_dir_all(&setup.data).map_err(failed)?;
        for (name, text) in &setup.files {
            fs::write(setup.folder.join(name), text).map_err(failed)?;
        }
        let output = Output::create(&setup.folder, clock).map_err(failed)?;
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let (name, url, leader) = (setup.name(), setup.url.clone(), setup.leader.clone());
        let effects = setup.effects.clone();
        let waiting = Arc::new(Waiting::default());
        let process = Arc::new(AtomicU32::new(0));
        let shared = (output.clone(), Arc::clone(&waiting), Arc::clone(&process));
        let supervisor = Supervisor::new(setup, clock, inbox, shared);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || supervisor.run(&received))
            .map_err(LabError::Thread)?;
        Ok(Self {
            commands,
            thread: Some(thread),
            url,
            effects,
            leader,
            clock,
            output,
            waiting,
            process,
        })
    }

    /// Sends a command.
    pub(crate) fn send(&self, command: ServiceCommand) {
        // The thread ends only with the last command; after that there is nothing to do.
        let _ = self.commands.send(command);
    }

    /// The last lines that the process printed.
    pub(crate) fn output(&self) -> String {
        self.output.recent()
    }

    /// What its readiness probe asks, and why it did not succeed yet.
    pub(crate) fn unready(&self) -> String {
        self.waiting.describe()
    }

    /// The number of connections that clients have to it; `None` if the kernel does not list them, or no URL has a port.
    pub(crate) fn connections(&self, sockets: &mut Sockets) -> Option<u32> {
        let port = port_of(&self.url)?;
        match self.process.load(Ordering::Relaxed) {
            // Nothing is connected to a process that does not run.
            0 => Some(0),
            process => sockets.established(process, port).ok(),
        }
    }

    /// The file in which it logs its effects.
    pub(crate) fn effects(&self) -> Option<&Path> {
        self.effects.as_deref()
    }

    /// The URL for clients; empty if it has none.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// What is needed to ask whether it leads.
    pub(super) fn leader(&self) -> Option<(Probe, Clock, Output)> {
        let probe = self.leader.clone()?;
        Some((probe, self.clock, self.output.clone()))
    }

    /// Whether the process has been terminated after [`ServiceCommand::Stop`].
    pub(crate) fn has_stopped(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.send(ServiceCommand::Stop);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
