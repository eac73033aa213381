//! One process with its group: it is started, signalled and awaited.

use std::fs;
use std::io::{self, PipeWriter};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use steadfast_clock::Clock;
use steadfast_faults::scenario::model::StopSignal;

use super::descendants;
use super::setup::ServiceSetup;

/// Interval at which a process is polled.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Variables with settings for the lab, which must not apply to its services.
const REMOVED: [&str; 4] = [
    "PORT",
    "STEADFAST_ADDRESS",
    "STEADFAST_DATA",
    "STEADFAST_CONFIG",
];

/// A process that was started and whose exit was not reported yet. It leads a process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    clock: Clock,
}

impl Process {
    pub(super) fn start(
        setup: &ServiceSetup,
        output: PipeWriter,
        clock: Clock,
    ) -> io::Result<Self> {
        let (program, arguments) = setup
            .command
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = match &setup.launcher {
            Some(launcher) => {
                let mut command = Command::new(launcher);
                let own_id = std::process::id().to_string();
                command.args(["lab", "launch", "--parent", &own_id, "--"]);
                command.arg(program);
                command
            }
            None => Command::new(program),
        };
        for name in REMOVED {
            command.env_remove(name);
        }
        if let Some(directory) = &setup.directory {
            command.current_dir(directory);
        }
        let child = command
            .args(arguments)
            .envs(setup.env.iter().map(|(name, value)| (name, value)))
            .env(descendants::VARIABLE, &setup.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { child, clock })
    }

    /// Its id as a number.
    pub(super) fn number(&self) -> u32 {
        self.child.id()
    }

    /// Requests the exit.
    pub(super) fn request_stop(&self, by: StopSignal) -> io::Result<()> {
        Ok(kill_process(self.id()?, signal(by))?)
    }

    /// Kills the group and waits for the exit of its leader.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        // The id is not assigned again before the exit is collected below.
        kill_process_group(self.id()?, Signal::KILL)?;
        self.child.wait()
    }

    /// Suspends the group. It is effective when [`Self::is_stopped`].
    pub(super) fn suspend(&self) -> io::Result<()> {
        Ok(kill_process_group(self.id()?, Signal::STOP)?)
    }

    /// Resumes the group.
    pub(super) fn resume(&self) -> io::Result<()> {
        Ok(kill_process_group(self.id()?, Signal::CONT)?)
    }

    /// Whether the process is suspended: the state letter follows the name, which is in parentheses.
    pub(super) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.unwrap_or_default()
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// The exit status, if the process has exited.
    pub(super) fn poll(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until the process exits; `None` if it has not exited within the limit.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = self.clock.now() + limit;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Some(status));
            }
            if self.clock.now() >= deadline {
                return Ok(None);
            }
            thread::park_timeout(POLL_INTERVAL);
        }
    }

    fn id(&self) -> io::Result<Pid> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        Ok(id.ok_or(io::ErrorKind::NotFound)?)
    }
}

/// The operating system's signal.
pub(super) const fn signal(by: StopSignal) -> Signal {
    match by {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
    }
}
