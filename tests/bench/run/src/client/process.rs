//! A client process on the generator's core: it is told once, says its words, and ends when it is dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use load::order::{Order, Word};

use crate::places::Places;

/// A process that waits or works.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    words: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it where this thread runs, which is the core that the server does not have.
    pub(super) fn start(places: &Places, order: &Order) -> Result<Self> {
        let mut child = Command::new(places.clients()?)
            .arg(serde_json::to_string(order)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the client process does not start")?;
        let input = child.stdin.take().context("it has an input")?;
        let words = child.stdout.take().context("it has an output")?;
        Ok(Self {
            child,
            input,
            words: BufReader::new(words),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it go on.
    pub(super) fn go(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        Ok(self.input.flush()?)
    }

    /// Its next word. It has time-outs of its own, so it says something or ends.
    pub(super) fn hear(&mut self) -> Result<Word> {
        let mut line = String::new();
        if self.words.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("the client process ended with {status}; what it said stands above");
        }
        serde_json::from_str(&line).with_context(|| format!("no word: {line}"))
    }

    /// Waits until it says that it is ready.
    pub(super) fn hear_ready(&mut self) -> Result<()> {
        match self.hear()? {
            Word::Ready => Ok(()),
            other @ (Word::Opened | Word::Called { .. } | Word::Back { .. }) => {
                bail!("not ready but {other:?}")
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has noticed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
