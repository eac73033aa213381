//! `steadfast connect` with a real gateway for each test.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::process::Process;

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
fn payloads_are_stored_and_shown_as_they_were_typed() {
    let gateway = Gateway::start();
    let typed = [
        "12345678901234567890123",
        "[1e400,1.50]",
        r#""half \ud83d""#,
        r#"{"k":1,"k":2}"#,
    ];
    let mut listener = gateway.connect(&["--json", "--subscribe", "a"]);
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    let subscribed = lines.next().unwrap().unwrap();
    assert!(
        subscribed.contains(r#""event":"subscribed""#),
        "{subscribed}"
    );

    for data in typed {
        let published = gateway.connect(&["--publish", "a", data]).wait().unwrap();
        assert_eq!(published.code(), Some(0), "{data}");
    }

    for data in typed {
        let shown = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(r#""event":"publication""#))
            .unwrap();
        assert!(shown.contains(&format!(r#""data":{data},"#)), "{shown}");
    }
    listener.kill().unwrap();
    listener.wait().unwrap();
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

/// A gateway and the program as its client.
struct Gateway(Process);

impl Gateway {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .args(["serve", "--memory", "--port", "0", "--json"])
            .stderr(Stdio::null());
        Self(Process::start(&mut command, String::new))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        let url = format!("ws://{}/connection/websocket", self.0.address);
        command.args(["connect", &url]);
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
