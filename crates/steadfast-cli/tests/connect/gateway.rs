//! A gateway, and the program as its client.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use crate::process::Process;

/// A gateway that keeps its data in memory.
pub(crate) struct Gateway(Process);

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_on(0)
    }

    pub(crate) fn start_on(port: u16) -> Self {
        let mut command = program();
        command
            .args(["serve", "--memory", "--json", "--port", &port.to_string()])
            .stderr(Stdio::null());
        Self(Process::start(&mut command, String::new))
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.0.address)
    }

    /// Starts a client without input, whose results are piped.
    pub(crate) fn connect(&self, arguments: &[&str]) -> Child {
        let mut command = program();
        command
            .args(["connect", &self.url()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a client without input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        steadfast(&[&["connect", &self.url()], arguments].concat())
    }

    /// Runs a client with this input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = program();
        command
            .args(["connect", &self.url()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        client.wait_with_output().unwrap()
    }
}

/// Returns the program, with no environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.env_clear();
    command
}

/// Runs the program without input.
pub(crate) fn steadfast(arguments: &[&str]) -> Output {
    program()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Returns a port on which nothing listens.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
