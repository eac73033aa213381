//! A running `steadfast proxy serve`, and runs of the program with its output.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A server of the proxy API, which is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// The line that it printed.
    pub(crate) banner: Value,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["proxy", "serve", "--port", "0", "--json"])
            .args(arguments);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let banner: Value = serde_json::from_str(&line).unwrap();
        let address = banner["address"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            banner,
            address,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program, without the environment of the test.
pub(crate) fn program() -> Command {
    named(Path::new(env!("CARGO_BIN_EXE_steadfast")))
}

/// The program under another name.
pub(crate) fn named(path: &Path) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// What a command printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Printed {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs `steadfast proxy` with these words and the API at this URL.
pub(crate) fn run(url: &str, line: &str) -> Printed {
    let output = program()
        .arg("proxy")
        .args(line.split(' '))
        .env("TOXIPROXY_URL", url)
        .output();
    Printed::of(output.unwrap())
}
