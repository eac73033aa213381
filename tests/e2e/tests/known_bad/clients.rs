//! Clients with a planted bug: each is found by the check that names the bug, and by no other. The same client without a
//! bug passes in the same scenario, once for all of them.

use anyhow::Result;
use steadfast_e2e::binaries;

use crate::run::{Outcome, Run};

#[test]
fn clients_that_all_reconnect_in_the_same_instant_are_found() {
    assert_found("outage", "no-jitter", &["attempts-are-spread"]);
}

/// Two to three times as many attempts also have a higher peak.
#[test]
fn clients_whose_delay_is_reset_when_tcp_connects_are_found() {
    let bug = "growth-undone-on-connect";
    let outcome = run("outage", bug, bug).unwrap();

    assert_eq!(outcome.verdict(), "FAIL", "{outcome}");
    let mut failed: Vec<&str> = outcome.failed().into_keys().collect();
    failed.retain(|it| *it != "attempts-are-spread");
    assert_eq!(failed, ["few-attempts"], "{outcome}");
}

/// The clients that reconnect do so in time; those that do not must not be left out of the mean. The number of their attempts
/// is a lower bound too.
#[test]
fn clients_that_never_reconnect_count_in_the_mean_of_the_recovery() {
    let checks = ["few-attempts", "recovery-bounded"];
    assert_found("outage", "abandons-reconnect", &checks);
}

#[test]
fn clients_whose_sends_restart_the_ping_timer_are_found() {
    assert_found(
        "silence",
        "probe-starved-by-sends",
        &["silence-is-detected"],
    );
}

#[test]
fn clients_for_which_a_successful_write_proves_the_server_alive_are_found() {
    assert_found("silence", "liveness-by-sends", &["silence-is-detected"]);
}

#[test]
fn clients_whose_former_socket_ends_the_present_connection_are_found() {
    assert_found("silence", "old-socket-ends-session", &["all-explained"]);
}

#[test]
fn clients_that_send_lost_requests_again_are_found() {
    assert_found("lost-replies", "resends-lost-requests", &["executed-once"]);
}

#[test]
fn clients_that_report_sent_requests_as_not_sent_are_found() {
    let bug = "lost-reported-as-not-sent";
    assert_found("lost-replies", bug, &["not-sent-not-executed"]);
}

/// The findings of the other tests prove the planted bugs only if the client without them passes.
#[test]
fn the_client_without_a_bug_reconnects_after_an_outage() {
    assert_passes("outage");
}

#[test]
fn the_client_without_a_bug_detects_a_silence() {
    assert_passes("silence");
}

#[test]
fn the_client_without_a_bug_reports_lost_replies() {
    assert_passes("lost-replies");
}

/// Exactly these checks fail with the bug.
fn assert_found(scenario: &str, bug: &str, checks: &[&str]) {
    let broken = run(scenario, bug, bug).unwrap();

    assert_eq!(broken.verdict(), "FAIL", "{broken}");
    let failed: Vec<&str> = broken.failed().into_keys().collect();
    assert_eq!(failed, checks, "{broken}");
}

fn assert_passes(scenario: &str) {
    let correct = run(scenario, &format!("correct-{scenario}"), "").unwrap();

    assert_eq!(correct.verdict(), "PASS", "{correct}");
}

fn run(scenario: &str, name: &str, bug: &str) -> Result<Outcome> {
    let client = binaries::known_bad("broken-client")?;
    let root = binaries::root();
    let python = root.join(".venv/bin/python");
    let server = root.join("tests/e2e/fixtures/sockets.py");
    Run::new(scenario, name)?
        .param("python", &python.to_string_lossy())
        .param("server", &server.to_string_lossy())
        .param("client", &client.to_string_lossy())
        .param("bug", bug)
        .finish()
}
