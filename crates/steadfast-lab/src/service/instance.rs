//! One process of a service, and the thread that owns it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use steadfast_clock::Clock;
use steadfast_faults::ledger::event::{FaultEvent, ProcessEvent, RunEvent};
use steadfast_faults::topology::{FaultId, InstanceId};
use steadfast_machine::Instant;

use super::probe;
use crate::ending;
use crate::error::LabError;
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// Interval at which a process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Longest wait for the effect of a signal.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// Capacity of the command queue; a plan sends one command at a time.
const COMMANDS_MAX: usize = 16;
/// Name of the file with the output of a process.
const OUTPUT_FILE: &str = "service.log";

/// What to do to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceCommand {
    /// Starts the process for the first time.
    Start,
    /// Sends SIGKILL and waits for the exit.
    Kill(FaultId),
    /// Sends SIGTERM, and SIGKILL if the process has not exited after the grace period.
    Term(FaultId, Duration),
    /// Sends SIGSTOP and waits until the process is stopped.
    Pause(FaultId),
    /// Heals the fault: starts the process again, or sends SIGCONT.
    Heal(FaultId),
    /// Terminates the process in any state, at the end of the run.
    Stop,
}

/// The program, port and directory of an instance.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSetup {
    pub(crate) id: InstanceId,
    /// The name in messages, for example `gateway:1`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// Kills the process when the lab terminates; without a launcher the process is started directly.
    pub(crate) launcher: Option<PathBuf>,
    /// Directory of its configuration, data and log.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

/// Handle of an instance: it receives commands, and its thread sends events to the inbox.
#[derive(Debug)]
pub(crate) struct Service {
    commands: SyncSender<ServiceCommand>,
    thread: Option<JoinHandle<()>>,
    port: u16,
    output: PathBuf,
}

impl Service {
    /// Writes the configuration and starts the thread. [`ServiceCommand::Start`] starts the process.
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
        fs::write(
            setup.folder.join("steadfast.toml"),
            configuration(setup.port),
        )
        .map_err(failed)?;
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let port = setup.port;
        let output = setup.folder.join(OUTPUT_FILE);
        let name = setup.name.clone();
        let supervisor = Supervisor {
            setup,
            clock,
            inbox,
            child: None,
            is_starting: false,
            healing: None,
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || supervisor.run(&received))
            .map_err(LabError::Thread)?;
        Ok(Self {
            commands,
            thread: Some(thread),
            port,
            output,
        })
    }

    /// Sends a command.
    pub(crate) fn send(&self, command: ServiceCommand) {
        // The thread ends only with the last command; after that there is nothing to do.
        let _ = self.commands.send(command);
    }

    /// The last lines that the process printed.
    pub(crate) fn output(&self) -> String {
        ending::output(&self.output)
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/connection/websocket", self.port)
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

/// With segments of 1 MiB, the log starts new segments several times in a run; with the default size it never would.
fn configuration(port: u16) -> String {
    format!(
        "[server]\nport = {port}\nshards = 1\n\n[store]\ndirectory = \"data\"\nsegment_bytes = \"1MiB\"\n"
    )
}

/// The state of the thread.
struct Supervisor {
    setup: ServiceSetup,
    clock: Clock,
    inbox: SyncSender<HarnessMessage>,
    child: Option<Child>,
    /// True when the process is started, and not ready yet.
    is_starting: bool,
    /// The fault that is healed once the process is ready.
    healing: Option<FaultId>,
}

impl Supervisor {
    fn run(mut self, commands: &Receiver<ServiceCommand>) {
        loop {
            match commands.recv_timeout(POLL_INTERVAL) {
                Ok(ServiceCommand::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(command) => self.execute(command),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.poll();
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
        match self.spawn() {
            Ok(child) => {
                self.child = Some(child);
                self.is_starting = true;
                self.send_process_event(ProcessEvent::Started);
            }
            Err(error) => {
                self.report_failure(format!("failed to start {}: {error}", self.setup.name));
            }
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = self.log()?;
        let mut command = match &self.setup.launcher {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                let own_id = std::process::id().to_string();
                command.args(["lab", "launch", "--parent", &own_id, "--"]);
                command.arg(&self.setup.program);
                command
            }
            None => Command::new(&self.setup.program),
        };
        command
            .args(["serve", "--config", "steadfast.toml"])
            // Settings for the lab must not apply to its services.
            .env_remove("PORT")
            .env_remove("STEADFAST_ADDRESS")
            .env_remove("STEADFAST_DATA")
            .current_dir(&self.setup.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn kill(&mut self, fault: FaultId) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(mut child) = self.child.take() else {
            return self.report_ineffective(fault, "it was not running");
        };
        let status = child.kill().and_then(|()| child.wait());
        self.confirm_end(fault, status, Signal::KILL);
    }

    fn term(&mut self, fault: FaultId, grace: Duration) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(mut child) = self.child.take() else {
            return self.report_ineffective(fault, "it was not running");
        };
        if let Err(error) = signal(&child, Signal::TERM) {
            self.child = Some(child);
            return self.report_ineffective(fault, &error.to_string());
        }
        match self.wait(&mut child, grace) {
            Ok(Some(status)) => self.confirm_end(fault, Ok(status), Signal::TERM),
            Ok(None) => {
                let status = child.kill().and_then(|()| child.wait());
                self.confirm_end(fault, status, Signal::KILL);
            }
            Err(error) => self.report_ineffective(fault, &error.to_string()),
        }
    }

    fn confirm_end(&mut self, fault: FaultId, status: io::Result<ExitStatus>, expected: Signal) {
        self.is_starting = false;
        match status {
            Ok(status) => {
                let by = status.signal();
                let exit = ending::exit(status);
                self.send_process_event(ProcessEvent::Exited(exit));
                // A process can handle SIGTERM and exit with a code; it cannot handle SIGKILL.
                if by == Some(expected.as_raw()) || (expected == Signal::TERM && by.is_none()) {
                    self.send_fault_event(fault, self.clock.now(), FaultEvent::Confirmed);
                } else {
                    self.report_ineffective(fault, &format!("it {}", ending::describe(exit)));
                }
            }
            Err(error) => self.report_ineffective(fault, &error.to_string()),
        }
    }

    fn pause(&self, fault: FaultId) {
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Injected);
        let Some(child) = &self.child else {
            return self.report_ineffective(fault, "it was not running");
        };
        let id = child.id();
        if let Err(error) = signal(child, Signal::STOP) {
            return self.report_ineffective(fault, &error.to_string());
        }
        let deadline = self.clock.now() + CONFIRM_TIMEOUT;
        while !is_stopped(id) {
            if self.clock.now() >= deadline {
                return self.report_ineffective(fault, "not stopped by SIGSTOP");
            }
            thread::park_timeout(POLL_INTERVAL);
        }
        self.send_fault_event(fault, self.clock.now(), FaultEvent::Confirmed);
    }

    fn heal(&mut self, fault: FaultId) {
        match &self.child {
            None => {
                self.healing = Some(fault);
                self.start();
            }
            Some(child) => {
                if let Err(error) = signal(child, Signal::CONT) {
                    self.report_failure(format!("failed to resume {}: {error}", self.setup.name));
                }
                self.send_fault_event(fault, self.clock.now(), FaultEvent::Healed);
            }
        }
    }

    /// Detects that the process became ready or exited without a command.
    fn poll(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                self.child = None;
                let exit = ending::exit(status);
                if std::mem::take(&mut self.is_starting) {
                    self.report_failure(format!(
                        "{} {} before it was ready; {}",
                        self.setup.name,
                        ending::describe(exit),
                        ending::output(&self.setup.folder.join(OUTPUT_FILE))
                    ));
                }
                self.send_process_event(ProcessEvent::Exited(exit));
                return;
            }
            Err(error) => return self.report_failure(format!("{}: {error}", self.setup.name)),
        }
        if self.is_starting && probe::is_ready(self.setup.port) {
            self.is_starting = false;
            self.send_process_event(ProcessEvent::Ready);
            if let Some(fault) = self.healing.take() {
                self.send_fault_event(fault, self.clock.now(), FaultEvent::Healed);
            }
        }
    }

    /// Waits until a process exits; `None` if it has not exited within the limit.
    fn wait(&self, child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = self.clock.now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if self.clock.now() >= deadline {
                return Ok(None);
            }
            thread::park_timeout(POLL_INTERVAL);
        }
    }

    fn end(mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // A stopped process cannot handle SIGTERM.
        drop(signal(&child, Signal::CONT));
        drop(signal(&child, Signal::TERM));
        if !matches!(self.wait(&mut child, CONFIRM_TIMEOUT), Ok(Some(_))) {
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn log(&self) -> io::Result<File> {
        let path = self.setup.folder.join(OUTPUT_FILE);
        OpenOptions::new().create(true).append(true).open(path)
    }

    fn send_process_event(&self, what: ProcessEvent) {
        let instance = self.setup.id;
        self.send(
            self.clock.now(),
            MessagePayload::RunEvent(RunEvent::Process {
                instance,
                event: what,
            }),
        );
    }

    fn send_fault_event(&self, fault: FaultId, at: Instant, what: FaultEvent) {
        self.send(
            at,
            MessagePayload::RunEvent(RunEvent::Fault { fault, event: what }),
        );
    }

    fn report_ineffective(&self, fault: FaultId, why: &str) {
        self.send_fault_event(
            fault,
            self.clock.now(),
            FaultEvent::Ineffective(why.to_owned()),
        );
    }

    fn report_failure(&self, what: String) {
        self.send(self.clock.now(), MessagePayload::Failure(what));
    }

    fn send(&self, at: Instant, payload: MessagePayload) {
        // The inbox is closed once the run has ended.
        drop(self.inbox.send(HarnessMessage { at, payload }));
    }
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process(id, signal)?)
}

/// Reads the state letter after the name of the process, which is in parentheses and may contain any character.
fn is_stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'))
}
