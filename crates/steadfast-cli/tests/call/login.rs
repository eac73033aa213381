//! The login: where the key is read from, what a refusal says, and that no output contains the key.

use std::process::Command;

use crate::program::{Ended, call, command, ended, finish, with_input};
use crate::server::{Connection, Server};

const KEY: &str = "key-0815";

/// A server that replies to the login, and if there is one, to the call; it returns the requests.
fn server(login: &'static str) -> Server<Vec<String>> {
    Server::start(move |listener| {
        let mut connection = Connection::accept(&listener);
        let mut requests = Vec::new();
        while let Some(request) = connection.receive() {
            let is_login = request.contains(r#""method":"auth.login""#);
            connection.reply(&request, if is_login { login } else { "\"result\":1" });
            requests.push(request);
        }
        requests
    })
}

fn with_key(server: &Server<Vec<String>>, arguments: &str) -> Command {
    let mut command = command(&server.url, arguments);
    command.env("STEADFAST_KEY", KEY);
    command
}

fn run(mut command: Command) -> Ended {
    finish(command.spawn().unwrap())
}

#[test]
fn the_key_of_each_source_is_sent_before_the_call() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let from_file = format!("add --login auth.login --key-file {}", file.display());
    let first = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"auth.login","params":["{KEY}"]}}"#);
    // The file comes before the environment.
    for source in ["environment", "file", "descriptor"] {
        let server = server("\"result\":true");

        let run = match source {
            "environment" => run(with_key(&server, "add --login auth.login")),
            "file" => {
                let mut command = command(&server.url, &from_file);
                command.env("STEADFAST_KEY", "another");
                run(command)
            }
            _ => with_input(
                command(&server.url, "add --login auth.login --key-fd 0"),
                &format!("{KEY}\n"),
            ),
        };

        assert_eq!(run, ended(0, "1\n", &[]), "{source}");
        let requests = server.finish();
        assert_eq!(requests.first(), Some(&first), "{source}");
        assert_eq!(requests.len(), 2, "{source}");
    }
}

#[test]
fn a_refused_login_ends_the_call_at_once_without_the_key_and_without_control_characters() {
    let server = server(r#""error":{"code":-32001,"message":"unknown key key-0815\u001b[2J"}"#);

    let run = run(with_key(&server, "add --login auth.login --json -v"));

    let attempt = format!("connecting to {}/ (attempt 1)", server.url);
    let reason = r"not sent: login refused by the server: auth.login: unknown key ***\u{1b}[2J (error -32001)";
    let json = reason.replace('\\', r"\\");
    let line =
        format!("{{\"outcome\":\"not-sent\",\"reason\":\"{json}\",\"safe_to_repeat\":true}}\n");
    let lines = [
        attempt.as_str(),
        &format!("error: {reason}"),
        "Check the key, and that auth.login is a method that expects it as its only param.",
    ];
    assert_eq!(run, ended(8, &line, &lines));
    assert_eq!(server.finish().len(), 1);
}

#[test]
fn a_login_with_the_result_false_is_refused() {
    let server = server("\"result\":false");

    let run = run(with_key(&server, "add --login auth.login"));

    let lines = [
        "error: not sent: login refused by the server: auth.login: the credentials are invalid",
        "Check the key, and that auth.login is a method that expects it as its only param.",
    ];
    assert_eq!(run, ended(8, "", &lines));
}

#[test]
fn the_key_is_hidden_in_what_a_server_repeats() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        let login = connection.receive().unwrap();
        connection.reply(&login, "\"result\":true");
        let request = connection.receive().unwrap();
        let error = format!(r#""error":{{"code":1,"message":"{KEY}","data":["{KEY}"]}}"#);
        connection.reply(&request, &error);
        connection.wait_for_end();
        Vec::new()
    });

    let run = run(with_key(&server, "add --login auth.login --json"));

    let line =
        "{\"outcome\":\"error\",\"error\":{\"code\":1,\"message\":\"***\",\"data\":[\"***\"]}}\n";
    let lines = [
        "error: the server returned an error for add: *** (error 1)",
        "data: [\"***\"]",
    ];
    assert_eq!(run, ended(1, line, &lines));
}

#[test]
fn a_login_without_a_key_names_its_sources_and_no_argument_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let url = "ws://127.0.0.1:9";
    let file = format!("add --login login --key-file {}", missing.display());

    let none = call(url, "add --login login");
    let unreadable = call(url, &file);
    let argument = call(url, "add --login login --key=key-0815");
    let twice = with_input(command(url, "add - --login login --key-fd 0"), "");
    let closed = call(url, "add --login login --key-fd 1000");

    let lines = [
        "error: --login requires a key",
        "Use --key-file FILE, --key-fd NUMBER or the environment variable STEADFAST_KEY.",
    ];
    assert_eq!(none, ended(2, "", &lines));
    assert_eq!(unreadable.code, Some(2));
    let reason = format!("error: cannot read the key from {}: ", missing.display());
    assert!(unreadable.stderr.starts_with(&reason), "{unreadable:?}");
    assert_eq!(argument.code, Some(2));
    assert!(argument.stderr.contains("--key-f"), "{argument:?}");
    assert!(!argument.stderr.contains(KEY), "{argument:?}");
    assert_eq!(twice.code, Some(2));
    assert!(twice.stderr.contains("both the key and the params"));
    assert_eq!(closed.code, Some(2));
    assert!(closed.stderr.contains("from file descriptor 1000: "));
}

#[test]
fn a_file_descriptor_other_than_standard_input_is_read() {
    let server = server("\"result\":true");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    let program = env!("CARGO_BIN_EXE_steadfast");
    let script = format!(
        "exec 7<{}; exec {program} call {} add --login auth.login --key-fd 7",
        file.path().display(),
        server.url
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());

    assert_eq!(run(shell), ended(0, "1\n", &[]));
    let requests = server.finish();
    assert!(requests[0].contains(KEY), "{requests:?}");
}

#[test]
fn a_login_without_a_reply_is_named_as_what_may_be_awaited() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.wait_for_end();
        Vec::new()
    });

    let run = run(with_key(&server, "add --login auth.login --timeout 0.5"));

    let error = format!(
        "error: not sent within 0.5 s: no connection to {} yet, or no reply to the login auth.login",
        server.address
    );
    let slow = "If the server is slow, use a longer --timeout.";
    assert_eq!(run, ended(8, "", &[&error, slow]));
}

#[test]
fn a_key_that_leaves_the_machine_unencrypted_is_a_warning() {
    // Too long for a label, so that no server is asked.
    let host = "x".repeat(80);
    let mut command = command(
        &format!("ws://{host}"),
        "add --login auth.login --timeout 0.1",
    );
    command.env("STEADFAST_KEY", KEY);

    let run = run(command);

    let warning = format!(
        "warning: the key is sent unencrypted to {host}:80: use wss:// if the server speaks TLS\n"
    );
    assert!(run.stderr.starts_with(&warning), "{run:?}");
    assert_eq!(run.code, Some(8));
}
