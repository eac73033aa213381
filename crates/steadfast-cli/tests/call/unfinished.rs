//! Calls without a reply: whether they were sent decides the exit code, and the class whether they are repeated.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Ended, call, command, ended, finish};
use crate::server::{Connection, Server};

const WRITE: &str = "The server may have executed add. Find out with a call that only reads, before you call it again.";
const REPEATABLE: &str = "You can call add again: by its --class, that does no harm.";
const SLOW: &str = "If the server is slow, use a longer --timeout.";

/// A server that receives a call and does not reply, until the connection ends; it returns the number of calls.
fn silent() -> Server<usize> {
    Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        let mut calls = 0;
        while connection.receive().is_some() {
            calls += 1;
        }
        calls
    })
}

#[test]
fn a_time_limit_before_the_call_was_sent_means_that_it_was_not_executed() {
    // It accepts connections, and never replies to the request for a WebSocket.
    let server = Server::start(|listener| {
        let sockets: Vec<_> = listener.incoming().collect();
        drop(sockets);
    });
    let mut longer = command(&server.url, "add --timeout 60").spawn().unwrap();

    let run = call(&server.url, "add --timeout 0.5");

    let is_waiting = longer.try_wait().unwrap().is_none();
    longer.kill().unwrap();
    longer.wait().unwrap();
    let error = format!(
        "error: not sent within 0.5 s: no connection to {} yet",
        server.address
    );
    assert_eq!(run, ended(8, "", &[&error, SLOW]));
    assert!(is_waiting, "it began earlier, and waits for longer");
}

#[test]
fn a_time_limit_after_the_call_was_sent_means_that_it_may_have_been_executed() {
    let error = "error: sent, but no reply within 3 s";
    let classes = [
        ("write", WRITE),
        ("read", REPEATABLE),
        ("idempotent", REPEATABLE),
    ];
    // At the same time, since each takes as long as its limit.
    let started = classes.map(|(class, hint)| {
        let server = silent();
        let arguments = format!("add --timeout 3 --class {class}");
        let child = command(&server.url, &arguments).spawn().unwrap();
        (server, child, hint)
    });

    for (server, child, hint) in started {
        assert_eq!(finish(child), ended(9, "", &[error, hint, SLOW]));
        assert_eq!(server.finish(), 1);
    }
}

#[test]
fn a_write_is_not_repeated_after_a_lost_connection() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.receive().unwrap();
        connection.close(1001, "restart");
    });

    let run = call(&server.url, "add --json");

    let reason = "sent, but the connection was lost before the reply: closed by the server with code 1001: restart";
    let line = format!(
        "{{\"outcome\":\"maybe-executed\",\"reason\":\"{reason}\",\"safe_to_repeat\":false}}\n"
    );
    assert_eq!(run, ended(9, &line, &[&format!("error: {reason}"), WRITE]));
}

#[test]
fn a_read_is_repeated_over_the_next_connection() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.receive().unwrap();
        connection.close(1001, "restart");
        let mut connection = Connection::accept(&listener);
        let request = connection.receive().unwrap();
        connection.reply(&request, "\"result\":1");
        connection.wait_for_end();
    });

    let run = call(&server.url, "add --class read");

    let line = "connection lost: closed by the server with code 1001: restart; trying again until the 30 s of --timeout are over";
    assert_eq!(run, ended(0, "1\n", &[line]));
    server.finish();
}

#[test]
fn a_read_survives_a_server_that_restarts_and_each_attempt_has_its_reason_on_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("ws://{address}");
    let mut child = command(&url, "add --class read -v").spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    let mut connection = Connection::accept(&listener);
    connection.receive().unwrap();
    drop(listener);
    connection.close(1001, "restart");
    read_until(
        &mut messages,
        "closed by the server with code 1001: restart; next attempt in ",
    );
    read_until(
        &mut messages,
        &format!("connection refused by {address}; next attempt in "),
    );
    // Its proxy is up before its API.
    let listener = std::net::TcpListener::bind(address).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    std::io::Read::read(&mut socket, &mut [0; 4096]).unwrap();
    std::io::Write::write_all(&mut socket, b"HTTP/1.1 502 Bad Gateway\r\n\r\n").unwrap();
    drop(socket);
    read_until(
        &mut messages,
        &format!("{address} is not available (HTTP status 502); next attempt in "),
    );
    let mut connection = Connection::accept(&listener);
    let request = connection.receive().unwrap();
    read_until(&mut messages, "connected; calling add");
    connection.reply(&request, "\"result\":1");
    connection.wait_for_end();

    let run = finish(child);

    assert_eq!(run, ended(0, "1\n", &[]));
}

#[test]
fn a_read_that_cannot_be_repeated_may_have_been_executed() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.receive().unwrap();
        connection.close(1001, "");
        let (mut socket, _) = listener.accept().unwrap();
        std::io::Read::read(&mut socket, &mut [0; 4096]).unwrap();
        std::io::Write::write_all(&mut socket, b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
    });

    let run = call(&server.url, "add --class read --json");

    let reason = format!(
        "sent, but the connection was lost before the reply, and there is no other: {} has no / (HTTP status 404)",
        server.address
    );
    let line = format!(
        "{{\"outcome\":\"maybe-executed\",\"reason\":\"{reason}\",\"safe_to_repeat\":true}}\n"
    );
    let lost = "connection lost: closed by the server with code 1001; trying again until the 30 s of --timeout are over";
    let lines = [lost, &format!("error: {reason}"), REPEATABLE];
    assert_eq!(run, ended(9, &line, &lines));
}

#[test]
fn a_message_that_is_not_json_rpc_is_named() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.receive().unwrap();
        connection.send_text("hello");
        connection.wait_for_end();
    });

    let run = call(&server.url, "add");

    let error = "error: sent, but the connection was lost before the reply: protocol error: no JSON-RPC message: no JSON at byte 1 of line 1";
    let hint = "Check that the URL is that of an API of JSON-RPC 2.0.";
    assert_eq!(run, ended(9, "", &[error, hint, WRITE]));
}

#[test]
fn a_call_that_the_server_closes_the_connection_for_may_be_the_reason() {
    let server = Server::start(|listener| {
        let mut connection = Connection::accept(&listener);
        connection.receive().unwrap();
        connection.close(1009, "");
    });

    let run = call(&server.url, "add --class read");

    let lines = [
        "error: sent, but the connection was lost before the reply: closed by the server with code 1009",
        "The server may close the connection because of this call.",
        REPEATABLE,
    ];
    assert_eq!(run.code, Some(9));
    let text = lines.map(|line| format!("{line}\n")).concat();
    assert!(run.stderr.ends_with(&text), "{}", run.stderr);
}

#[test]
fn a_signal_says_whether_the_call_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = silent();

    let before = interrupted(&free, "add -v", "; next attempt in ");
    let after = interrupted(&server.url, "add -v", "connected; calling add");

    assert_eq!(before.code, Some(8));
    assert!(
        before.stderr.ends_with("error: not sent: interrupted\n"),
        "{before:?}"
    );
    let lines = ["error: sent, but interrupted before the reply", WRITE];
    assert_eq!(after, ended(9, "", &lines));
}

/// Interrupts the command once it has printed this; returns what it prints from then on.
fn interrupted(url: &str, arguments: &str, printed: &str) -> Ended {
    let mut child: Child = command(url, arguments).spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut messages, printed);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut messages, &mut stderr).unwrap();
    Ended {
        stderr,
        ..finish(child)
    }
}

/// Reads lines until one contains this.
fn read_until(messages: &mut BufReader<ChildStderr>, expected: &str) {
    let mut line = String::new();
    while !line.contains(expected) {
        line.clear();
        assert_ne!(messages.read_line(&mut line).unwrap(), 0, "{expected}");
    }
}
