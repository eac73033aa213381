//! `steadfast serve` as an operator or a supervisor uses it: its output and its exit codes.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;

#[test]
fn it_prints_its_address_and_data_directory_and_shuts_down_cleanly_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut gateway = serve(directory.path(), &["--port", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let line = first_line(&mut gateway);

    kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();

    assert_eq!(gateway.wait().unwrap().code(), Some(0));
    assert!(line.contains("\"address\":\"127.0.0.1:"), "{line}");
    assert!(line.contains("/steadfast-data\""), "{line}");
    assert!(directory.path().join("steadfast-data").is_dir());
}

#[test]
fn a_second_signal_terminates_it_although_a_client_stays_connected() {
    let directory = tempfile::tempdir().unwrap();
    let timeouts = "[server]\nclose_timeout = \"1m\"\nshutdown_timeout = \"10m\"\n";
    std::fs::write(directory.path().join("s.toml"), timeouts).unwrap();
    let arguments = ["--config", "s.toml", "--memory", "--port", "0", "--json"];
    let mut command = serve(directory.path(), &arguments);
    let mut gateway = Process::start(command.stderr(Stdio::null()), String::new);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(UPGRADE.as_bytes()).unwrap();
    read_until(&mut client, b"\r\n\r\n");

    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
    // The client receives the disconnect, and does not close its socket.
    read_until(&mut client, b"shutdown");
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();

    assert_eq!(gateway.child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_port_in_use_has_a_dedicated_exit_code_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();

    let output = run(serve(directory.path(), &["--memory"]).env("PORT", &port));

    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(&format!(
            "127.0.0.1:{port}: another process is listening there"
        )),
        "{text}"
    );
    assert!(text.contains("PORT="), "{text}");
}

#[test]
fn an_unusable_data_directory_has_a_dedicated_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();

    let output = run(&mut serve(
        directory.path(),
        &["--port", "0", "--data", "file"],
    ));

    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is not a directory"), "{text}");
}

#[test]
fn invalid_settings_are_rejected_with_their_location() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.toml"), "[server]\nprot = 1\n").unwrap();

    let file = run(&mut serve(directory.path(), &["--config", "s.toml"]));
    let variable = run(serve(directory.path(), &[]).env("PORT", "eighty"));
    let argument = run(&mut serve(directory.path(), &["--shards", "1000"]));

    for (output, expected) in [
        (file, "--> s.toml:2:1"),
        (
            variable,
            "invalid environment variable PORT=\"eighty\": must be a port from 0 to 65535",
        ),
        (argument, "server.shards: must be 0 to 256"),
    ] {
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn arguments_override_the_environment_and_both_override_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("s.toml"),
        "[server]\nport = 1\naddress = \"127.0.0.3\"\n",
    )
    .unwrap();
    let mut command = serve(
        directory.path(),
        &["--config", "s.toml", "--print-config", "--port", "3"],
    );

    let output = run(command
        .env("PORT", "2")
        .env("STEADFAST_ADDRESS", "127.0.0.2"));

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("port = 3\n"), "{text}");
    assert!(text.contains("address = \"127.0.0.2\"\n"), "{text}");
}

fn serve(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.arg("serve").args(arguments).current_dir(directory);
    for name in [
        "PORT",
        "STEADFAST_ADDRESS",
        "STEADFAST_DATA",
        "STEADFAST_CONFIG",
        "STEADFAST_LOG",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

const UPGRADE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn first_line(gateway: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    line
}

fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}
