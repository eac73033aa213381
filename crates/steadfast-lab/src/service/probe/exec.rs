//! A program that exits with code 0.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use steadfast_clock::Clock;

use super::Unsuccessful;
use crate::ending;

/// Interval at which the program is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Runs the program; at the time limit it is killed with its group.
pub(super) fn run(command: &[String], clock: Clock, timeout: Duration) -> Result<(), Unsuccessful> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Unsuccessful::Silent("no program".to_owned()));
    };
    let child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|error| Unsuccessful::Silent(format!("{program}: {error}")))?;
    let deadline = clock.now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let how = ending::describe(ending::exit(status));
                return Err(Unsuccessful::Negative(format!("it {how}")));
            }
            Ok(None) if clock.now() < deadline => thread::park_timeout(POLL_INTERVAL),
            Ok(None) | Err(_) => {
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                if let Some(group) = group {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                drop(child.wait());
                return Err(Unsuccessful::Silent("timed out".to_owned()));
            }
        }
    }
}
