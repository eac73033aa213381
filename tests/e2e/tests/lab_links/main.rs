//! Faults of real links: in network namespaces as root and as another user, and through proxies. Each fault is confirmed,
//! nothing is lost, every disconnect is explained, and nothing is left, also after the lab was killed.

mod crashes;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use steadfast_e2e::{binaries, lab_run, namespaces};

/// The user and the group without privileges that Debian has.
const UNPRIVILEGED: u32 = 65_534;
/// Longest wait for what takes seconds on an idle machine.
const SLACK: Duration = Duration::from_mins(1);
/// A scenario with a single partition, in which packet filters with a planted bug are found too.
const PARTITION: &str = "../known_bad/partition";

#[test]
fn every_fault_of_a_link_is_confirmed_and_nothing_is_lost() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("links").unwrap();

    let unprivileged = as_unprivileged(&lab(&folder, "links", &[]).unwrap());
    let unprivileged = thread::spawn(move || finish(unprivileged));
    let root = finish(lab(&folder, "links", &[]).unwrap());
    let unprivileged = unprivileged.join().unwrap();

    for output in [root, unprivileged] {
        let report = report(&output).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(report["verdict"], "PASS", "{report:#}");
        for fault in report["faults"].as_array().unwrap() {
            let evidence = fault["evidence"].as_str().unwrap();
            let expected = match fault["step"].as_str().unwrap() {
                "drop" | "drop-out" | "drop-in" => "dropped ",
                "down" => "no carrier, 1 probe was lost",
                "slow" => "the rate was reached ",
                "reject" => "rejected ",
                "reset" => "reset ",
                other => panic!("{other}"),
            };
            assert!(evidence.starts_with(expected), "{evidence}");
        }
    }
}

#[test]
fn links_are_selected_by_role_and_a_block_can_concern_a_port_or_new_connections() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("roles").unwrap();

    let output = finish(lab(&folder, "roles", &[]).unwrap());

    let report = report(&output).unwrap();
    assert_eq!(report["verdict"], "PASS", "{report:#}");
    let targets = |step: &str| {
        let faults = report["faults"].as_array().unwrap();
        let fault = faults.iter().find(|it| it["step"] == step);
        fault.unwrap()["targets"].to_string()
    };
    assert_eq!(targets("leader"), r#"["chat->gateway:1"]"#);
    assert_eq!(targets("port"), r#"["chat->gateway:2"]"#);
    assert_eq!(targets("reset-leader"), r#"["chat->gateway:1"]"#);
}

#[test]
fn services_in_networks_of_their_own_are_reached_and_their_connections_counted() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("own").unwrap();

    let output = finish(lab(&folder, "own", &[]).unwrap());

    let report = report(&output).unwrap();
    assert_eq!(report["verdict"], "PASS", "{report:#}");
}

#[test]
fn every_fault_of_a_proxied_link_is_confirmed_without_any_privilege() {
    let folder = open_folder("proxied").unwrap();

    let output = finish(as_unprivileged(&lab(&folder, "proxied", &[]).unwrap()));

    let report = report(&output).unwrap();
    assert_eq!(report["verdict"], "PASS", "{}", text(&output));
    assert!(report["faults"].as_array().unwrap().len() >= 6);
}

#[test]
fn a_packet_filter_that_does_nothing_and_a_placebo_are_inconclusive() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("no-filter").unwrap();
    let path = with_program(&folder, "nft", "#!/bin/sh\nexit 0\n").unwrap();
    let mut without_filter = lab(&folder, PARTITION, &[]).unwrap();
    let without_filter = spawn(without_filter.env("PATH", path)).unwrap();

    let placebo = lab(&folder, PARTITION, &["--placebo"]).unwrap().output();

    let without_filter = without_filter.wait_with_output().unwrap();
    for (output, reason) in [
        (without_filter, "counted no packet of a probe"),
        (placebo.unwrap(), "its effect was not confirmed"),
    ] {
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let reasons = report(&output).unwrap()["reasons"].to_string();
        assert!(reasons.contains(reason), "{reasons}");
    }
}

#[test]
fn without_user_namespaces_a_scenario_is_skipped_or_takes_the_proxy() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("skipped").unwrap();
    let check = |name: &str, via: &str| {
        let program = binaries::gateway().unwrap();
        // The limit is that of a user namespace of this test. Without capabilities, its root is like any user.
        let limited = format!(
            "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all \
             --inh-caps=-all {} lab check {} --seed 5 -p via={via}",
            program.display(),
            scenario(name).display()
        );
        let mut outer = Command::new("unshare");
        outer.args(["--user", "--map-root-user", "sh", "-c", &limited]);
        text(&outer.current_dir(&folder).output().unwrap())
    };

    let skipped = check("links", "netns");
    let proxied = check("proxied", "netns,proxy");

    assert!(
        skipped.contains("  no        namespaces of network, mounts and processes: "),
        "{skipped}"
    );
    assert!(
        skipped.contains(
            "SKIP        link chat->gateway: netns: network namespaces cannot be created"
        ),
        "{skipped}"
    );
    assert!(
        proxied.contains("link        chat->gateway via proxy; not netns: "),
        "{proxied}"
    );
}

#[test]
fn a_lab_that_is_killed_during_a_partition_leaves_nothing() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("killed").unwrap();
    let mut command = lab(&folder, "links", &[]).unwrap();
    let mut lab = spawn(&mut command).unwrap();
    let run = await_partition(&folder).unwrap();
    let namespaces = recorded_namespaces(&run).unwrap();
    assert_eq!(namespaces.len(), 3, "a router and two gateways");
    assert!(!members(&namespaces).is_empty());

    lab.kill().unwrap();
    lab.wait().unwrap();

    let healed = heal(&folder).unwrap();
    assert!(healed.contains("the lab ended early"), "{healed}");
    assert!(
        healed.contains("undone: net.block chat->gateway:1"),
        "{healed}"
    );
    assert_eq!(members(&namespaces), Vec::<String>::new());
    assert_eq!(processes_of(&run), Vec::<String>::new());
    assert_eq!(heal(&folder).unwrap(), "nothing to heal\n");
}

#[test]
fn the_next_run_heals_one_that_was_killed() {
    if is_impossible() {
        return;
    }
    let folder = open_folder("next").unwrap();
    let mut command = lab(&folder, "links", &[]).unwrap();
    let mut killed = spawn(&mut command).unwrap();
    let run = await_partition(&folder).unwrap();
    let namespaces = recorded_namespaces(&run).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();

    let next = lab(&folder, "own", &[]).unwrap().output().unwrap();

    let next = text(&next);
    assert!(next.contains("the lab ended early"), "{next}");
    assert!(next.contains("undone: net.block chat->gateway:1"), "{next}");
    assert_eq!(members(&namespaces), Vec::<String>::new());
    assert_eq!(processes_of(&run), Vec::<String>::new());
    assert_eq!(heal(&folder).unwrap(), "nothing to heal\n");
}

/// Whether namespaces cannot be created here. In CI a missing permission must not go unnoticed.
fn is_impossible() -> bool {
    let reason = namespaces::unavailable();
    assert!(
        reason.is_none() || std::env::var_os("CI").is_none(),
        "{reason:?}"
    );
    reason.is_some()
}

/// A folder in which every user may write.
fn open_folder(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("lab-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

/// A search path that begins with a script of this name.
fn with_program(folder: &Path, name: &str, script: &str) -> Result<OsString> {
    let program = folder.join(name);
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut path = folder.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").context("no search path")?);
    Ok(path)
}

fn scenario(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab_links");
    folder.join(format!("{name}.toml"))
}

fn lab(folder: &Path, name: &str, options: &[&str]) -> Result<Command> {
    let mut command = binaries::command(binaries::gateway()?);
    command.args(["lab", "run"]).arg(scenario(name));
    command.args(["--seed", "5", "--json", "--out"]).arg(folder);
    command.args(options).env("RUST_BACKTRACE", "0");
    Ok(command)
}

fn spawn(command: &mut Command) -> Result<std::process::Child> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command.stderr(Stdio::piped()).spawn()?)
}

/// Runs the lab to its end, again while the machine is too busy.
fn finish(mut lab: Command) -> Output {
    let (output, _) = lab_run::undisturbed(&mut lab).expect("the lab was built");
    output
}

/// The command as it is started by a user without privileges, who must be able to read the program and the scenario.
fn as_unprivileged(command: &Command) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
    let program = if is_root { "setpriv" } else { "/usr/bin/env" };
    let mut other = binaries::command(program);
    if is_root {
        other.arg(format!("--reuid={UNPRIVILEGED}"));
        other.arg(format!("--regid={UNPRIVILEGED}"));
        other.arg("--clear-groups");
    }
    other.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other
}

fn report(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| text(output))
}

fn text(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr];
    parts
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .concat()
}

/// Waits until the journal of the only run says that a partition is in effect; returns the directory of the run.
fn await_partition(folder: &Path) -> Result<PathBuf> {
    let deadline = Instant::now() + SLACK;
    loop {
        let run = fs::read_dir(folder)?.flatten().map(|it| it.path()).next();
        let journal = run
            .as_ref()
            .map(|run| fs::read_to_string(run.join("faults.jsonl")));
        if let (Some(run), Some(Ok(journal))) = (run, journal)
            && journal.contains("net.block")
        {
            return Ok(run);
        }
        ensure!(Instant::now() < deadline, "no partition within {SLACK:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn recorded_namespaces(run: &Path) -> Result<Vec<u64>> {
    let journal = fs::read_to_string(run.join("faults.jsonl"))?;
    let lines = journal
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let namespaces = lines.filter_map(|line| line.get("namespaces")?.as_array().cloned());
    Ok(namespaces.flatten().filter_map(|it| it.as_u64()).collect())
}

/// The processes in these network namespaces.
fn members(namespaces: &[u64]) -> Vec<String> {
    processes(|process| {
        let namespace = fs::read_link(process.join("ns/net")).unwrap_or_default();
        let namespace = namespace.to_string_lossy().into_owned();
        namespaces
            .iter()
            .any(|it| namespace == format!("net:[{it}]"))
    })
}

/// The processes whose command or environment names the directory of a run.
fn processes_of(run: &Path) -> Vec<String> {
    let run = run.to_string_lossy().into_owned();
    processes(|process| {
        let files = ["environ", "cmdline"].map(|file| fs::read(process.join(file)));
        let mut texts = files.into_iter().flatten();
        texts.any(|text| String::from_utf8_lossy(&text).contains(&run))
    })
}

fn processes(is_meant: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.parse::<u32>().is_ok()
    });
    let found = processes.filter(|path| is_meant(path));
    found.map(|path| path.display().to_string()).collect()
}

fn heal(folder: &Path) -> Result<String> {
    let mut command = binaries::command(binaries::gateway()?);
    let output = command.args(["lab", "heal"]).arg(folder).output()?;
    ensure!(output.status.success(), "{}", text(&output));
    Ok(String::from_utf8(output.stdout)?)
}
