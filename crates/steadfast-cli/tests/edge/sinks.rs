//! What the binary does when standard output or standard error stalls, breaks or fills up: it serves, it counts what is
//! missing, and it exits.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, tcflow};

use crate::gateway::{Client, Gateway, command, read_to_end};
use crate::process::Process;

/// More debug lines than a pipe and the queue of the gateway have space for.
const LINES: usize = 16_000;
/// Commands in one message; the default maximum is 1,024.
const COMMANDS: usize = 1_000;

#[test]
fn a_gateway_whose_log_is_not_read_serves_counts_the_dropped_lines_and_exits_on_sigterm() {
    let (mut log, stderr) = io::pipe().unwrap();
    let mut gateway = Gateway::start(stderr);
    let mut client = gateway.client();

    write_debug_lines(&mut client);

    client.publish();
    let ready = gateway.ready();
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(ready.contains(" log lines dropped"), "{ready}");
    drop(client);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!read_to_end(&mut log).is_empty());
}

#[test]
fn the_log_continues_with_the_number_of_dropped_lines_once_it_is_read_again() {
    let (log, stderr) = io::pipe().unwrap();
    let gateway = Gateway::start(stderr);
    let mut client = gateway.client();
    write_debug_lines(&mut client);

    let mut lines = BufReader::new(log).lines().map(Result::unwrap);
    let report = lines
        .find(|line| line.contains(" log lines dropped"))
        .unwrap();

    let count = report.split_whitespace().find_map(|word| word.parse().ok());
    let count: usize = count.unwrap();
    assert!((1..LINES).contains(&count), "{report}");
    assert!(report.contains(" WARN steadfast: "), "{report}");
    client.publish();
}

#[test]
fn a_gateway_whose_log_is_closed_serves_and_exits_on_sigterm() {
    let (log, stderr) = io::pipe().unwrap();
    drop(log);
    let mut gateway = Gateway::start(stderr);
    let mut client = gateway.client();

    write_debug_lines(&mut client);

    client.publish();
    let ready = gateway.ready();
    assert!(ready.contains(" log lines dropped"), "{ready}");
    drop(client);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_gateway_whose_log_is_on_a_full_disk_serves_and_exits_on_sigterm() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();

    assert_serves_and_exits(Gateway::start(full));
}

#[test]
fn a_gateway_whose_terminal_is_stopped_serves_and_exits_on_sigterm() {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let open = || -> OwnedFd {
        rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()
    };
    // As Ctrl-S does.
    tcflow(open(), Action::OOff).unwrap();

    assert_serves_and_exits(Gateway::start(open()));
}

/// The gateway acknowledges a publication after more log lines than it can keep, and exits on SIGTERM.
fn assert_serves_and_exits(mut gateway: Gateway) {
    let mut client = gateway.client();

    write_debug_lines(&mut client);

    client.publish();
    drop(client);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn no_line_is_lost_while_the_reader_of_the_log_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // With one descriptor for both directions, opening a FIFO does not wait for the other end.
    let both = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap()
    };
    let first = both();
    let stderr = OpenOptions::new().write(true).open(&path).unwrap();
    let gateway = Gateway::start(stderr);
    let mut client = gateway.client();
    ignored_commands(&mut client, 1);
    let mut lines = BufReader::new(first).lines();
    until_ignored(&mut lines);

    drop(lines);
    ignored_commands(&mut client, 2);
    client.publish();
    let mut lines = BufReader::new(both()).lines();

    until_ignored(&mut lines);
    until_ignored(&mut lines);
}

#[test]
fn a_stalled_standard_output_does_not_delay_the_start() {
    let (_output, mut stdout) = io::pipe().unwrap();
    fill(&mut stdout);
    let directory = tempfile::tempdir().unwrap();
    let mut child = command(directory.path())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();

    let started = lines.find_map(|line| {
        let line = line.unwrap();
        Some(line.split_once("address=")?.1.to_owned())
    });

    let address = started.unwrap();
    let address = address.split_whitespace().next().unwrap().parse().unwrap();
    let mut gateway = Gateway {
        process: Process { child, address },
        _directory: directory,
    };
    gateway.client().publish();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_start_that_fails_has_its_exit_code_although_standard_error_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, stderr) = io::pipe().unwrap();
    drop(log);

    let status = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["serve", "--port", "0", "--data", "/dev/null"])
        .current_dir(directory.path())
        .stderr(stderr)
        .status()
        .unwrap();

    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_client_ends_when_standard_output_is_closed_although_standard_input_is_open() {
    let gateway = Gateway::start(Stdio::null());
    let mut listener = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["connect", &gateway.url(), "--subscribe", "a"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Waiting for the process would close it.
    let _input = listener.stdin.take().unwrap();
    let mut messages = listener.stderr.take().unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(listener.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("subscribed"), "{first}");

    drop(lines);
    gateway.client().publish();

    assert_eq!(listener.wait().unwrap().code(), Some(0));
    let messages = read_to_end(&mut messages);
    assert!(!messages.contains("panicked"), "{messages}");
    assert!(!messages.contains("error"), "{messages}");
}

#[test]
fn a_client_whose_messages_are_not_read_publishes_and_exits() {
    let gateway = Gateway::start(Stdio::null());
    let (_messages, mut stderr) = io::pipe().unwrap();
    fill(&mut stderr);

    let status = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["connect", &gateway.url(), "--publish", "a", "1"])
        .stdin(Stdio::null())
        .stderr(stderr)
        .status()
        .unwrap();

    assert_eq!(status.code(), Some(0));
}

/// Makes the gateway write more lines than its log has space for, and waits until it has.
pub(crate) fn write_debug_lines(client: &mut Client) {
    for _ in 0..LINES / COMMANDS {
        ignored_commands(client, COMMANDS);
    }
    client.send(b"{\"id\":2,\"rpc\":{\"method\":\"none\"}}");
    client.until("\"id\":2,");
}

/// Sends commands for each of which the gateway writes one debug line.
fn ignored_commands(client: &mut Client, count: usize) {
    client.send("{\"send\":{}}\n".repeat(count).trim_end().as_bytes());
}

fn until_ignored(lines: &mut impl Iterator<Item = io::Result<String>>) {
    let ignored = |line: io::Result<String>| line.unwrap().contains("without a channel ignored");
    assert!(lines.any(ignored));
}

/// Fills a pipe so that the next write to it waits.
fn fill(pipe: &mut (impl io::Write + std::os::fd::AsFd)) {
    let blocking = rustix::fs::fcntl_getfl(&*pipe).unwrap();
    rustix::fs::fcntl_setfl(&*pipe, blocking | OFlags::NONBLOCK).unwrap();
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
    rustix::fs::fcntl_setfl(&*pipe, blocking).unwrap();
}
