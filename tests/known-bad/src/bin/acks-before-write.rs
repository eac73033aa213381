//! A gateway that acknowledges before the write: the log receives `Written` at once, and the write is executed later.
//!
//! A kill always hits publications that were acknowledged and never written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use steadfast_engine::{Engine, Health};
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};
use steadfast_machine::{Instant, Machine};

/// Delay of the writes: several ticks of the load, so that some writes are pending at every kill.
const DELAY: Duration = Duration::from_millis(200);

/// The log, with delayed writes.
#[derive(Debug)]
struct AcksBeforeWrite {
    log: Log,
    now: Instant,
    /// True once the log is open. Outputs before that are not delayed, because opening reads what it writes.
    is_open: bool,
    /// Outputs to the storage with the time of their execution, in order.
    delayed: VecDeque<(Instant, Output)>,
    /// True while a delayed write or sync is executed; its completion was already reported to the log.
    is_busy: bool,
    /// The completion to report to the log before the write.
    premature_completion: Option<Input>,
}

impl Machine for AcksBeforeWrite {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        let is_stale = self.is_busy && matches!(input, Input::Written | Input::Synced);
        if is_stale {
            self.is_busy = false;
        } else {
            self.log.handle(now, input);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        loop {
            while let Some(output) = self.log.poll_output() {
                if let Some(output) = self.delay(output) {
                    return Some(output);
                }
            }
            match self.premature_completion.take() {
                Some(premature_completion) => self.log.handle(self.now, premature_completion),
                None => return self.release(),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.delayed.front().filter(|_| !self.is_busy);
        let due = due.map(|(due, _)| *due);
        due.into_iter().chain(self.log.poll_timeout()).min()
    }
}

impl Engine for AcksBeforeWrite {
    fn health(&self) -> Health {
        self.log.health()
    }
}

impl AcksBeforeWrite {
    fn new(log: Log) -> Self {
        Self {
            log,
            now: Instant::default(),
            is_open: false,
            delayed: VecDeque::new(),
            is_busy: false,
            premature_completion: None,
        }
    }

    /// Delays outputs to the storage and prepares a premature completion; returns all other outputs.
    fn delay(&mut self, output: Output) -> Option<Output> {
        let is_opening = !self.is_open;
        self.is_open |= matches!(output, Output::Opened(_));
        let premature_completion = match &output {
            Output::Write { sync: true, .. } => Some(Input::Synced),
            Output::Write { sync: false, .. } => Some(Input::Written),
            Output::Sync { .. } => Some(Input::Synced),
            // The read is delayed too, so that it follows the write of a publication that was just acknowledged.
            Output::Read { .. } if !self.delayed.is_empty() => None,
            Output::Read { .. }
            | Output::Reserve { .. }
            | Output::Remove { .. }
            | Output::Claim
            | Output::Opened(_)
            | Output::Corrupt(_)
            | Output::Commit(_)
            | Output::Respond { .. }
            | Output::Notify(_)
            | Output::Closed => return Some(output),
        };
        if is_opening {
            return Some(output);
        }
        self.premature_completion = premature_completion;
        self.delayed.push_back((self.now + DELAY, output));
        None
    }

    /// The next delayed output that is due.
    fn release(&mut self) -> Option<Output> {
        let (due, _) = self.delayed.front()?;
        if self.is_busy || *due > self.now {
            return None;
        }
        let (_, output) = self.delayed.pop_front()?;
        self.is_busy = !matches!(output, Output::Read { .. });
        Some(output)
    }
}

fn main() -> Result<Infallible> {
    steadfast_known_bad::serve(AcksBeforeWrite::new)
}
