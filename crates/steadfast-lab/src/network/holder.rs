//! A network namespace without a name, which a process holds.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use steadfast_clock::Clock;

use super::command;

/// Longest wait for the namespace.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which it is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A namespace and the process that holds it, which ends when its input is closed: also when this process ends.
#[derive(Debug)]
pub(super) struct Holder {
    child: Child,
}

impl Holder {
    pub(super) fn create() -> Result<Self, String> {
        let child = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("failed to start unshare: {error}"))?;
        let mut holder = Self { child };
        let own = fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        let clock = Clock::start();
        let deadline = clock.now() + TIMEOUT;
        loop {
            if fs::read_link(holder.path()).is_ok_and(|namespace| namespace != own) {
                return Ok(holder);
            }
            let has_ended = !matches!(holder.child.try_wait(), Ok(None));
            if has_ended || clock.now() >= deadline {
                return Err("unshare --net created no network namespace".to_owned());
            }
            thread::park_timeout(POLL_INTERVAL);
        }
    }

    /// The id of the process, with which devices are moved into the namespace.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The namespace as a file.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.child.id()))
    }

    /// The words before a command that is to run in the namespace.
    pub(super) fn enter(&self) -> [String; 3] {
        let namespace = format!("--net={}", self.path().display());
        ["nsenter".to_owned(), namespace, "--".to_owned()]
    }

    /// Runs a program in the namespace, and returns its output.
    pub(super) fn run(&self, words: &[&str], input: &str) -> Result<String, String> {
        let enter = self.enter();
        let enter = enter.iter().map(String::as_str);
        let words: Vec<&str> = enter.chain(words.iter().copied()).collect();
        command::run(&words, input)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
