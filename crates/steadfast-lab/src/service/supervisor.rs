//! The thread that owns the process of an instance: starts it, executes commands, and notices exits.

mod faults;
mod readiness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::ledger::event::{FaultEvent, ProcessEvent, ProcessExit, RunEvent};
use steadfast_faults::scenario::model::RestartPolicy;
use steadfast_faults::topology::FaultId;
use steadfast_machine::Instant;

use self::readiness::Readiness;
pub(super) use self::readiness::Waiting;
use super::descendants;
use super::instance::ServiceCommand;
use super::output::Output;
use super::process::{POLL_INTERVAL, Process};
use super::setup::ServiceSetup;
use crate::ending;
use crate::runner::fault_parts::FaultPart;
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// Longest wait until the last lines of a process that has ended are read. A descendant can keep the pipe open.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of the thread.
pub(super) struct Supervisor {
    setup: ServiceSetup,
    clock: Clock,
    inbox: SyncSender<HarnessMessage>,
    output: Output,
    waiting: Arc<Waiting>,
    /// The id of the process for other threads; 0 while there is none.
    process_id: Arc<AtomicU32>,
    process: Option<Process>,
    /// Reads the output of the process.
    reader: Option<JoinHandle<()>>,
    /// While the process is started, and not ready yet.
    starting: Option<Readiness>,
    /// The fault that is healed once the process is ready.
    healing: Option<FaultId>,
    /// When the process is started again after an exit that no fault caused.
    restart_at: Option<Instant>,
    /// Whether the process was killed at the end of the run, so that it could not end its children.
    has_killed: bool,
    /// Whether descendants that outlast the process were reported.
    has_reported_descendants: bool,
}

impl Supervisor {
    pub(super) fn new(
        setup: ServiceSetup,
        clock: Clock,
        inbox: SyncSender<HarnessMessage>,
        (output, waiting, process_id): (Output, Arc<Waiting>, Arc<AtomicU32>),
    ) -> Self {
        Self {
            setup,
            clock,
            inbox,
            output,
            waiting,
            process_id,
            process: None,
            reader: None,
            starting: None,
            healing: None,
            restart_at: None,
            has_killed: false,
            has_reported_descendants: false,
        }
    }

    pub(super) fn run(mut self, commands: &Receiver<ServiceCommand>) {
        loop {
            match commands.recv_timeout(POLL_INTERVAL) {
                Ok(ServiceCommand::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.execute(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.poll();
            let id = self.process.as_ref().map_or(0, Process::number);
            self.process_id.store(id, Ordering::Relaxed);
        }
        self.end();
    }

    fn execute(&mut self, command: ServiceCommand) {
        match command {
            ServiceCommand::Start => self.start(),
            ServiceCommand::Kill(fault) => self.kill(fault),
            ServiceCommand::Term(fault, grace) => self.term(fault, grace),
            ServiceCommand::Pause(fault) => self.pause(fault),
            ServiceCommand::Heal(fault) => self.heal(fault),
            ServiceCommand::Stop => {}
        }
    }

    fn start(&mut self) {
        self.restart_at = None;
        let started = self
            .output
            .begin(self.setup.ready.awaited())
            .and_then(|(writer, reader)| {
                let process = Process::start(&self.setup, writer, self.clock)?;
                Ok((process, reader))
            });
        match started {
            Ok((process, reader)) => {
                self.process = Some(process);
                self.reader = Some(reader);
                self.send_process_event(ProcessEvent::Started);
                let (probe, output) = (self.setup.ready.clone(), self.output.clone());
                let waiting = Arc::clone(&self.waiting);
                match Readiness::watch(probe, output, self.clock, waiting) {
                    Ok(readiness) => self.starting = Some(readiness),
                    Err(error) => self.report_failure(format!("{}: {error}", self.setup.name())),
                }
            }
            Err(error) => {
                let (name, command) = (self.setup.name(), self.setup.shown());
                self.report_failure(format!("failed to start {name}: {error}: {command}"));
            }
        }
    }

    /// Notices that the process became ready or exited without a command, and starts it again when it is time.
    fn poll(&mut self) {
        if self.restart_at.is_some_and(|at| self.clock.now() >= at) {
            self.start();
        }
        let Some(process) = &mut self.process else {
            return;
        };
        match process.poll() {
            Ok(None) => {}
            Ok(Some(status)) => return self.on_own_exit(ending::exit(status)),
            Err(error) => return self.report_failure(format!("{}: {error}", self.setup.name())),
        }
        if self.starting.as_ref().is_some_and(Readiness::is_ready) {
            self.starting = None;
            self.send_process_event(ProcessEvent::Ready);
            if let Some(fault) = self.healing.take() {
                self.send_fault_event(fault, self.clock.now(), FaultEvent::Healed);
            }
        }
    }

    /// The process exited, and no fault is the reason.
    fn on_own_exit(&mut self, exit: ProcessExit) {
        self.process = None;
        self.read_to_end();
        if self.starting.take().is_some() {
            self.report_failure(format!(
                "{} {} before it was ready; {}",
                self.setup.name(),
                ending::describe(exit),
                self.output.recent()
            ));
        }
        self.send_process_event(ProcessEvent::Exited(exit));
        self.end_descendants();
        if let RestartPolicy::After(delay) = self.setup.restart {
            self.restart_at = Some(self.clock.now() + delay);
        }
    }

    /// Waits until the last lines of a process that has ended are read.
    fn read_to_end(&mut self) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let deadline = self.clock.now() + OUTPUT_TIMEOUT;
        while !reader.is_finished() && self.clock.now() < deadline {
            thread::park_timeout(POLL_INTERVAL);
        }
    }

    /// Ends the descendants of a process that has exited on its own or as requested: they may hold its ports.
    fn end_descendants(&mut self) {
        let killed = descendants::kill(&self.setup.folder);
        if killed.is_empty() || std::mem::replace(&mut self.has_reported_descendants, true) {
            return;
        }
        self.notify(format!(
            "{} exited and left processes: {}; they were killed. Let it end its children when it ends, or start \
             them as services of their own",
            self.setup.name(),
            descendants::listed(&killed)
        ));
    }

    fn end(mut self) {
        self.starting = None;
        if let Some(mut process) = self.process.take() {
            self.end_process(&mut process);
        }
        if self.has_killed {
            descendants::kill(&self.setup.folder);
        } else {
            self.end_descendants();
        }
        self.read_to_end();
        if let Some(notice) = self.output.finish() {
            self.notify(format!("{}: {notice}", self.setup.name()));
        }
    }

    fn end_process(&mut self, process: &mut Process) {
        let grace = self.setup.stop.grace;
        if grace.is_zero() {
            self.has_killed = true;
            let _ = process.kill();
        } else {
            // A stopped process cannot handle the signal.
            drop(process.resume());
            drop(process.request_stop(self.setup.stop.signal));
            if !matches!(process.wait(grace), Ok(Some(_))) {
                self.has_killed = true;
                drop(process.kill());
                self.notify(format!(
                    "{} did not exit within {grace:?} at the end of the run and was killed; give it more time with \
                     stop = {{ grace = \"…\" }}, or select its signal with stop = {{ signal = \"…\" }}",
                    self.setup.name()
                ));
            }
        }
    }

    fn send_process_event(&self, what: ProcessEvent) {
        let instance = self.setup.instance.id;
        self.send(
            self.clock.now(),
            MessagePayload::RunEvent(RunEvent::Process {
                instance,
                event: what,
            }),
        );
    }

    fn send_fault_event(&self, fault: FaultId, at: Instant, what: FaultEvent) {
        let part = FaultPart::Instance(self.setup.instance.id);
        self.send(at, MessagePayload::Fault(fault, part, what));
    }

    fn report_failure(&self, what: String) {
        self.send(self.clock.now(), MessagePayload::Failure(what));
    }

    fn notify(&self, what: String) {
        self.send(self.clock.now(), MessagePayload::Notice(what));
    }

    fn send(&self, at: Instant, payload: MessagePayload) {
        // The inbox is closed once the run has ended.
        drop(self.inbox.send(HarnessMessage { at, payload }));
    }
}
