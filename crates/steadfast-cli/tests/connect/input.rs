//! The input of `steadfast connect`: pipes, and a terminal while the gateway is up and down.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::gateway::{Gateway, code, free_port, program, stderr, stdout};

#[test]
fn the_end_of_a_pipe_ends_the_command_once_everything_is_acknowledged() {
    let gateway = Gateway::start();

    let output = gateway.run_with_input(&["--subscribe", "lobby"], "{\"a\":1}\nhello\n");

    let text = stdout(&output);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    for line in [
        "lobby #1 {\"a\":1}\n",
        "lobby #2 \"hello\"\n",
        "acknowledged at offset 1 of lobby\n",
        "acknowledged at offset 2 of lobby\n",
        " joined\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_pipe_with_more_lines_than_the_outbox_has_places_is_published_completely() {
    let gateway = Gateway::start();
    let lines = "/publish a 1\n".repeat(3_000);

    let output = gateway.run_with_input(&[], &lines);

    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 3_000);
}

#[test]
fn a_line_of_a_pipe_that_is_not_executed_makes_the_command_fail() {
    let gateway = Gateway::start();

    let output = gateway.run_with_input(&["--subscribe", "lobby"], "{\"a\":1\n/dance\n");

    let text = stderr(&output);
    assert_eq!(code(&output), Some(1), "{text}");
    assert!(text.contains("not published: not valid JSON"), "{text}");
    assert!(text.contains("unknown command /dance"), "{text}");
    assert!(
        text.contains("error: 2 input lines were not executed"),
        "{text}"
    );
    assert!(!stdout(&output).contains("acknowledged"));
}

#[test]
fn help_lists_the_commands() {
    let gateway = Gateway::start();

    let output = gateway.run_with_input(&[], "/help\n");

    let text = stderr(&output);
    assert_eq!(code(&output), Some(0), "{text}");
    for command in ["/subscribe", "/publish", "/history", "/presence", "/quit"] {
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn on_a_terminal_the_first_connection_is_retried_and_text_is_queued_while_there_is_none() {
    let port = free_port();
    let mut user = User::start(port);
    user.expect_message(&[
        &format!("TCP connection to 127.0.0.1:{port}"),
        "; next attempt in ",
    ]);
    user.expect_message(&["steadfast serve --port"]);
    user.type_line("before the gateway");
    user.expect_message(&["not connected; queued for lobby"]);

    let gateway = Gateway::start_on(port);
    user.expect_message(&["connected; /help lists the commands"]);
    user.expect_result(&["acknowledged at offset 1 of lobby"]);
    drop(gateway);
    // One line for each failed attempt, and none for its beginning.
    user.expect_next_message(&["connection lost: ", "; next attempt in "]);
    user.expect_next_message(&["cannot connect: ", "; next attempt in "]);
    user.type_line("after the gateway");
    user.expect_message(&["not connected; queued for lobby"]);
    user.interrupt();

    user.expect_message(&["error: 1 publication was not acknowledged"]);
    assert_eq!(user.exit_code(), Some(1));
}

#[test]
fn on_a_terminal_an_interrupt_without_open_publications_is_a_success_and_so_is_the_end_of_input() {
    let port = free_port();
    let _gateway = Gateway::start_on(port);
    for is_interrupted in [true, false] {
        let mut user = User::start(port);
        user.expect_message(&["connected"]);
        user.type_line("hello");
        user.expect_result(&["acknowledged at offset "]);

        if is_interrupted {
            user.interrupt();
        } else {
            // Ctrl-D at the beginning of a line.
            user.terminal.write_all(b"\x04").unwrap();
        }

        assert_eq!(user.exit_code(), Some(0));
    }
}

/// The program with a terminal as its input.
struct User {
    terminal: std::fs::File,
    client: Child,
    messages: Lines<BufReader<ChildStderr>>,
    results: Lines<BufReader<ChildStdout>>,
}

impl User {
    fn start(port: u16) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        let input: OwnedFd =
            rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut client = program()
            .args(["connect", &format!("ws://127.0.0.1:{port}")])
            .args(["--subscribe", "lobby"])
            .stdin(Stdio::from(input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            messages: BufReader::new(client.stderr.take().unwrap()).lines(),
            results: BufReader::new(client.stdout.take().unwrap()).lines(),
            terminal: terminal.as_fd().try_clone_to_owned().unwrap().into(),
            client,
        }
    }

    fn type_line(&mut self, line: &str) {
        self.terminal
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// Waits for a message with all of these parts.
    fn expect_message(&mut self, parts: &[&str]) {
        let found = self
            .messages
            .by_ref()
            .map(Result::unwrap)
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?}");
    }

    /// Waits for the next message, which has all of these parts.
    fn expect_next_message(&mut self, parts: &[&str]) {
        let line = self.messages.next().unwrap().unwrap();
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }

    fn expect_result(&mut self, parts: &[&str]) {
        let found = self
            .results
            .by_ref()
            .map(Result::unwrap)
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?}");
    }

    /// As Ctrl-C does.
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.client), Signal::INT).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.client.wait().unwrap().code()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}
