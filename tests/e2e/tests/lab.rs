//! The lab's scenarios on real gateways and four kinds of clients: they pass on the gateway, and they detect planted
//! bugs and runs that prove nothing.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStderr, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use steadfast_e2e::binaries;

#[test]
fn every_kind_of_client_reconnects_and_nothing_acknowledged_is_lost() {
    let report = lab(&[]).and_then(Run::wait).unwrap();

    assert_eq!(report.verdict(), "PASS", "{report}");
    assert_eq!(report.exit, Some(0));
}

#[test]
fn a_freeze_without_disconnects_is_detected_and_nothing_acknowledged_is_lost() {
    let report = scenario("gateway-freeze", &[]).and_then(Run::wait).unwrap();

    assert_eq!(report.verdict(), "PASS", "{report}");
    assert_eq!(report.check("freeze-detected"), Some("holds"));
}

#[test]
fn a_run_without_faults_is_inconclusive() {
    let report = lab(&["--placebo"]).and_then(Run::wait).unwrap();

    assert_eq!(report.verdict(), "INCONCLUSIVE", "{report}");
    assert_eq!(report.exit, Some(2));
}

#[test]
fn a_suspended_harness_makes_the_run_inconclusive() {
    let mut run = lab(&[]).unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(run.child.id()).unwrap()).unwrap();
    let pause = |signal| rustix::process::kill_process(id, signal).unwrap();
    // The control run has ended, and the run itself is in progress.
    run.wait_for_message("run ").unwrap();
    pause(rustix::process::Signal::STOP);
    wait(Duration::from_secs(3));
    pause(rustix::process::Signal::CONT);

    let report = run.wait().unwrap();

    assert_eq!(report.verdict(), "INCONCLUSIVE", "{report}");
    assert!(report.text.contains("late"), "{report}");
}

#[test]
fn a_gateway_that_acknowledges_before_the_write_fails_for_lost_messages() {
    assert_fails(
        &on_known_bad("acks-before-write").unwrap(),
        "no-acknowledged-message-lost",
    );
}

#[test]
fn a_gateway_that_skips_recovery_fails_for_lost_messages() {
    assert_fails(
        &on_known_bad("skips-recovery").unwrap(),
        "no-acknowledged-message-lost",
    );
}

#[test]
fn a_gateway_that_forgets_keys_fails_for_duplicates() {
    assert_fails(&on_known_bad("forgets-keys").unwrap(), "no-duplicates");
}

#[test]
fn a_gateway_that_reuses_an_offset_fails_for_its_history() {
    assert_fails(
        &on_known_bad("reuses-offset").unwrap(),
        "no-gap-and-no-epoch-change",
    );
}

/// Runs the short profile on a known-bad build instead of the gateway.
fn on_known_bad(name: &str) -> Result<Report> {
    let program = binaries::known_bad(name)?;
    lab(&["--gateway", &program.to_string_lossy()])?.wait()
}

fn assert_fails(report: &Report, check: &str) {
    assert_eq!(report.verdict(), "FAIL", "{report}");
    assert_eq!(report.exit, Some(1));
    assert_eq!(report.check(check), Some("fails"), "{report}");
    let back = report.check("all-affected-clients-reconnected");
    assert_eq!(back, Some("holds"), "{report}");
}

/// A run in progress.
struct Run {
    child: Child,
    messages: BufReader<ChildStderr>,
}

/// The report of a finished run.
struct Report {
    exit: Option<i32>,
    json: Value,
    text: String,
}

/// Starts the short profile of the scenario `gateway-kill`.
fn lab(arguments: &[&str]) -> Result<Run> {
    scenario("gateway-kill", arguments)
}

/// Starts the short profile of a scenario.
fn scenario(name: &str, arguments: &[&str]) -> Result<Run> {
    // It builds the driver of a third-party client.
    let mut child = binaries::command(binaries::gateway()?)
        .args(["lab", "run", &format!("scenarios/{name}.toml")])
        .args(["--profile", "short", "--seed", "5", "--json", "--out"])
        .arg(binaries::scratch("lab")?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start the lab")?;
    let messages = child.stderr.take().context("no stderr")?;
    Ok(Run {
        child,
        messages: BufReader::new(messages),
    })
}

impl Run {
    /// Waits for a message of the lab that begins with this text.
    fn wait_for_message(&mut self, start: &str) -> Result<()> {
        let mut message = String::new();
        while !message.starts_with(start) {
            message.clear();
            let length = self.messages.read_line(&mut message)?;
            anyhow::ensure!(length > 0, "the lab ended before it printed `{start}`");
            io::stderr().write_all(message.as_bytes())?;
        }
        Ok(())
    }

    fn wait(self) -> Result<Report> {
        let mut messages = self.messages;
        let print = thread::spawn(move || io::copy(&mut messages, &mut io::stderr()));
        let output = self.child.wait_with_output()?;
        drop(print.join());
        let text = String::from_utf8(output.stdout)?;
        Ok(Report {
            exit: output.status.code(),
            json: serde_json::from_str(&text).context("no report")?,
            text,
        })
    }
}

impl Report {
    fn verdict(&self) -> &str {
        let verdict = self.json.get("verdict").and_then(Value::as_str);
        verdict.unwrap_or_default()
    }

    fn check(&self, id: &str) -> Option<&str> {
        let checks = self.json.get("checks")?.as_array()?.iter();
        let named = |it: &&Value| it.get("id").and_then(Value::as_str) == Some(id);
        checks.into_iter().find(named)?.get("outcome")?.as_str()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Waits in real time, because the processes are real; no assertion depends on the exact time.
fn wait(time: Duration) {
    thread::sleep(time);
}
