//! The examples of each `--help`, executed as a user types them.
//!
//! Ports, and the address of the gateway, are replaced by those of the test. `demo`, `lab run` and `lab report` are left out: they need
//! the page and third-party clients, and have tests of their own.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;
#[path = "call/websocket.rs"]
mod websocket;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::process::Process;
use crate::websocket::Connection;

#[test]
fn the_examples_of_serve_print_the_banner_or_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let config = run(directory.path(), "steadfast serve --print-config");
    std::fs::write(directory.path().join("FILE"), config.stdout).unwrap();

    for example in examples(&["serve"]) {
        if example.contains("--print-config") {
            assert_success(&example, &run(directory.path(), &example));
        } else {
            let example = example.replace("8001", "0");
            end_when(directory.path(), &example, "Steadfast is listening");
        }
    }
}

#[test]
fn the_examples_of_connect_subscribe_and_publish() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(directory.path(), &["--memory"]);
    let address = gateway.address.to_string();

    let all = examples(&["connect"]);
    assert!(all.len() >= 4, "{all:?}");
    for example in all {
        let example = example.replace("127.0.0.1:8000", &address);
        let ends = example.contains("--publish") || example.contains(" | ");
        if ends {
            assert_success(&example, &run(directory.path(), &example));
        } else {
            end_when(directory.path(), &example, "subscribed");
        }
    }
}

#[test]
fn the_examples_of_call_have_a_result() {
    let directory = tempfile::tempdir().unwrap();
    let server = json_rpc_server().to_string();

    let all = examples(&["call"]);
    assert!(all.len() >= 4, "{all:?}");
    for example in all {
        let example = example.replace("127.0.0.1:9000", &server);
        assert_success(&example, &run(directory.path(), &example));
    }
}

#[test]
fn the_examples_of_bridge_listen_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    for (name, secret) in [("FILE", "1-key"), ("TOKEN", "a-token-of-sixteen")] {
        std::fs::write(directory.path().join(name), secret).unwrap();
    }

    let all = examples(&["bridge"]);
    assert!(all.len() >= 3, "{all:?}");
    for example in all {
        // The bridge tries again until there is a server.
        let example = example
            .replace("wss://nas.example", "ws://127.0.0.1:9")
            .replace(" URL ", " ws://127.0.0.1:9/api/current ")
            .replace(":7000", ":0");
        let example = format!("XDG_RUNTIME_DIR=. {example}");
        end_when(directory.path(), &example, "The bridge is listening on");
    }
}

#[test]
fn the_examples_of_log_maintain_the_log_of_a_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(directory.path(), &[]);
    for channel in ["news", "chat"] {
        let publish = format!(
            "steadfast connect {} --publish {channel} 1",
            gateway.address
        );
        assert_success(&publish, &run(directory.path(), &publish));
    }
    drop(gateway);

    let all = examples(&["log", "verify"]);
    assert!(all.len() >= 6, "{all:?}");
    for example in all {
        assert_success(&example, &run(directory.path(), &example));
    }
}

#[test]
fn the_examples_of_proxy_are_a_session_from_the_first_to_the_last() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("proxies.json"), "[]").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(["proxy", "serve", "--port", "0", "--json"])
        .stderr(Stdio::null());
    let server = Process::start(&mut command, String::new);

    let all = examples(&["proxy"]);
    assert!(all.len() >= 10, "{all:?}");
    for example in all {
        if example.contains("proxy serve") {
            let example = format!("{example} --port 0");
            end_when(directory.path(), &example, "is listening on");
        } else {
            let example = example.replace(":26379", ":0");
            let example = format!("TOXIPROXY_URL=http://{} {example}", server.address);
            assert_success(&example, &run(directory.path(), &example));
        }
    }
}

#[test]
fn the_examples_of_sim_end_with_the_verdict_that_they_announce() {
    let directory = tempfile::tempdir().unwrap();

    let all = examples(&["sim"]);
    assert!(all.len() >= 4, "{all:?}");
    for example in all {
        let output = run(directory.path(), &example);

        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let verdict = text.lines().last().unwrap_or_default();
        let (start, code) = if example.contains("--plant") {
            ("FAIL: ", 1)
        } else {
            ("PASS: ", 0)
        };
        assert!(verdict.starts_with(start), "{example}: {text}");
        assert_eq!(output.status.code(), Some(code), "{example}");
        let hint = String::from_utf8_lossy(&output.stderr);
        let has_command = hint.contains("Run it again: steadfast sim --seeds ");
        assert_eq!(has_command, code == 1, "{hint}");
        // In words, without the names of Rust types.
        assert!(!text.contains('{') && !text.contains("Some("), "{text}");
    }
}

#[test]
fn the_other_examples_of_the_program_are_those_of_its_commands_or_succeed() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = start(directory.path(), &[]);
    let address = gateway.address.to_string();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    std::os::unix::fs::symlink(root, directory.path().join("scenarios")).unwrap();
    std::os::unix::fs::symlink("steadfast-data", directory.path().join("DIR")).unwrap();
    let emulate = ["lab", "emulate", "truenas"];
    let known: BTreeSet<String> = ["serve", "connect", "sim", "proxy", "call", "bridge"]
        .iter()
        .map(std::slice::from_ref)
        .chain([emulate.as_slice()])
        .flat_map(examples)
        .collect();

    let others = [examples(&[]), examples(&["lab", "check"])].concat();
    for example in others {
        let needs_a_run = example.contains("lab run") || example.contains("lab report");
        if known.contains(&example) || needs_a_run {
            continue;
        }
        let example = example.replace("127.0.0.1:8000", &address);
        if example.contains("connect") {
            end_when(directory.path(), &example, "connected");
        } else {
            assert_success(&example, &run(directory.path(), &example));
        }
    }
}

#[test]
fn the_examples_of_lab_emulate_serve_the_api() {
    let directory = tempfile::tempdir().unwrap();

    let all = examples(&["lab", "emulate", "truenas"]);
    assert!(all.len() >= 3, "{all:?}");
    for example in all {
        let example = format!("{example} --listen 127.0.0.1:0");
        end_when(directory.path(), &example, "is listening on");
    }
}

/// Returns the commands below "Examples:" in the help of a command, without what they do.
fn examples(command: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, after) = help.split_once("Examples:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    lines
        // A line that is indented further says what the command above it does.
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split("   ").next().unwrap_or_default())
        .map(|line| line.split("  ").next().unwrap_or_default().to_owned())
        .collect()
}

/// The address of a server of JSON-RPC that returns a result for each call, to one client after the other.
fn json_rpc_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut connection, _) = Connection::upgrade(socket.unwrap());
            while let Some(request) = connection.receive() {
                connection.reply(&request, "\"result\":\"ok\"");
            }
        }
    });
    address
}

fn start(directory: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(["serve", "--port", "0", "--json"])
        .args(arguments)
        .current_dir(directory)
        .stderr(Stdio::null());
    Process::start(&mut command, String::new)
}

/// Returns a shell command in which `steadfast` is the program; without its own, a gateway listens on a free port.
fn shell(directory: &Path, example: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_steadfast"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let mut command = Command::new("sh");
    command
        .args(["-c", example])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("PORT", "0")
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, example: &str) -> Output {
    shell(directory, example).output().unwrap()
}

fn assert_success(example: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{example}: {text}");
}

/// Waits until a command that serves or subscribes has printed this, and ends it with a signal, which is a success.
fn end_when(directory: &Path, example: &str, printed: &str) {
    // The signal is for the program; the shell waits for its exit code.
    let mut child = shell(directory, &format!("trap : TERM; exec 2>&1; {example}"))
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);

    let found = lines.by_ref().any(|line| line.contains(printed));
    // An error means that the command has ended already.
    let _ = kill_process_group(Pid::from_child(&child), Signal::TERM);

    let rest: Vec<String> = lines.collect();
    let status = child.wait().unwrap();
    assert!(found, "{example}: {status}: {rest:?}");
    assert_eq!(status.code(), Some(0), "{example}: {rest:?}");
}
