//! A client process on the generator's core: it receives one job, sends reports, and is killed when it is dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use load::job::{Job, Report};

use crate::paths::Paths;

/// A running client process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the process on this thread's core, which is not the server's.
    pub(super) fn start(paths: &Paths, job: &Job) -> Result<Self> {
        let mut child = Command::new(paths.clients()?)
            .arg(serde_json::to_string(job)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the client process")?;
        let input = child.stdin.take().context("the child's input is piped")?;
        let reports = child.stdout.take().context("the child's output is piped")?;
        Ok(Self {
            child,
            input,
            reports: BufReader::new(reports),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the process continue.
    pub(super) fn proceed(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        Ok(self.input.flush()?)
    }

    /// Waits for the next report. The process has timeouts, so it sends a report or exits.
    pub(super) fn receive(&mut self) -> Result<Report> {
        let mut line = String::new();
        if self.reports.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("client process exited with {status}; its error output is above");
        }
        serde_json::from_str(&line).with_context(|| format!("invalid report: {line}"))
    }

    /// Waits until the process reports that it is ready.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        match self.receive()? {
            Report::Ready => Ok(()),
            other @ (Report::SessionsOpened
            | Report::CallsCompleted { .. }
            | Report::Recovered { .. }) => {
                bail!("unexpected report instead of ready: {other:?}")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if the process has exited already, which the run reports elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
