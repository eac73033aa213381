//! The scenarios about links, with their short profiles: they pass, without faults they prove nothing, and where a link
//! cannot be broken they say so.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use serde_json::Value;
use steadfast_e2e::{binaries, lab_run, namespaces};

/// Each scenario, and the parameters with which a run without faults is short.
const SCENARIOS: [(&str, &[&str]); 8] = [
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
    (
        "truenas-field-report",
        &[
            "hold=1s",
            "duration=2s",
            "quiet=2s",
            "drain=1s",
            "detect_max=2s",
            "recovery_max=2s",
        ],
    ),
    (
        "truenas-calls",
        &[
            "hold=1s",
            "kill_every=1s",
            "pause_every=1s",
            "reset_every=1s",
            "block_every=1s",
            "duration=3s",
            "quiet=2s",
            "drain=1s",
            "recovery_max=2s",
        ],
    ),
    (
        "truenas-idle",
        &["reset=1s", "duration=2s", "quiet=2s", "recovery_max=2s"],
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
fn truenas_clients_survive_broken_links_and_execute_no_write_twice() {
    let report = run("truenas-field-report").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn truenas_clients_execute_no_write_twice_while_servers_are_killed_and_suspended() {
    let report = run("truenas-calls").unwrap();

    assert!(is_pass(report.as_ref()), "{report:#?}");
}

#[test]
fn pings_of_truenas_clients_hold_idle_connections_over_a_proxy_that_cuts() {
    let report = run("truenas-idle").unwrap();

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

/// The scenarios of the project as a user without privileges: with user namespaces, and in a search path without the
/// programs that create them. One with links runs both ways; the others have runs of their own.
#[test]
fn without_root_every_scenario_can_run_or_says_what_is_missing() {
    let folder = open_folder("lab-unprivileged").unwrap();
    let ways: Vec<Way> = WAYS.into_iter().filter(|way| way.is_possible()).collect();

    let runs: Vec<_> = ways
        .iter()
        .map(|way| {
            let mut lab = way.lab("run", "link-reset").unwrap();
            lab.args(["--json", "-p", "every=1s", "-p", "baseline=1s"]);
            lab.args(["-p", "duration=2s", "-p", "quiet=2s", "-p", "drain=1s"]);
            lab.args(["-p", "recovery_max=2s", "--out"]).arg(&folder);
            std::thread::spawn(move || lab_run::undisturbed(&mut lab).map(|(output, _)| output))
        })
        .collect();
    let mut checked = 0;
    for entry in fs::read_dir(binaries::root().join("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut check = WITHOUT_NAMESPACES.lab("check", &name).unwrap();
        let output = check.output().unwrap();
        let text = text(&output);
        assert!(output.status.success(), "{name}: {text}");
        // Only a link that is taken down needs namespaces.
        let is_skipped = name == "link-flap";
        assert_eq!(text.contains("\nSKIP "), is_skipped, "{name}: {text}");
        checked += 1;
    }
    assert!(checked >= 11, "only {checked}");
    let mut skipped = WITHOUT_NAMESPACES.lab("run", "link-flap").unwrap();
    let skipped = skipped.arg("--out").arg(&folder).output().unwrap();

    let reason = text(&skipped);
    assert_eq!(skipped.status.code(), Some(5), "{reason}");
    assert!(reason.contains("SKIP: this machine lacks"), "{reason}");
    assert!(reason.contains("failed to start unshare"), "{reason}");
    for (way, run) in ways.iter().zip(runs) {
        let report = report(&run.join().unwrap().unwrap()).unwrap();
        assert_eq!(report["verdict"], "PASS", "{way:?}: {report:#}");
    }
}

/// What a user without privileges has.
#[derive(Clone, Copy, Debug)]
struct Way {
    has_namespaces: bool,
}

const WITHOUT_NAMESPACES: Way = Way {
    has_namespaces: false,
};
const WAYS: [Way; 2] = [
    WITHOUT_NAMESPACES,
    Way {
        has_namespaces: true,
    },
];

impl Way {
    fn lab(self, command: &str, name: &str) -> Result<Command> {
        let mut lab = self.command(binaries::gateway()?.as_os_str());
        lab.args(["lab", command, "--profile", "short", "--seed", "5"]);
        lab.arg(format!("scenarios/{name}.toml"));
        Ok(lab)
    }

    /// A program that is started by a user without privileges, who must be able to read it.
    fn command(self, program: &OsStr) -> Command {
        let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
        let mut command = if is_root {
            let mut command = binaries::command("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.args(["--no-new-privs", "/usr/bin/env"]);
            command
        } else {
            binaries::command("/usr/bin/env")
        };
        if !self.has_namespaces {
            command.arg("PATH=/nonexistent");
        }
        command.arg(program);
        command
    }

    fn is_possible(self) -> bool {
        let mut attempt = self.command(OsStr::new("unshare"));
        attempt.args(["--user", "--map-root-user", "--net", "true"]);
        !self.has_namespaces || attempt.status().is_ok_and(|status| status.success())
    }
}

/// A folder in which every user may write.
fn open_folder(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn text(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .concat()
}

/// The report of the short profile; `None` where its links cannot be broken.
fn run(name: &str) -> Result<Option<Value>> {
    if name == "link-flap" && namespaces::unavailable().is_some() {
        return Ok(None);
    }
    let (output, _) = lab_run::undisturbed(&mut lab(&["run"], name)?)?;
    report(&output).map(Some)
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
    Ok(text(&outer.output()?))
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
