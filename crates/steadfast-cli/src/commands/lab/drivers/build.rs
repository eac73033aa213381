//! Builds the driver of the third-party Rust client, with the progress of cargo.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;

use steadfast_clock::Clock;
use steadfast_machine::Instant;

use super::super::display::LINE_INTERVAL;
use crate::output;

/// Lines of cargo that are kept for the report of a failure.
const LINES_KEPT: usize = 200;

/// Builds the program of a manifest if it is not up to date.
///
/// # Errors
///
/// When cargo cannot be started or fails: the reason.
pub(super) fn build(manifest: &Path, target: &Path) -> Result<(), String> {
    output::message("building the driver for `centrifuge-client` clients, if it is not up to date");
    let is_terminal = std::io::stderr().is_terminal();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .stderr(if is_terminal {
            Stdio::inherit()
        } else {
            Stdio::piped()
        });
    let mut child = cargo
        .spawn()
        .map_err(|error| format!("failed to start cargo: {error}"))?;
    // On a terminal, cargo shows its progress bar itself.
    let lines = match child.stderr.take() {
        Some(lines) => report(lines)?,
        None => VecDeque::new(),
    };
    let status = child
        .wait()
        .map_err(|error| format!("failed to wait for cargo: {error}"))?;
    if status.success() {
        return Ok(());
    }
    for line in lines {
        output::message(&line);
    }
    Err(format!(
        "cargo build failed ({status}); see its output above"
    ))
}

/// Reports what cargo does, a line in each interval, until it closes its output. Returns its last lines.
fn report(lines: ChildStderr) -> Result<VecDeque<String>, String> {
    let (sender, received) = sync_channel(LINES_KEPT);
    let read = move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("cargo".to_owned())
        .spawn(read)
        .map_err(|error| format!("failed to start a thread: {error}"))?;
    Ok(receive(&received, &Clock::start()))
}

fn receive(lines: &Receiver<String>, clock: &Clock) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let mut next_report: Instant = clock.now() + LINE_INTERVAL;
    loop {
        let now = clock.now();
        if now >= next_report {
            next_report = now + LINE_INTERVAL;
            let doing = kept.back().map_or("", |line: &String| line.trim());
            let seconds = now.saturating_since(Instant::START).as_secs();
            output::message(&format!("building the driver, {seconds} s: {doing}"));
        }
        match lines.recv_timeout(next_report.saturating_since(now)) {
            Ok(line) => {
                kept.push_back(line);
                if kept.len() > LINES_KEPT {
                    kept.pop_front();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_cargo_are_kept_for_the_report_of_a_failure() {
        let (sender, lines) = sync_channel(2 * LINES_KEPT);
        for number in 0..2 * LINES_KEPT {
            sender.send(format!("line {number}")).unwrap();
        }
        drop(sender);

        let kept = receive(&lines, &Clock::start());

        assert_eq!(kept.len(), LINES_KEPT);
        assert_eq!(kept.front(), Some(&format!("line {LINES_KEPT}")));
    }
}
