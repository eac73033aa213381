//! Drivers that write garbage, nothing or too much, that do not read or respond, and that exit: each is reported with what
//! to do, and the run ends.

use std::time::{Duration, Instant};

use steadfast_e2e::lab_run::LabRun;

use crate::{driver, run};

/// Longest time until a run ends whose driver misbehaves: its `ready_timeout` or its phases.
const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn a_driver_that_writes_garbage_is_reported_with_its_line() {
    let outcome = shell("garbage", "echo Listening; exec sleep 600");

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions(
        "error: the driver of load `api` wrote a line that is no response and no event: Listening\n    write only JSON objects to standard output",
    );
}

#[test]
fn a_driver_that_writes_nothing_is_reported_with_the_line_that_is_missing() {
    let outcome = shell("nothing", "echo starting >&2; exec sleep 600");

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions(
        "timed out after 3 s waiting for the driver of load `api`: its first line must be {\"event\": \"ready\"}; its output:\n    starting",
    );
}

#[test]
fn a_driver_that_writes_too_many_lines_is_stopped() {
    let outcome = shell("flood", "exec yes '{\"event\": \"ready\"}'");

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("the driver of load `api` wrote more than 100000 lines in a second");
}

#[test]
fn a_driver_that_writes_an_endless_line_is_stopped() {
    let outcome = shell("endless", "exec tr '\\0' x < /dev/zero");

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("the driver of load `api` wrote a line of more than 65536 bytes");
}

#[test]
fn a_driver_that_exits_is_reported_with_its_messages() {
    let outcome = shell("exits", "echo 'no license' >&2; exit 3");

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions(
        "error: the driver of load `api` exited with status 3; its output:\n    no license\n",
    );
}

#[test]
fn a_program_that_does_not_exist_is_reported() {
    let outcome = load(
        "missing",
        "cmd = \"/nonexistent/driver\"\nsend = { every = \"100ms\" }",
    );

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("the driver of load `api`");
    outcome.mentions("/nonexistent/driver");
}

#[test]
fn a_driver_that_reports_a_client_of_another_is_reported() {
    let event = "{\"event\": \"connected\", \"client\": \"bob\"}";
    let outcome = shell("stranger", &format!("echo '{event}'; exec sleep 600"));

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("reported an event of a client that it does not have: `bob`");
}

#[test]
fn clients_that_never_connect_are_reported_with_their_url_and_their_last_attempt() {
    let outcome = python("unreachable", "200ms", "100ms", UNREACHABLE);

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("to connect; their URL is \"ws://127.0.0.1:");
    outcome.mentions("failed: the certificate has expired\n");
    outcome.mentions("Correct `url` of the service or the clients, or increase `ready_timeout`");
}

#[test]
fn a_service_without_a_url_is_named_as_the_reason_why_its_clients_do_not_connect() {
    let driver = driver("no-url", UNREACHABLE).unwrap();
    let outcome = run(
        "no-url",
        &format!(
            r#"
[service.worker]
cmd = "sleep"
args = ["600"]
ready = {{ exec = ["true"] }}

[load.api]
driver = "exec"
cmd = "python3"
args = ["{}"]
to = "worker"
send = {{ every = "100ms" }}

[run]
duration = "1s"
control = "off"
ready_timeout = "1s"

[[step]]
at = "500ms"
do = "proc.kill"
on = "worker"

[[check]]
that = "requests.error == 0"
"#,
            driver.display()
        ),
    )
    .unwrap();

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    outcome.mentions("waiting for api-1 (exec) to connect; their URL is \"\"");
    outcome.mentions("Write `url` in the table of the service");
}

#[test]
fn a_driver_that_does_not_respond_makes_the_run_inconclusive() {
    let outcome = python("silent", "200ms", "100ms", SILENT);

    assert_eq!(outcome.verdict(), "INCONCLUSIVE", "{}", outcome.all());
    let all = outcome.all();
    assert!(
        all.contains("the driver of load `api` did not respond to request"),
        "{all}"
    );
}

#[test]
fn a_driver_that_does_not_read_makes_the_run_inconclusive_and_nothing_waits_for_it() {
    let outcome = python("deaf", "10s", "1ms", DEAF);

    assert_eq!(outcome.verdict(), "INCONCLUSIVE", "{}", outcome.all());
    let all = outcome.all();
    assert!(
        all.contains("the driver of load `api` does not read its commands"),
        "{all}"
    );
}

/// It reads everything and responds to `open` only.
const SILENT: &str = r#"
import json, sys
print('{"event": "ready"}', flush=True)
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "open":
        print(json.dumps({"id": command["id"], "ok": {}}), flush=True)
        print(json.dumps({"event": "connected", "client": command["client"]}), flush=True)
"#;

/// Each of its attempts to connect fails.
const UNREACHABLE: &str = r#"
import json, sys
print('{"event": "ready"}', flush=True)
for line in sys.stdin:
    command = json.loads(line)
    print(json.dumps({"id": command["id"], "ok": {}}), flush=True)
    if command["do"] == "open":
        event = {"event": "attempt_failed", "client": command["client"], "reason": "the certificate has expired"}
        print(json.dumps(event), flush=True)
"#;

/// It reads until its clients are open, and then nothing more.
const DEAF: &str = r#"
import json, os, sys, time
print('{"event": "ready"}', flush=True)
for _ in range(8):
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1)
    command = json.loads(line)
    print(json.dumps({"event": "connected", "client": command["client"]}), flush=True)
time.sleep(600)
"#;

fn shell(name: &str, script: &str) -> LabRun {
    let script = script.replace('\\', "\\\\").replace('"', "\\\"");
    let keys =
        format!("cmd = \"sh\"\nargs = [\"-c\", \"{script}\"]\nsend = {{ every = \"100ms\" }}");
    load(name, &keys)
}

fn python(name: &str, timeout: &str, every: &str, text: &str) -> LabRun {
    let driver = driver(name, text).unwrap();
    let keys = format!(
        "cmd = \"python3\"\nargs = [\"{}\"]\nclients = 8\nqueue = 100000\nsend = {{ every = \"{every}\", timeout = \"{timeout}\" }}",
        driver.display()
    );
    load(name, &keys)
}

/// Runs clients of a driver with these keys.
fn load(name: &str, keys: &str) -> LabRun {
    let started = Instant::now();
    let outcome = run(
        name,
        &format!(
            r#"
[service.gateway]
use = "builtin:gateway"

[load.api]
driver = "exec"
to = "gateway"
{keys}

[run]
baseline = "1s"
duration = "2s"
quiet = "1s"
drain = "1s"
control = "off"
ready_timeout = "3s"

[[step]]
at = "1s"
do = "proc.kill"
on = "gateway"
then = {{ start_after = "300ms" }}

[[check]]
that = "requests.error == 0"
"#
        ),
    )
    .unwrap();
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    outcome
}
