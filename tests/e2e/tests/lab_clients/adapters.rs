//! The adapters over WebSockets against a server that this project did not write, over a kill.

use anyhow::Result;
use steadfast_e2e::binaries;

use steadfast_e2e::lab_run::LabRun;

use crate::{fixture, run};

#[test]
fn echoed_messages_are_requests_with_one_outcome_each() {
    let outcome = sockets(
        "echo",
        "/echo",
        r#"
driver = "websocket-echo"
send = { every = "50ms", timeout = "1s" }
"#,
        r#"
[[check]]
that = "requests.ok / requests.sent >= 50% and requests.error == 0"

[[check]]
that = "requests.unknown == requests.unknown{step=kill}"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

#[test]
fn calls_are_executed_at_most_once_and_the_login_is_a_phase() {
    let outcome = sockets(
        "rpc",
        "/rpc",
        r#"
driver = "jsonrpc"
login = "login"
send = { every = "50ms", timeout = "1s", op = "put" }
guarantee = "at-most-once"
"#,
        r#"
[[check]]
that = "requests.executed_twice == 0 and requests.ok_not_executed == 0"

[[check]]
that = "requests.not_sent_executed == 0 and requests.unexpected == 0"

[[check]]
that = "recovery.login count == 2 and recovery.login max <= 2s"

[[check]]
that = "connect.first max <= 2s and connect.again max <= 2s"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

#[test]
fn errors_of_the_application_are_replies() {
    let outcome = sockets(
        "rpc-errors",
        "/rpc",
        r#"
driver = "jsonrpc"
send = { every = "50ms", timeout = "1s", op = ["fail", "get"] }
"#,
        r#"
[[check]]
that = "requests.error > 0 and requests.ok > 0 and requests.executed == 0"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

#[test]
fn messages_of_a_stream_are_missed_between_two_connections_only() {
    let outcome = sockets(
        "stream",
        "/stream",
        r#"
driver = "websocket-subscribe"
first_message = "subscribe"
sequence = "seq"
stream = "topic"
receive = { every = "50ms" }
timers = { connect = "1s", ping = "2s", pong = "1s" }
"#,
        r#"
[[check]]
that = "delivery.lost == 0 and delivery.duplicate == 0 and delivery.reordered == 0"

[[check]]
that = "delivery.delivered > 50"
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
}

/// Runs two clients over a kill of their server. All of them reconnect, and each notices the kill at once.
fn sockets(name: &str, path: &str, load: &str, checks: &str) -> Result<LabRun> {
    let python = binaries::root().join(".venv/bin/python");
    let (python, program) = (python.display(), fixture("sockets.py"));
    run(
        name,
        &format!(
            r#"
[service.server]
cmd = "{python}"
args = ["{program}", "${{self.port.client}}", "${{self.data}}/effects.jsonl"]
ports = {{ client = "auto" }}
url = "ws://${{self.address}}:${{self.port.client}}{path}"
effects = "${{self.data}}/effects.jsonl"

[load.clients]
clients = 2
to = "server"
{load}
[[step]]
id = "kill"
at = "500ms"
do = "proc.kill"
on = "server"
then = {{ start_after = "300ms" }}

[[check]]
that = "clients.affected == 2 and clients.reconnected == 2"

[[check]]
that = "recovery.detect max <= 1s and recovery.total max <= 3s"

[[check]]
that = "disconnects.by_fin + disconnects.by_rst == 2 and disconnects.unattributed == 0"
{checks}"#
        ),
    )
}
