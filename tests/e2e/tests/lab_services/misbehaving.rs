//! Programs that exit at once, are never ready, print too much or leave processes: each is reported with what to do,
//! and the run ends.

use std::time::{Duration, Instant};

use crate::{processes_with, run};

/// Longest time until a run ends whose service misbehaves: its `ready_timeout`, its phases and the grace period.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_service_that_exits_at_once_is_reported_with_its_output() {
    let started = Instant::now();
    let outcome = run(
        "exits",
        r#"
[service.worker]
cmd = "sh"
args = ["-c", "echo no license; exit 3"]
ready = { log = "ready" }
"#,
    )
    .unwrap();

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    assert!(
        outcome.messages.contains(
            "error: worker:1 exited with status 3 before it was ready; its output:\n    no license\n"
        ),
        "{}",
        outcome.messages
    );
    assert!(started.elapsed() < LIMIT);
}

#[test]
fn a_service_that_is_never_ready_is_reported_with_its_probe() {
    let started = Instant::now();
    let outcome = run(
        "unready",
        r#"
[service.worker]
cmd = "sh"
args = ["-c", "echo starting; exec sleep 600"]
ports = { client = "auto" }
ready = { http = "/ready" }

[run]
baseline = "1s"
duration = "2s"
quiet = "1s"
drain = "1s"
control = "off"
ready_timeout = "2s"
"#,
    )
    .unwrap();

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    let expected = [
        "error: timed out after 2 s waiting for worker:1: GET http://127.0.0.1:",
        "/ready: Connection refused (os error 111); its output:\n    starting\n",
        "Correct `ready` of the service, or increase `ready_timeout` in [run]\n",
    ];
    for text in expected {
        assert!(
            outcome.messages.contains(text),
            "{text}: {}",
            outcome.messages
        );
    }
    assert!(started.elapsed() < LIMIT);
}

/// The children of `leaves` are in sessions of their own; the first forks twice, the second has no environment either.
#[test]
fn a_flood_processes_that_are_left_and_an_ignored_signal_are_reported_and_harm_nothing() {
    let started = Instant::now();
    let outcome = run(
        "misbehaving",
        r#"
[service.floods]
cmd = "sh"
args = ["-c", "echo first; yes $(seq -s, 400) 2>/dev/null | head -c 60000000; echo ready; exec sleep 600"]
ready = { log = "ready" }

[service.leaves]
cmd = "sh"
args = ["-c", "setsid sh -c 'sleep 7391 &' ; setsid env -i sh -c 'sleep 7392 &' ; echo ready; exec sleep 7393"]
ready = { log = "ready" }

[service.ignores]
cmd = "sh"
args = ["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
ready = { log = "ready" }
stop = { grace = "1s" }
"#,
    )
    .unwrap();

    assert_eq!(outcome.verdict(), "PASS", "{}", outcome.all());
    for note in [
        "note: floods:1: it printed too much: ",
        "note: leaves:1 exited and left processes: sleep (",
        "note: killed processes that hid from their service: sleep\n",
        "note: ignores:1 did not exit within 1s at the end of the run and was killed",
    ] {
        assert!(
            outcome.messages.contains(note),
            "{note}: {}",
            outcome.messages
        );
    }
    let log = outcome.log("floods-1").unwrap();
    assert!(log.len() < 13 << 20, "{} bytes", log.len());
    assert!(log.lines().next().unwrap().ends_with(" first"));
    // It follows an incomplete line.
    assert!(log.ends_with("ready\n"));
    assert_eq!(processes_with("sleep 739"), Vec::<String>::new());
    assert!(started.elapsed() < LIMIT);
}

#[test]
fn a_missing_program_is_a_skip_with_the_reason() {
    let outcome = run(
        "missing",
        "[service.worker]\ncmd = \"no-such-program\"\nready = { log = \"x\" }\n",
    )
    .unwrap();

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    let expected = "SKIP: the program `no-such-program` of service `worker` not found\n";
    assert!(outcome.messages.contains(expected), "{}", outcome.messages);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let outcome = run(
        "port",
        &format!("[service.worker]\ncmd = \"sh\"\nports = {{ client = {port} }}\n"),
    )
    .unwrap();

    assert_eq!(outcome.exit, Some(5), "{}", outcome.messages);
    for text in [
        format!("error: port {port} (`client` of worker:1) is in use\n"),
        "let the lab choose: ports = { client = \"auto\" }\n".to_owned(),
    ] {
        assert!(
            outcome.messages.contains(&text),
            "{text}: {}",
            outcome.messages
        );
    }
}
