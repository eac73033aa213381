//! Progress display of a run: on a terminal a few lines that are updated, otherwise a line every ten seconds at most.

use std::io::IsTerminal as _;
use std::time::Duration;

use rustix::termios;
use steadfast_clock::Clock;
use steadfast_faults::counted::grouped;
use steadfast_faults::ledger::event::RunPhase;
use steadfast_faults::quantity::Quantity;
use steadfast_faults::scenario::model::RunSettings;
use steadfast_lab::progress::Progress;
use steadfast_machine::{Instant, convert};

use super::status;
use crate::output;

/// Without a terminal, the shortest time between two lines.
pub(super) const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The width of a terminal that does not report one.
const COLUMNS_DEFAULT: usize = 80;

/// Clears everything from the start of the line, and switches off wrapping, so that a narrow terminal shows one line.
const START: &str = "\r\x1b[J\x1b[?7l";
/// Switches wrapping on again.
const END: &str = "\x1b[?7h";

/// Prints the progress of a run on standard error.
#[derive(Debug)]
pub(super) struct Display<'a> {
    run: &'a RunSettings,
    is_terminal: bool,
    /// The lines on the terminal above the one with the cursor, which are replaced.
    above: usize,
    clock: Clock,
    lines: LineLimit,
}

/// Decides which reports are printed when each of them would be a line of its own.
#[derive(Debug)]
struct LineLimit {
    last: Instant,
    /// The run whose load has begun, and whether it is the control run.
    run: Option<bool>,
}

impl LineLimit {
    const fn new(now: Instant) -> Self {
        Self {
            last: now,
            run: None,
        }
    }

    /// The first report of each run under load is printed; otherwise one in each interval.
    fn permits(&mut self, now: Instant, phase: RunPhase, is_control: bool) -> bool {
        let run = (phase != RunPhase::Connect).then_some(is_control);
        let begins = run.is_some() && self.run != run;
        let permits = begins || now.saturating_since(self.last) >= LINE_INTERVAL;
        if permits {
            self.last = now;
        }
        if begins {
            self.run = run;
        }
        permits
    }
}

impl<'a> Display<'a> {
    pub(super) fn new(run: &'a RunSettings) -> Self {
        let clock = Clock::start();
        Self {
            run,
            above: 0,
            is_terminal: std::io::stderr().is_terminal(),
            clock,
            lines: LineLimit::new(clock.now()),
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if !self.is_terminal {
            let (phase, is_control) = (progress.phase, progress.is_control);
            if self.lines.permits(self.clock.now(), phase, is_control) {
                output::message(&line(progress));
            }
            return;
        }
        if let Some(event) = &progress.event {
            self.show_status("");
            output::message(&format!("{}: {event}", position(progress)));
        }
        if progress.phase == RunPhase::Connect {
            self.show_status(&line(progress));
        } else {
            self.show_lines(&status::lines(progress, self.run, columns()));
        }
    }

    /// Replaces the status on a terminal by one line.
    pub(super) fn show_status(&mut self, text: &str) {
        self.show_lines(&[text.to_owned()]);
    }

    /// Clears the status on a terminal.
    pub(super) fn end(&mut self) {
        self.show_status("");
    }

    fn show_lines(&mut self, lines: &[String]) {
        if self.is_terminal {
            output::progress(&replacement(self.above, lines));
            self.above = lines.len().saturating_sub(1);
        }
    }
}

/// The width of the terminal, which may change during a run.
fn columns() -> usize {
    termios::tcgetwinsize(std::io::stderr())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(COLUMNS_DEFAULT)
}

/// What a terminal needs to replace the last lines; the cursor stays at the end of the last new line.
fn replacement(above: usize, lines: &[String]) -> String {
    let up = match above {
        0 => String::new(),
        above => format!("\x1b[{above}A"),
    };
    format!("{up}{START}{}{END}", lines.join("\r\n"))
}

/// In seconds, rounded up, so that it and the elapsed time add up to the total.
pub(super) fn remaining(progress: &Progress) -> u64 {
    (progress.remaining + Duration::from_millis(999)).as_secs()
}

fn line(progress: &Progress) -> String {
    let remaining = remaining(progress);
    if progress.phase == RunPhase::Connect {
        return format!(
            "{}: waiting for {}, then {remaining} s",
            run_name(progress),
            progress.waiting_for
        );
    }
    format!(
        "{}, {remaining} s left: {}, clients {}/{}, {} acknowledged, {} pending",
        position(progress),
        phase(progress),
        progress.clients_up,
        progress.clients,
        grouped(progress.acknowledged),
        grouped(convert::to_u64(progress.pending)),
    )
}

/// Which run it is, and its time.
fn position(progress: &Progress) -> String {
    format!(
        "{} {:>3}/{} s",
        run_name(progress),
        progress.elapsed.as_secs(),
        progress.total.as_secs()
    )
}

pub(super) const fn run_name(progress: &Progress) -> &'static str {
    if progress.is_control {
        "control run"
    } else {
        "run"
    }
}

const fn phase(progress: &Progress) -> &'static str {
    match progress.phase {
        RunPhase::Connect => "starting",
        RunPhase::Baseline => "baseline",
        RunPhase::Steps if progress.is_control => "no faults",
        RunPhase::Steps => "faults",
        RunPhase::Quiet => "quiet",
        RunPhase::Drain => "drain",
        RunPhase::End => "stopping",
    }
}

/// A duration with its unit, from a minute on in minutes and seconds.
pub(super) fn duration(time: Duration) -> String {
    const MINUTE: u64 = 60;
    let seconds = time.as_secs();
    match (seconds / MINUTE, seconds % MINUTE) {
        (0, _) => Quantity::time(time).to_string(),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use steadfast_faults::scenario::model::ControlRun;

    use super::*;

    /// 3 s of baseline, 8 s of faults, 4 s of quiet and 5 s of drain.
    pub(crate) fn settings() -> RunSettings {
        RunSettings {
            baseline: Duration::from_secs(3),
            duration: Duration::from_secs(8),
            quiet: Duration::from_secs(4),
            drain: Duration::from_secs(5),
            control: ControlRun::Off,
            stall: Duration::from_secs(5),
            ready_timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn progress() -> Progress {
        Progress {
            is_control: false,
            phase: RunPhase::Steps,
            waiting_for: String::new(),
            elapsed: Duration::from_secs(4),
            total: Duration::from_secs(13),
            remaining: Duration::from_secs(9),
            clients_up: 4,
            clients: 8,
            acknowledged: 1_234,
            pending: 12,
            delivered: 4_000,
            faults: 0,
            faults_healed: 0,
            faults_active: Vec::new(),
            event: None,
        }
    }

    #[test]
    fn a_terminal_replaces_as_many_lines_as_it_shows() {
        let lines = ["a".to_owned(), "b".to_owned()];

        assert_eq!(replacement(0, &lines), "\r\x1b[J\x1b[?7la\r\nb\x1b[?7h");
        assert_eq!(
            replacement(1, &lines[..1]),
            "\x1b[1A\r\x1b[J\x1b[?7la\x1b[?7h"
        );
    }

    #[test]
    fn without_a_terminal_each_run_has_a_first_line_and_then_one_in_ten_seconds() {
        let at = |seconds| Instant::START + Duration::from_secs(seconds);
        let mut lines = LineLimit::new(at(0));
        let mut printed = |seconds: std::ops::Range<u64>, phase, is_control| -> Vec<u64> {
            seconds
                .filter(|second| lines.permits(at(*second), phase, is_control))
                .collect()
        };

        let starting = printed(0..15, RunPhase::Connect, true);
        let control = printed(15..37, RunPhase::Baseline, true);
        let starting_again = printed(37..39, RunPhase::Connect, false);
        let run = printed(39..60, RunPhase::Baseline, false);

        assert_eq!(starting, [10], "a short start has no line");
        assert_eq!(control, [15, 25, 35]);
        assert!(starting_again.is_empty(), "{starting_again:?}");
        assert_eq!(run, [39, 49, 59]);
    }

    #[test]
    fn a_line_says_which_run_it_is_and_what_remains() {
        let connecting = Progress {
            is_control: true,
            phase: RunPhase::Connect,
            waiting_for: "gateway:1".to_owned(),
            elapsed: Duration::ZERO,
            remaining: Duration::from_secs(26),
            ..progress()
        };
        let faults = progress();

        assert_eq!(
            line(&connecting),
            "control run: waiting for gateway:1, then 26 s"
        );
        assert_eq!(
            line(&faults),
            "run   4/13 s, 9 s left: faults, clients 4/8, 1,234 acknowledged, 12 pending"
        );
    }

    #[test]
    fn durations_have_one_unit_below_a_minute_and_two_above() {
        for (millis, expected) in [
            (300, "300 ms"),
            (2_300, "2.3 s"),
            (26_000, "26 s"),
            (120_000, "2 min"),
            (160_000, "2 min 40 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }
}
