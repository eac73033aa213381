//! The program, and what it has printed.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

/// A run that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What is expected of a run; the lines of standard error are joined.
pub(crate) fn ended(code: i32, stdout: &str, stderr: &[&str]) -> Ended {
    let lines = stderr.iter().map(|line| format!("{line}\n"));
    Ended {
        code: Some(code),
        stdout: stdout.to_owned(),
        stderr: lines.collect(),
    }
}

/// `steadfast call` with these arguments, separated by spaces, and no environment.
pub(crate) fn command(url: &str, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .env_clear()
        .args(["call", url])
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `steadfast call` without input.
pub(crate) fn call(url: &str, arguments: &str) -> Ended {
    finish(command(url, arguments).spawn().unwrap())
}

/// Runs a command with this input.
pub(crate) fn with_input(mut command: Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    finish(child)
}

pub(crate) fn finish(child: Child) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
