//! The scenarios about links, with their short profiles: they pass, without faults they prove nothing, and where a link
//! cannot be broken they say so.

use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use serde_json::Value;
use steadfast_e2e::{binaries, namespaces};

/// Each scenario, and the parameters with which a run without faults is short.
const SCENARIOS: [(&str, &[&str]); 5] = [
    (
        "link-blackhole",
        &[
            "hold=1s",
            "duration=2s",
            "quiet=2s",
            "detect_steadfast=2s",
            "detect_max=2s",
        ],
    ),
    (
        "link-flap",
        &[
            "every=1s",
            "down=500ms",
            "duration=2s",
            "quiet=2s",
            "recovery_max=2s",
        ],
    ),
    ("link-slow", &["slow=1s", "duration=2s", "quiet=1s"]),
    (
        "link-reset",
        &["every=1s", "duration=2s", "quiet=2s", "recovery_max=2s"],
    ),
    (
        "idle-proxy",
        &[
            "idle=500ms",
            "restart=1s",
            "duration=2s",
            "quiet=2s",
            "recovery_max=2s",
        ],
    ),
];

#[test]
fn a_black_hole_is_noticed_in_time_and_nothing_acknowledged_is_lost() {
    let report = run("link-blackhole").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn a_link_that_flaps_loses_nothing() {
    let report = run("link-flap").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn a_slow_link_ends_no_connection() {
    let report = run("link-slow").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn a_reset_is_noticed_at_once_and_named_as_such() {
    let report = run("link-reset").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn pings_hold_a_link_over_a_proxy_that_cuts_idle_connections() {
    let report = run("idle-proxy").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn every_scenario_is_inconclusive_without_its_faults() {
    let runs: Vec<_> = SCENARIOS
        .into_iter()
        .map(|(name, params)| {
            let mut command = lab(&["run"], name).unwrap();
            command.arg("--placebo");
            for param in params {
                command.args(["-p", param]);
            }
            (
                name,
                std::thread::spawn(move || command.output().context("no lab")),
            )
        })
        .collect();

    for (name, run) in runs {
        let output = run.join().unwrap().unwrap();
        let report = report(&output).unwrap();
        assert_eq!(report["verdict"], "INCONCLUSIVE", "{name}: {report:#}");
        assert_eq!(output.status.code(), Some(2), "{name}");
        let reasons = report["reasons"].to_string();
        assert!(
            reasons.contains("its effect was not confirmed"),
            "{name}: {reasons}"
        );
    }
}

/// The proxy needs no privilege; only a link that is taken down needs namespaces.
#[test]
fn without_namespaces_every_scenario_takes_the_proxy_or_is_skipped_with_the_reason() {
    if namespaces::unavailable().is_some() {
        return;
    }
    for (name, _) in SCENARIOS {
        let text = check_without_namespaces(name).unwrap();

        if name == "link-flap" {
            let reason = "SKIP        link chat->gateway: netns: ";
            assert!(text.contains(reason), "{name}: {text}");
        } else {
            assert!(!text.contains("SKIP"), "{name}: {text}");
            assert!(text.contains("faults      "), "{name}: {text}");
        }
    }
}

/// The report of the short profile; `None` where its links cannot be broken.
fn run(name: &str) -> Result<Option<Value>> {
    if name == "link-flap" && namespaces::unavailable().is_some() {
        return Ok(None);
    }
    report(&lab(&["run"], name)?.output()?).map(Some)
}

fn is_pass(report: Option<&Value>) -> bool {
    report.is_none_or(|report| report.get("verdict").is_some_and(|it| it == "PASS"))
}

/// `lab check` in a user namespace in which no other can be created; its root has no capabilities.
fn check_without_namespaces(name: &str) -> Result<String> {
    let limited = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \
         --inh-caps=-all {} lab check scenarios/{name}.toml --seed 5 --profile short",
        binaries::gateway()?.display(),
    );
    let mut outer = binaries::command("unshare");
    outer.args(["--user", "--map-root-user", "sh", "-c", &limited]);
    let output = outer.output()?;
    let streams = [&output.stdout, &output.stderr];
    Ok(streams
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .concat())
}

fn lab(command: &[&str], name: &str) -> Result<Command> {
    let mut lab = binaries::command(binaries::gateway()?);
    lab.arg("lab").args(command);
    lab.arg(format!("scenarios/{name}.toml"));
    lab.args(["--profile", "short", "--seed", "5", "--json", "--out"]);
    lab.arg(binaries::scratch(&format!("lab-scenarios-{name}"))?);
    Ok(lab)
}

fn report(output: &Output) -> Result<Value> {
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).with_context(|| messages)
}
