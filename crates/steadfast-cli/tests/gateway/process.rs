//! The process of a gateway that a test starts: its start, the address in its banner, and its end.
//!
//! Each test has its own arguments, sinks and clients. The test files include this file by its path, so it has only what
//! all of them use.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A gateway that serves; it is killed when the value is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a command that serves with `--json`, and waits for its banner. Without one the test fails, with the first
    /// line of the output, which is empty if the process exited, and with the text of the log.
    pub(crate) fn start(command: &mut Command, log: impl FnOnce() -> String) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = serde_json::from_str(&line)
            .ok()
            .and_then(|banner: Value| banner["address"].as_str()?.parse().ok());
        let Some(address) = address else {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no banner: {line}{}", log());
        };
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test may have waited for its exit already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
