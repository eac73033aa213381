//! Errors of the command line: each says what may be written, and a name of another program gets a tip.

#![cfg(test)]

use std::process::{Command, Output, Stdio};

#[test]
fn help_is_a_command_too() {
    let (all, of_command) = (run(&["help"]), run(&["help", "log"]));

    assert_eq!(
        (all.status.code(), of_command.status.code()),
        (Some(0), Some(0))
    );
    assert_eq!(all.stdout, run(&["--help"]).stdout);
    assert_eq!(of_command.stdout, run(&["log", "--help"]).stdout);
}

#[test]
fn a_command_that_does_not_exist_gets_a_tip() {
    for (name, tip) in [
        ("start", "tip: to run the gateway: steadfast serve"),
        ("run", "tip: to run the gateway: steadfast serve"),
        ("publish", "--publish CHANNEL JSON"),
        ("subscribe", "--subscribe CHANNEL"),
        ("verify", "steadfast log verify"),
        ("sevre", "'serve'"),
    ] {
        let output = run(&[name]);

        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(tip), "{text}");
    }
}

#[test]
fn an_invalid_value_is_reported_with_what_may_be_written() {
    for (arguments, expected) in [
        (
            ["serve", "--port", "abc"],
            "must be a port from 0 to 65535, for example 8000",
        ),
        (
            ["serve", "--port", "70000"],
            "must be a port from 0 to 65535, for example 8000",
        ),
        (
            ["serve", "--address", "localhost"],
            "must be an IP address, for example 127.0.0.1",
        ),
    ] {
        let output = run(&arguments);

        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
