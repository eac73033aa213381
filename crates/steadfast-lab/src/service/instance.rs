//! One process of a service and the thread that owns it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use steadfast::clock::Clock;
use steadfast_faults::ledger::record::{Exit, Fact, FaultFact, ProcessFact};
use steadfast_faults::roster::{FaultId, InstanceId};
use steadfast_machine::Instant;

use super::probe;
use crate::error::LabError;
use crate::runner::inbox::{Message, Source};

/// Pause between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A signal that has not had its effect by then had none.
const CONFIRM_MAX: Duration = Duration::from_secs(5);
/// Orders that may wait; a plan gives one at a time.
const ORDERS_MAX: usize = 16;
/// What is shown of the log of a process that ended by itself.
const LOG_LINES_SHOWN: usize = 20;

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start it for the first time.
    Start,
    /// SIGKILL.
    Kill(FaultId),
    /// SIGTERM, and SIGKILL when it has not ended after the grace.
    Term(FaultId, Duration),
    /// SIGSTOP.
    Pause(FaultId),
    /// Undo: start it again, or SIGCONT.
    Heal(FaultId),
    /// The run is over: end it, whatever state it is in.
    Stop,
}

/// How an instance is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) id: InstanceId,
    /// For messages, for example `gateway:1`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// Ties the process to the life of this one; without it the process is started directly.
    pub(crate) launcher: Option<PathBuf>,
    /// Configuration, data and log are in here.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

/// An instance: orders go in, facts come out.
#[derive(Debug)]
pub(crate) struct Service {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
    port: u16,
}

impl Service {
    /// Writes its configuration and starts its thread; the process itself is started by [`Order::Start`].
    pub(crate) fn new(
        setup: Setup,
        clock: Clock,
        inbox: SyncSender<Message>,
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
        let (orders, taken) = sync_channel(ORDERS_MAX);
        let port = setup.port;
        let name = setup.name.clone();
        let owner = Owner {
            setup,
            clock,
            inbox,
            child: None,
            is_starting: false,
            healing: None,
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || owner.live(&taken))
            .map_err(LabError::Thread)?;
        Ok(Self {
            orders,
            thread: Some(thread),
            port,
        })
    }

    /// Gives an order.
    pub(crate) fn order(&self, order: Order) {
        // The thread ends only with the last order; then there is nothing left to be done.
        let _ = self.orders.send(order);
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/connection/websocket", self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Segments of the smallest size roll several times in a run; the real ones never would.
fn configuration(port: u16) -> String {
    format!(
        "[server]\nport = {port}\ncores = 1\n\n[store]\ndirectory = \"data\"\nsegment_bytes = \"1MiB\"\n"
    )
}

/// The thread's own things.
struct Owner {
    setup: Setup,
    clock: Clock,
    inbox: SyncSender<Message>,
    child: Option<Child>,
    /// Started and not ready yet.
    is_starting: bool,
    /// The fault that is undone once the process is ready.
    healing: Option<FaultId>,
}

impl Owner {
    fn live(mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(LOOK_EVERY) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(order) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look();
        }
        self.end();
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start => self.start(),
            Order::Kill(fault) => self.kill(fault),
            Order::Term(fault, grace) => self.term(fault, grace),
            Order::Pause(fault) => self.pause(fault),
            Order::Heal(fault) => self.heal(fault),
            Order::Stop => {}
        }
    }

    fn start(&mut self) {
        match self.spawn() {
            Ok(child) => {
                self.child = Some(child);
                self.is_starting = true;
                self.tell_process(ProcessFact::Started);
            }
            Err(error) => {
                self.tell_failure(format!("{} cannot be started: {error}", self.setup.name));
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
            // What is meant for the lab is not meant for its services.
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
        self.tell_fault(fault, self.clock.now(), FaultFact::Injected);
        let Some(mut child) = self.child.take() else {
            return self.tell_ineffective(fault, "it was not running");
        };
        let status = child.kill().and_then(|()| child.wait());
        self.confirm_end(fault, status, Signal::KILL);
    }

    fn term(&mut self, fault: FaultId, grace: Duration) {
        self.tell_fault(fault, self.clock.now(), FaultFact::Injected);
        let Some(mut child) = self.child.take() else {
            return self.tell_ineffective(fault, "it was not running");
        };
        if let Err(error) = signal(&child, Signal::TERM) {
            self.child = Some(child);
            return self.tell_ineffective(fault, &error.to_string());
        }
        match self.wait(&mut child, grace) {
            Ok(Some(status)) => self.confirm_end(fault, Ok(status), Signal::TERM),
            Ok(None) => {
                let status = child.kill().and_then(|()| child.wait());
                self.confirm_end(fault, status, Signal::KILL);
            }
            Err(error) => self.tell_ineffective(fault, &error.to_string()),
        }
    }

    fn confirm_end(&mut self, fault: FaultId, status: io::Result<ExitStatus>, expected: Signal) {
        self.is_starting = false;
        match status {
            Ok(status) => {
                let by = status.signal();
                self.tell_process(ProcessFact::Exited(exit(status)));
                // A clean end is what SIGTERM asks for; SIGKILL allows none.
                if by == Some(expected.as_raw()) || (expected == Signal::TERM && by.is_none()) {
                    self.tell_fault(fault, self.clock.now(), FaultFact::Confirmed);
                } else {
                    self.tell_ineffective(fault, &format!("it ended with {status}"));
                }
            }
            Err(error) => self.tell_ineffective(fault, &error.to_string()),
        }
    }

    fn pause(&self, fault: FaultId) {
        self.tell_fault(fault, self.clock.now(), FaultFact::Injected);
        let Some(child) = &self.child else {
            return self.tell_ineffective(fault, "it was not running");
        };
        let id = child.id();
        if let Err(error) = signal(child, Signal::STOP) {
            return self.tell_ineffective(fault, &error.to_string());
        }
        let deadline = self.clock.now() + CONFIRM_MAX;
        while !is_stopped(id) {
            if self.clock.now() >= deadline {
                return self.tell_ineffective(fault, "it does not stand still");
            }
            thread::park_timeout(LOOK_EVERY);
        }
        self.tell_fault(fault, self.clock.now(), FaultFact::Confirmed);
    }

    fn heal(&mut self, fault: FaultId) {
        match &self.child {
            None => {
                self.healing = Some(fault);
                self.start();
            }
            Some(child) => {
                if let Err(error) = signal(child, Signal::CONT) {
                    self.tell_failure(format!("{} does not run on: {error}", self.setup.name));
                }
                self.tell_fault(fault, self.clock.now(), FaultFact::Healed);
            }
        }
    }

    /// Notices that it became ready, or that it ended by itself.
    fn look(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                self.child = None;
                self.is_starting = false;
                self.tell_process(ProcessFact::Exited(exit(status)));
                if self.healing.is_some() {
                    let told = log_tail(&self.setup.folder.join("service.log"));
                    self.tell_failure(format!("{} ended with {status}:\n{told}", self.setup.name));
                }
                return;
            }
            Err(error) => return self.tell_failure(format!("{}: {error}", self.setup.name)),
        }
        if self.is_starting && probe::is_ready(self.setup.port) {
            self.is_starting = false;
            self.tell_process(ProcessFact::Ready);
            if let Some(fault) = self.healing.take() {
                self.tell_fault(fault, self.clock.now(), FaultFact::Healed);
            }
        }
    }

    /// Waits for the end of a process; `None` when it has not ended by then.
    fn wait(&self, child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = self.clock.now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if self.clock.now() >= deadline {
                return Ok(None);
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }

    fn end(mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // A process that stands still cannot end by itself.
        drop(signal(&child, Signal::CONT));
        drop(signal(&child, Signal::TERM));
        if !matches!(self.wait(&mut child, CONFIRM_MAX), Ok(Some(_))) {
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn log(&self) -> io::Result<File> {
        let path = self.setup.folder.join("service.log");
        OpenOptions::new().create(true).append(true).open(path)
    }

    fn tell_process(&self, what: ProcessFact) {
        let instance = self.setup.id;
        self.tell(
            self.clock.now(),
            Source::Fact(Fact::Process { instance, what }),
        );
    }

    fn tell_fault(&self, fault: FaultId, at: Instant, what: FaultFact) {
        self.tell(at, Source::Fact(Fact::Fault { fault, what }));
    }

    fn tell_ineffective(&self, fault: FaultId, why: &str) {
        self.tell_fault(
            fault,
            self.clock.now(),
            FaultFact::Ineffective(why.to_owned()),
        );
    }

    fn tell_failure(&self, what: String) {
        self.tell(self.clock.now(), Source::Failure(what));
    }

    fn tell(&self, at: Instant, source: Source) {
        // Nobody listens any more once the run is over.
        drop(self.inbox.send(Message { at, source }));
    }
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let id = id.ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process(id, signal)?)
}

/// The letter behind the name, which is in brackets and may hold anything.
fn is_stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'))
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}

fn log_tail(path: &Path) -> String {
    let log = fs::read_to_string(path).unwrap_or_default();
    let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
    log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
