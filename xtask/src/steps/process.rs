//! The process of one step: its start, its output, its time limit and its end.
//!
//! The module `steps` starts a process for each step and polls it; this module does not know the other steps.

use std::fs::{self, File};
use std::io::{IsTerminal as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Step;
use crate::tools::command;
use crate::tree::root;

/// The time within which a terminated step must stop its own child processes.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Interval at which a process that is being stopped is polled.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Where the output of a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// To the output of this program, as it is printed.
    Live,
    /// To a file, because the lines of concurrent steps would mix.
    File,
}

/// A running step.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) step: &'a Step,
    child: Child,
    /// True if the step has a process group of its own.
    has_group: bool,
    start: Instant,
    log: Option<PathBuf>,
}

impl<'a> Running<'a> {
    /// Starts the step's command.
    ///
    /// # Errors
    ///
    /// When the program, the folder of the step or the file of its output is not accessible.
    pub(super) fn start(step: &'a Step, output: Output) -> Result<Self> {
        if let Some(folder) = &step.folder {
            fs::create_dir_all(root().join(folder))
                .with_context(|| format!("failed to make {folder}"))?;
        }
        let mut command = command(&step.program);
        command
            .args(&step.arguments)
            .envs(step.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null());
        let log = match output {
            Output::Live => None,
            Output::File => {
                let path = log_path(&step.name);
                let file = create(&path)?;
                command.stdout(file.try_clone()?).stderr(file);
                Some(path)
            }
        };
        // At a terminal a step stays in the process group of the shell, so that Ctrl-C reaches it.
        let has_group = !stdin().is_terminal();
        if has_group {
            command.process_group(0);
        }
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {}", step.program))?;
        Ok(Self {
            step,
            child,
            has_group,
            start: Instant::now(),
            log,
        })
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns true when the step has passed, false while it runs.
    ///
    /// # Errors
    ///
    /// When the step has failed, or when it was stopped because its time limit has passed.
    pub(super) fn has_passed(&mut self) -> Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            ensure!(
                status.success(),
                "{} exited with {status}",
                self.step.program
            );
            return Ok(true);
        }
        if self.elapsed() >= self.step.limit {
            self.stop()?;
            let limit = self.step.limit.as_secs_f64();
            bail!("{} timed out after {limit:.1} s", self.step.program);
        }
        Ok(false)
    }

    /// Returns what the step has printed, unless that was printed live.
    pub(super) fn output(&self) -> String {
        let bytes = self.log.as_ref().and_then(|path| fs::read(path).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Stops the step.
    ///
    /// # Errors
    ///
    /// When a signal cannot be sent.
    pub(super) fn stop(&mut self) -> Result<()> {
        stop(&mut self.child, self.has_group)
    }
}

/// Stops a process, and its process group if it has one of its own: first with SIGTERM, since a test runner has process
/// groups of its own to stop.
fn stop(child: &mut Child, has_group: bool) -> Result<()> {
    let process = Pid::from_child(child);
    if has_group {
        ignore_missing(kill_process_group(process, Signal::TERM))?;
    } else {
        ignore_missing(kill_process(process, Signal::TERM))?;
    }
    let deadline = Instant::now() + STOP_WAIT;
    while child.try_wait()?.is_none() && Instant::now() < deadline {
        thread::sleep(STOP_POLL_INTERVAL);
    }
    // What is left of the group may ignore SIGTERM.
    if has_group {
        ignore_missing(kill_process_group(process, Signal::KILL))?;
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// A process that has ended already needs no signal.
fn ignore_missing(sent: rustix::io::Result<()>) -> Result<()> {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The file with the output of a step.
fn log_path(name: &str) -> PathBuf {
    root().join("target/steps").join(format!("{name}.log"))
}

fn create(path: &PathBuf) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path).with_context(|| format!("failed to create {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;
    use crate::steps::Lane;

    #[test]
    fn a_step_that_hangs_is_stopped() {
        let mut hung = step("hung", "sleep 60");
        hung.limit = Duration::ZERO;

        let error = Running::start(&hung, Output::File)
            .unwrap()
            .has_passed()
            .unwrap_err();

        assert!(
            format!("{error:#}").contains("timed out after"),
            "{error:#}"
        );
    }

    #[test]
    fn what_a_step_has_started_is_stopped_with_it() {
        // The inner process keeps the output open while it runs, and ignores SIGTERM.
        let script = "(trap '' TERM; echo ready; sleep 60) & wait";
        let mut step = command("sh")
            .args(["-c", script])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(step.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();

        let begin = Instant::now();
        stop(&mut step, true).unwrap();

        assert_eq!(output.read_line(&mut String::new()).unwrap(), 0);
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it ran to its end"
        );
    }

    fn step(name: &str, script: &str) -> Step {
        Step {
            name: format!("test-{name}-{}", std::process::id()),
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            variables: Vec::new(),
            folder: None,
            limit: Duration::from_mins(1),
            lane: Lane::Workspace,
            after: Vec::new(),
        }
    }
}
