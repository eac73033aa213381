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
    passes("link-blackhole");
}

#[test]
fn a_link_that_flaps_loses_nothing() {
    passes("link-flap");
}

#[test]
fn a_slow_link_ends_no_connection() {
    passes("link-slow");
}

#[test]
fn a_reset_is_noticed_at_once_and_named_as_such() {
    passes("link-reset");
}

#[test]
fn pings_hold_a_link_over_a_proxy_that_cuts_idle_connections() {
    passes("idle-proxy");
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

/// Runs the short profile: it must pass.
fn passes(name: &str) {
    if name == "link-flap" && namespaces::unavailable().is_some() {
        return;
    }
    let output = lab(&["run"], name).unwrap().output().unwrap();

    let report = report(&output).unwrap();
    assert_eq!(report["verdict"], "PASS", "{report:#}");
    assert_eq!(output.status.code(), Some(0));
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
