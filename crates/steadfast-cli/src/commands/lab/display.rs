//! Progress display of a run: one line that is updated on a terminal, otherwise a line every few seconds.

use std::io::IsTerminal as _;
use std::time::Duration;

use steadfast_lab::progress::Progress;

use crate::output;

/// Without a terminal, one of this many progress reports is printed.
const REPORTS_PER_LINE: u64 = 10;

/// Prints the progress of a run on standard error.
#[derive(Debug)]
pub(super) struct Display {
    is_terminal: bool,
    report_count: u64,
}

impl Display {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            report_count: 0,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if self.is_terminal {
            match &progress.event {
                Some(event) => {
                    output::message(&format!("\r\x1b[2K{} {event}", prefix(progress)));
                }
                None => output::progress(&format!("\r\x1b[2K{}", line(progress))),
            }
            return;
        }
        let is_due = self.report_count.is_multiple_of(REPORTS_PER_LINE);
        self.report_count += 1;
        match &progress.event {
            Some(event) => output::message(&format!("{} {event}", prefix(progress))),
            None if is_due => output::message(&line(progress)),
            None => {}
        }
    }

    pub(super) fn end(&self) {
        if self.is_terminal {
            output::progress("\r\x1b[2K");
        }
    }
}

fn prefix(progress: &Progress) -> String {
    let part = if progress.is_control {
        "control"
    } else {
        "run"
    };
    format!(
        "{part} {:>4.0}/{:.0} s",
        progress.elapsed.as_secs_f64(),
        progress.total.as_secs_f64()
    )
}

fn line(progress: &Progress) -> String {
    format!(
        "{} {:8}  clients {}/{}  acknowledged {}  pending {}  delivered {}",
        prefix(progress),
        progress.phase.name(),
        progress.clients_up,
        progress.clients,
        progress.acknowledged,
        progress.pending,
        progress.delivered
    )
}

/// A duration with its unit.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
