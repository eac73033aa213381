//! `steadfast serve` as an operator or a supervisor uses it: its output and its exit codes.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;
#[path = "gateway/wait.rs"]
mod wait;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;
use crate::wait::wait_until;

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
    let timeouts = "[server]\nclose_timeout = \"1m\"\nshutdown_timeout = \"10m\"\n";
    let (mut gateway, _client) = shutting_down(timeouts);

    let mut status = None;
    wait_until("the gateway has exited", || {
        // One shortly after the first is the same request.
        kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
        status = gateway.child.try_wait().unwrap();
        status.is_some()
    });

    assert_eq!(status.and_then(|status| status.code()), Some(1));
}

#[test]
fn a_signal_that_arrives_twice_is_one_request_to_shut_down() {
    let (mut gateway, _client) = shutting_down("[server]\nclose_timeout = \"300ms\"\n");

    // As `timeout` does: the second signal arrives while the shutdown is in progress.
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();

    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
}

/// A gateway that has received a signal, with a client that received the disconnect and does not close its socket.
fn shutting_down(configuration: &str) -> (Process, TcpStream) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.toml"), configuration).unwrap();
    let arguments = ["--config", "s.toml", "--memory", "--port", "0", "--json"];
    let mut command = serve(directory.path(), &arguments);
    let gateway = Process::start(command.stderr(Stdio::null()), String::new);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(UPGRADE.as_bytes()).unwrap();
    read_until(&mut client, b"\r\n\r\n");
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
    read_until(&mut client, b"shutdown");
    (gateway, client)
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
    assert!(text.contains("steadfast serve"), "{text}");
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
fn a_directory_with_files_of_others_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["photo.jpg", "letter.txt", "notes.md"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }

    let output = run(&mut serve(
        directory.path(),
        &["--port", "0", "--data", "."],
    ));

    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    let expected = ". is not empty and has no log: it contains letter.txt, notes.md and 1 more";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("Choose an empty or new directory"), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn a_fresh_file_system_and_the_directory_of_the_demo_are_no_files_of_others() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["lost+found", "demo"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let mut command = serve(directory.path(), &["--port", "0", "--json", "--data", "."]);

    // Fails without the banner.
    drop(Process::start(command.stderr(Stdio::null()), String::new));
}

#[test]
fn a_variable_that_has_no_effect_is_reported_with_the_one_that_was_meant() {
    let directory = tempfile::tempdir().unwrap();

    let output = run(serve(directory.path(), &["--print-config"])
        .env("STEADFAST_PORT", "9")
        .env("STEADFAST_ADDRESSES", "0.0.0.0"));

    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(
        text,
        "warning: the environment variable STEADFAST_ADDRESSES has no effect: did you mean `STEADFAST_ADDRESS`?\n\
         warning: the environment variable STEADFAST_PORT has no effect: did you mean `PORT`?\n"
    );
}

#[test]
fn a_limit_of_open_files_is_a_warning_only_if_it_allows_few_connections() {
    let directory = tempfile::tempdir().unwrap();
    for (files_max, level) in [("512", " WARN "), ("4000", " INFO ")] {
        let mut command = Command::new("sh");
        let script = "ulimit -n \"$0\" && exec \"$1\" serve --memory --port 0 --json";
        command
            .args(["-c", script, files_max, env!("CARGO_BIN_EXE_steadfast")])
            .current_dir(directory.path())
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped());
        let mut gateway = Process::start(&mut command, String::new);

        let mut first = String::new();
        BufReader::new(gateway.child.stderr.take().unwrap())
            .read_line(&mut first)
            .unwrap();

        assert!(first.contains(level), "{first}");
        for field in [
            "connections_possible=",
            "connections_configured=100000",
            "open_files_max=",
        ] {
            assert!(first.contains(field), "{first}");
        }
    }
}

#[test]
fn a_client_that_requires_protobuf_is_a_warning_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve(directory.path(), &["--memory", "--port", "0", "--json"]);
    let mut gateway = Process::start(
        command.env("NO_COLOR", "1").stderr(Stdio::piped()),
        String::new,
    );
    let request = UPGRADE.replace("websocket HTTP", "websocket?format=protobuf HTTP");

    let mut client = TcpStream::connect(gateway.address).unwrap();
    client.write_all(request.as_bytes()).unwrap();

    let log = BufReader::new(gateway.child.stderr.take().unwrap()).lines();
    let line = log
        .map(Result::unwrap)
        .find(|line| line.contains("Protobuf is not supported: use JSON"))
        .unwrap();
    assert!(line.contains(" WARN "), "{line}");
}

#[test]
fn a_client_without_a_credential_is_closed_with_the_setting_that_accepts_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve(directory.path(), &["--memory", "--port", "0", "--json"]);
    let gateway = Process::start(command.stderr(Stdio::null()), String::new);
    let mut client = TcpStream::connect(gateway.address).unwrap();
    client
        .write_all(UPGRADE.replace("localhost", "app.example.org").as_bytes())
        .unwrap();
    read_until(&mut client, b"\r\n\r\n");

    // A text frame with a mask of zeros.
    client
        .write_all(b"\x81\x95\0\0\0\0{\"id\":1,\"connect\":{}}")
        .unwrap();

    // Fails at the end of the connection if it does not occur.
    read_until(&mut client, b"client.anonymous = \"all\"");
}

#[test]
fn a_setting_of_an_argument_is_reported_with_the_argument() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[client]\nmessage_bytes_max = \"512KiB\"\n";
    std::fs::write(directory.path().join("s.toml"), text).unwrap();

    let output = run(&mut serve(
        directory.path(),
        &["--config", "s.toml", "--shards", "200"],
    ));

    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("server.shards = 200 (--shards)"), "{text}");
    assert!(
        text.contains("client.message_bytes_max = 512KiB (s.toml:2)"),
        "{text}"
    );
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
