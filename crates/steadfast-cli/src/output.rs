//! Output: results on standard output, messages on standard error. A closed pipe is not a failure.
//!
//! A command that serves calls [`detach`] first: from then on nothing that it prints or logs can make it wait or fail.
//! Other commands write directly, so that a slow reader slows them, as it slows other tools.

pub(crate) mod escape;
mod line_queue;
mod sink;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use clap::builder::StyledStr;
use steadfast_gateway::diagnostics::DroppedLogLines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use self::sink::Sink;
use crate::env::Environment;
use crate::exit::Failure;

/// The log filter, unless an environment variable sets one.
const LOG_DEFAULT: &str = "info";
/// How long the exit of the process waits for each sink that has not written everything.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The sink of standard output, once it is detached.
static STDOUT: OnceLock<Sink> = OnceLock::new();
/// The sink of standard error, once it is detached.
static STDERR: OnceLock<Sink> = OnceLock::new();

/// Detaches standard output and standard error: from now on threads write to them, so that they may stall, break or
/// fill up. Returns the counter of log lines that standard error did not accept.
///
/// # Errors
///
/// When the threads cannot be started.
pub(crate) fn detach() -> Result<DroppedLogLines, Failure> {
    // A command that serves prints its banner only, so nothing is dropped.
    let unreported = DroppedLogLines::default();
    let stdout = Sink::start("stdout", &io::stdout(), |_| String::new(), unreported);
    let _ = STDOUT.set(stdout.map_err(|error| no_thread(&error))?);
    detach_messages()
}

/// Detaches standard error only, for commands whose results must be complete.
///
/// # Errors
///
/// When the thread cannot be started.
pub(crate) fn detach_messages() -> Result<DroppedLogLines, Failure> {
    let dropped = DroppedLogLines::default();
    let stderr = Sink::start("stderr", &io::stderr(), dropped_lines, dropped.clone());
    let _ = STDERR.set(stderr.map_err(|error| no_thread(&error))?);
    panic::set_hook(Box::new(|panic| report_panic(&panic.to_string())));
    Ok(dropped)
}

fn no_thread(error: &io::Error) -> Failure {
    Failure::failed(
        format!("failed to start a thread for output: {error}"),
        "Check the limits of processes and open files: ulimit -u -n",
    )
}

/// Returns the log line that reports dropped ones, in the form of the other log lines.
fn dropped_lines(count: u64) -> String {
    let mut time = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    format!(
        "{time}  WARN steadfast: {count} log lines dropped: standard error did not accept them\n"
    )
}

/// Prints what the standard library would print about a panic, which would wait for standard error.
fn report_panic(panic: &str) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    message(&format!("thread '{name}' {panic}"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        message(&backtrace.to_string());
    }
}

/// Waits when it is dropped until what is queued is written, at most for [`FLUSH_TIMEOUT`] for each sink.
#[derive(Debug)]
pub(crate) struct FlushGuard;

impl Drop for FlushGuard {
    fn drop(&mut self) {
        for sink in [&STDOUT, &STDERR].into_iter().filter_map(OnceLock::get) {
            sink.flush(FLUSH_TIMEOUT);
        }
    }
}

/// Writes to standard output. An error means that the reader needs no more, or that there is nothing to write to.
fn write_stdout(text: &str) -> io::Result<()> {
    match STDOUT.get() {
        Some(sink) => {
            sink.send(text.as_bytes());
            Ok(())
        }
        None => io::stdout().write_all(text.as_bytes()),
    }
}

/// Writes to standard error. There is no place to report an error.
fn write_stderr(text: &[u8]) {
    match STDERR.get() {
        Some(sink) => sink.send(text),
        None => drop(io::stderr().write_all(text)),
    }
}

/// Prints a result.
pub(crate) fn print(text: &str) {
    let _ = write_stdout(&format!("{text}\n"));
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
    match write_stdout(&format!("{text}\n")) {
        Ok(()) => StdoutState::Open,
        Err(_) => StdoutState::Closed,
    }
}

/// Prints help or version, coloured on a terminal.
pub(crate) fn print_styled(text: &StyledStr, colours: Colours) {
    let is_coloured = colours == Colours::Auto && io::stdout().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _ = write_stdout(&text);
}

/// Prints a message on standard error.
pub(crate) fn message(text: &str) {
    write_stderr(format!("{text}\n").as_bytes());
}

/// Prints a part of a line on standard error, for progress on a terminal.
pub(crate) fn progress(text: &str) {
    write_stderr(text.as_bytes());
}

/// Prints an error, and a hint what to do.
pub(crate) fn print_error(error: &str, hint: &str) {
    let prefix = if error.starts_with("error") {
        ""
    } else {
        "error: "
    };
    message(&format!("{prefix}{error}"));
    for line in hint.lines() {
        message(line);
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
    let is_coloured = colours == Colours::Auto && io::stderr().is_terminal();
    let text = if is_coloured {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    write_stderr(text.as_bytes());
}

/// Starts logging to standard error.
pub(crate) fn start_log(environment: &Environment) {
    let filter = environment
        .log
        .as_ref()
        .and_then(|log| log.to_str())
        .unwrap_or(LOG_DEFAULT);
    let is_coloured =
        Colours::from_environment(environment) == Colours::Auto && io::stderr().is_terminal();
    // Invalid directives are ignored: a typing error must not stop the gateway.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(|| LogWriter)
        .with_ansi(is_coloured)
        .init();
}

/// Writes each log line to standard error.
struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_stderr(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        let is_shown = io::stderr().is_terminal();
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
            progress(&format!("\r{done} of {total} seeds, {failed} failed "));
        }
        if !self.is_shown && done >= self.next && done < total {
            self.next += self.step;
            message(&format!("{done} of {total} seeds, {failed} failed"));
        }
    }

    /// Clears the line on a terminal.
    pub(crate) fn end(&self) {
        if self.is_shown {
            progress(&format!("\r{:60}\r", ""));
        }
    }
}
