//! Output: results on standard output, messages on standard error. A closed pipe is not a failure.

use std::io::{IsTerminal as _, Write as _};

use clap::builder::StyledStr;
use tracing_subscriber::EnvFilter;

use crate::env::Environment;

/// The log filter, unless an environment variable sets one.
const LOG_DEFAULT: &str = "info";

/// Prints a result.
pub(crate) fn print(text: &str) {
    // A broken pipe means that the reader needs no more.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Whether standard output is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StdoutState {
    Open,
    /// The reader closed the pipe.
    Closed,
}

/// Prints one of many results, and returns whether further results can be printed.
pub(crate) fn print_next(text: &str) -> StdoutState {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => StdoutState::Open,
        Err(_) => StdoutState::Closed,
    }
}

/// Prints help or version, coloured on a terminal.
pub(crate) fn print_styled(text: &StyledStr, colours: Colours) {
    let is_coloured = colours == Colours::Auto && std::io::stdout().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _ = write!(std::io::stdout(), "{text}");
}

/// Prints a message on standard error.
pub(crate) fn message(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints an error, and a hint what to do.
pub(crate) fn print_error(error: &str, hint: &str) {
    let prefix = if error.starts_with("error") {
        ""
    } else {
        "error: "
    };
    let _ = writeln!(std::io::stderr(), "{prefix}{error}");
    for line in hint.lines() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Whether output to a terminal is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    Auto,
    /// `NO_COLOR` is set.
    Off,
}

impl Colours {
    /// Reads the setting from the environment.
    pub(crate) const fn from_environment(environment: &Environment) -> Self {
        match environment.no_color {
            None => Self::Auto,
            Some(_) => Self::Off,
        }
    }
}

/// Prints an error about invalid arguments, coloured on a terminal.
pub(crate) fn print_error_styled(text: &StyledStr, colours: Colours) {
    let is_coloured = colours == Colours::Auto && std::io::stderr().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _ = write!(std::io::stderr(), "{text}");
}

/// Starts logging to standard error.
pub(crate) fn start_log(environment: &Environment) {
    let filter = environment
        .log
        .as_ref()
        .and_then(|log| log.to_str())
        .unwrap_or(LOG_DEFAULT);
    let is_coloured =
        Colours::from_environment(environment) == Colours::Auto && std::io::stderr().is_terminal();
    // Invalid directives are ignored: a typing error must not stop the gateway.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .init();
}

/// The maximum number of progress lines that a long run writes to a log.
const PROGRESS_LINES: u64 = 50;

/// The minimum number of seeds between two lines: a short run writes none.
const PROGRESS_STEP_MIN: u64 = 200;

/// Progress on standard error: one line that is updated on a terminal, otherwise a new line at intervals.
#[derive(Debug)]
pub(crate) struct Progress {
    total: u64,
    is_shown: bool,
    /// The number of seeds at which the next line is due.
    next: u64,
    step: u64,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        let step = total.div_ceil(PROGRESS_LINES).max(PROGRESS_STEP_MIN);
        Self {
            total,
            is_shown,
            next: step,
            step,
        }
    }

    /// Shows the number of seeds that are done and that failed.
    pub(crate) fn show(&mut self, done: u64, failed: u64) {
        let total = self.total;
        if self.is_shown && (done.is_multiple_of(10) || done == total) {
            let _ = write!(
                std::io::stderr(),
                "\r{done} of {total} seeds, {failed} failed "
            );
        }
        if !self.is_shown && done >= self.next && done < total {
            self.next += self.step;
            message(&format!("{done} of {total} seeds, {failed} failed"));
        }
    }

    /// Clears the line on a terminal.
    pub(crate) fn end(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r{:60}\r", "");
        }
    }
}
