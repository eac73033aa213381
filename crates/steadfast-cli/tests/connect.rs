//! `steadfast connect` with a real gateway for each test.

#![cfg(test)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

#[test]
fn it_exits_cleanly_when_stdout_is_closed() {
    let gateway = Gateway::start();
    let mut listener = gateway.connect(&["--subscribe", "a"]);
    let mut lines = BufReader::new(listener.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("subscribed") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    drop(lines);

    let published = gateway.connect(&["--publish", "a", "1"]).wait().unwrap();

    assert_eq!(published.code(), Some(0));
    assert_eq!(listener.wait().unwrap().code(), Some(0));
}

#[test]
fn an_unreachable_gateway_is_named_in_the_error() {
    let gateway = Gateway::start();
    let mut connect = gateway.command();
    drop(gateway);

    let output = connect.stdin(Stdio::null()).output().unwrap();

    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("127.0.0.1:"), "{text}");
}

/// A gateway process that is killed at the end of the test.
struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(["serve", "--memory", "--port", "0", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let banner: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = banner["websocket_url"].as_str().unwrap().to_owned();
        Self { process, address }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command.args(["connect", &self.address]);
        command
    }

    fn connect(&self, arguments: &[&str]) -> Child {
        self.command()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
