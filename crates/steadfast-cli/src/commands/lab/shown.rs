//! What people see while a run goes on: one line that moves on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use steadfast_lab::progress::Progress;

/// Where nothing moves, one line in so many is enough.
const LINES_APART: u64 = 10;

/// Shows how a run is going, on standard error.
#[derive(Debug)]
pub(super) struct Display {
    moves: bool,
    shown: u64,
}

impl Display {
    pub(super) fn new() -> Self {
        Self {
            moves: std::io::stderr().is_terminal(),
            shown: 0,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        let mut out = std::io::stderr();
        // A reader that went away is no reason to stop a run.
        let _ = if self.moves {
            match &progress.news {
                Some(news) => writeln!(out, "\r\x1b[2K{} {news}", at(progress)),
                None => write!(out, "\r\x1b[2K{}", line(progress)),
            }
        } else {
            let is_due = self.shown.is_multiple_of(LINES_APART);
            self.shown += 1;
            match &progress.news {
                Some(news) => writeln!(out, "{} {news}", at(progress)),
                None if is_due => writeln!(out, "{}", line(progress)),
                None => Ok(()),
            }
        };
        let _ = out.flush();
    }

    pub(super) fn end(&self) {
        if self.moves {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn at(progress: &Progress) -> String {
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
        "{} {:8}  clients {}/{}  acknowledged {}  open {}  delivered {}",
        at(progress),
        progress.phase.name(),
        progress.clients_up,
        progress.clients,
        progress.acknowledged,
        progress.unanswered,
        progress.delivered
    )
}

/// A time span with its unit.
pub(super) fn span(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
