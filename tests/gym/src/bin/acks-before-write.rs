//! A gateway that acknowledges before the write: the log is told at once that a write is done, and it is done later.
//!
//! A kill always catches publications that were acknowledged and never written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{Input, Output, Timer};
use steadfast_machine::{Instant, Machine};

/// How late the writes are: several ticks of the load, so that no kill finds all of them done.
const LATE: Duration = Duration::from_millis(200);

/// The log, with its writes held back.
#[derive(Debug)]
struct AcksBeforeWrite {
    log: Log,
    now: Instant,
    /// Opening is left alone: what it writes, it also reads.
    is_open: bool,
    /// Orders to the disk and when they may leave, in order.
    held: VecDeque<(Instant, Output)>,
    /// A held write is with the disk, whose answer the log has had long ago.
    is_busy: bool,
    /// The answer that the log shall have without any write.
    lie: Option<Input>,
}

impl Machine for AcksBeforeWrite {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

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
                if let Some(output) = self.hold(output) {
                    return Some(output);
                }
            }
            match self.lie.take() {
                Some(lie) => self.log.handle(self.now, lie),
                None => return self.release(),
            }
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let due = self.held.front().filter(|_| !self.is_busy);
        let due = due.map(|(due, _)| (*due, Timer::Sync));
        match (due, self.log.poll_timeout()) {
            (Some(ours), Some(theirs)) if theirs.0 < ours.0 => Some(theirs),
            (Some(ours), _) => Some(ours),
            (None, theirs) => theirs,
        }
    }
}

impl AcksBeforeWrite {
    fn new(log: Log) -> Self {
        Self {
            log,
            now: Instant::default(),
            is_open: false,
            held: VecDeque::new(),
            is_busy: false,
            lie: None,
        }
    }

    /// Keeps orders to the disk, and makes up their answers; lets all others pass.
    fn hold(&mut self, output: Output) -> Option<Output> {
        let is_opening = !self.is_open;
        self.is_open |= matches!(output, Output::Opened(_));
        let lie = match &output {
            Output::Write { .. } => Some(Input::Written),
            Output::Sync { .. } => Some(Input::Synced),
            // What was just acknowledged is read behind its late write.
            Output::Read { .. } if !self.held.is_empty() => None,
            Output::Read { .. }
            | Output::Reserve { .. }
            | Output::Remove { .. }
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
        self.lie = lie;
        self.held.push_back((self.now + LATE, output));
        None
    }

    /// The next order to the disk whose time has come.
    fn release(&mut self) -> Option<Output> {
        let (due, _) = self.held.front()?;
        if self.is_busy || *due > self.now {
            return None;
        }
        let (_, output) = self.held.pop_front()?;
        self.is_busy = !matches!(output, Output::Read { .. });
        Some(output)
    }
}

fn main() -> Result<Infallible> {
    steadfast_gym::serve(AcksBeforeWrite::new)
}
