//! How a child process ended, and what it wrote last: the reason that a report of its end needs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use steadfast_faults::ledger::event::ProcessExit;

/// Last lines of the output that are shown.
const LINES_MAX: usize = 20;
/// Last bytes of the output that are read.
const BYTES_MAX: u64 = 16 << 10;

/// Converts the status of a process that has exited.
pub(crate) fn exit(status: ExitStatus) -> ProcessExit {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessExit::Code(code),
        (None, Some(signal)) => ProcessExit::Signal(signal),
        (None, None) => ProcessExit::Code(-1),
    }
}

/// Describes an exit, for example `exited with status 1`.
pub(crate) fn describe(exit: ProcessExit) -> String {
    match exit {
        ProcessExit::Code(code) => format!("exited with status {code}"),
        ProcessExit::Signal(signal) => format!("was terminated by signal {signal}"),
    }
}

/// The last lines of a file with the output of a process, each indented on a line of its own.
pub(crate) fn output(path: &Path) -> String {
    let output = match tail(path) {
        Ok(output) => output,
        Err(error) => return format!("its output cannot be read: {error}"),
    };
    let lines: Vec<&str> = output.lines().collect();
    if lines.is_empty() {
        return "it printed nothing".to_owned();
    }
    let skipped = lines.len().saturating_sub(LINES_MAX);
    let shown: Vec<String> = lines
        .iter()
        .skip(skipped)
        .map(|line| format!("\n    {line}"))
        .collect();
    format!("its output:{}", shown.concat())
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
