//! Processes that are started with pipes, and end with this one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use load::cores::{GENERATOR_CORE, pin};

/// A running process, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a process on a core. What it writes to its standard error output is discarded if it `is_quiet`.
    pub(crate) fn start(command: &mut Command, core: usize, is_quiet: bool) -> Result<Self> {
        let errors = if is_quiet {
            Stdio::null()
        } else {
            Stdio::inherit()
        };
        pin(core)?;
        let started = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn();
        pin(GENERATOR_CORE)?;
        let mut child = started.with_context(|| format!("failed to start {command:?}"))?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Starts this program in another role.
    pub(crate) fn start_self(args: &[&str], core: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.args(args), core, false)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line of its output.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("a process exited with {status}; its error output is above");
        }
        Ok(line)
    }

    /// Lets the process continue.
    pub(crate) fn proceed(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        Ok(self.input.flush()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has exited already, which the run reports elsewhere.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
