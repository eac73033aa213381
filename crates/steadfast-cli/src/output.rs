//! What people read: results on standard output, talk on standard error. A reader that went away is no failure.

use std::io::{IsTerminal as _, Write as _};

use clap::builder::StyledStr;
use tracing_subscriber::EnvFilter;

use crate::env::Environment;

/// What is logged unless the environment says otherwise.
const LOG_DEFAULT: &str = "info";

/// Prints a result.
pub(crate) fn print(text: &str) {
    // A broken pipe means that the reader has seen enough.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Whether anybody reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Somebody may.
    There,
    /// The other end of the pipe is closed.
    Gone,
}

/// Prints one of many results, and tells whether the next one is wanted.
pub(crate) fn print_next(text: &str) -> Audience {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Audience::There,
        Err(_) => Audience::Gone,
    }
}

/// Prints help or version, coloured on a terminal.
pub(crate) fn print_styled(text: &StyledStr, colours: Colours) {
    let is_coloured = colours == Colours::Welcome && std::io::stdout().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _ = write!(std::io::stdout(), "{text}");
}

/// Says something to whoever sits there.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says that something is wrong, and what to do about it.
pub(crate) fn complain(what: &str, advice: &str) {
    let prefix = if what.starts_with("error") {
        ""
    } else {
        "error: "
    };
    let _ = writeln!(std::io::stderr(), "{prefix}{what}");
    for line in advice.lines() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Whether colours are welcome on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// They are.
    Welcome,
    /// `NO_COLOR` is set.
    Off,
}

impl Colours {
    /// What the environment says.
    pub(crate) const fn wanted(environment: &Environment) -> Self {
        match environment.no_color {
            None => Self::Welcome,
            Some(_) => Self::Off,
        }
    }
}

/// Says what is wrong with the arguments, coloured on a terminal.
pub(crate) fn complain_styled(text: &StyledStr, colours: Colours) {
    let is_coloured = colours == Colours::Welcome && std::io::stderr().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _ = write!(std::io::stderr(), "{text}");
}

/// Sends log lines to standard error from now on.
pub(crate) fn start_log(environment: &Environment) {
    let wanted = environment
        .log
        .as_ref()
        .and_then(|log| log.to_str())
        .unwrap_or(LOG_DEFAULT);
    let is_coloured =
        Colours::wanted(environment) == Colours::Welcome && std::io::stderr().is_terminal();
    // Parts that cannot be understood are left out: a typing error must not stop the gateway.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(wanted))
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .init();
}

/// How many lines a long run leaves in a log.
const PROGRESS_LINES: u64 = 50;

/// A short run leaves none.
const PROGRESS_STEP_MIN: u64 = 200;

/// A line on standard error that counts up; where nobody watches, a line now and then.
#[derive(Debug)]
pub(crate) struct Progress {
    total: u64,
    is_shown: bool,
    /// The next one that is worth a line, and how many until the one after it.
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

    /// Shows how many are done.
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
            say(&format!("{done} of {total} seeds, {failed} failed"));
        }
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r{:60}\r", "");
        }
    }
}
