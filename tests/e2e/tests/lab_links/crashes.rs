//! Runs that end early: by a signal, by a second one, by a SIGKILL of the lab or of the shell that started it. Nothing is
//! left, at the latest after `lab heal` or the next run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use steadfast_e2e::binaries;

use crate::{
    SLACK, as_unprivileged, await_partition, heal, is_impossible, lab, members, open_folder,
    processes_of, recorded_namespaces, spawn, text,
};

/// The exit code of a run that a signal ended.
const INTERRUPTED: i32 = 130;
/// The exit code of the lab when it failed itself.
const FAILED: i32 = 7;
/// Both ways in which a link is broken.
const WAYS: [&str; 2] = ["netns", "proxy"];

#[test]
fn an_interrupted_run_heals_and_leaves_nothing() {
    for way in WAYS.into_iter().filter(|way| is_possible(way)) {
        let (folder, lab) = started("interrupted", way, "500ms").unwrap();
        let run = await_faults(&folder).unwrap();
        let namespaces = recorded_namespaces(&run).unwrap();

        send(lab.id(), "INT").unwrap();

        let output = lab.wait_with_output().unwrap();
        let messages = text(&output);
        assert_eq!(output.status.code(), Some(INTERRUPTED), "{way}: {messages}");
        assert!(messages.contains("Interrupted: "), "{messages}");
        assert!(messages.contains("the run was interrupted"), "{messages}");
        assert_nothing_is_left(&run, &namespaces);
        assert_eq!(heal(&folder).unwrap(), "nothing to heal\n", "{way}");
    }
}

#[test]
fn a_second_signal_ends_the_lab_at_once_and_heal_undoes_the_rest() {
    for way in WAYS.into_iter().filter(|way| is_possible(way)) {
        let (folder, mut lab) = started("twice", way, "60s").unwrap();
        let run = await_faults(&folder).unwrap();
        let namespaces = recorded_namespaces(&run).unwrap();
        let begin = Instant::now();

        // Signals that follow shortly after the first one are the same request.
        while lab.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < SLACK, "{way}: not ended");
            send(lab.id(), "INT").unwrap();
            thread::sleep(Duration::from_millis(100));
        }

        let output = lab.wait_with_output().unwrap();
        let messages = text(&output);
        assert_eq!(output.status.code(), Some(INTERRUPTED), "{way}: {messages}");
        let command = format!("steadfast lab heal {}", run.display());
        assert!(messages.contains("by a second signal"), "{messages}");
        assert!(messages.contains(&command), "{messages}");
        let healed = heal(&run).unwrap();
        assert!(
            healed.contains("undone: net.block chat->gateway:1"),
            "{healed}"
        );
        assert_nothing_is_left(&run, &namespaces);
        assert_eq!(heal(&folder).unwrap(), "nothing to heal\n", "{way}");
    }
}

#[test]
fn a_lab_with_proxies_that_is_killed_leaves_nothing_that_heal_or_the_next_run_does_not_end() {
    for next_run in [false, true] {
        let name = format!("killed-{next_run}");
        let (folder, mut lab) = started(&name, "proxy", "60s").unwrap();
        let run = await_faults(&folder).unwrap();
        lab.kill().unwrap();
        lab.wait().unwrap();
        let left = processes_of(&run);
        assert!(!left.is_empty(), "a suspended process is left");

        let healed = if next_run {
            let (_, mut next) = started_in(&folder, "proxy", "500ms").unwrap();
            let line = first_line(&mut next).unwrap();
            send(next.id(), "TERM").unwrap();
            let code = next.wait().unwrap().code();
            assert_eq!(code, Some(INTERRUPTED));
            line
        } else {
            heal(&folder).unwrap()
        };

        assert!(healed.contains("the lab ended early; "), "{healed}");
        assert_eq!(processes_of(&run), Vec::<String>::new());
        assert_eq!(heal(&folder).unwrap(), "nothing to heal\n");
    }
}

#[test]
fn the_end_of_its_shell_does_not_end_the_lab_and_heal_leaves_it_alone() {
    for way in WAYS.into_iter().filter(|way| is_possible(way)) {
        let folder = open_folder(&format!("shell-{way}")).unwrap();
        let lab = command(&folder, way, "500ms").unwrap();
        let mut shell = Command::new("sh");
        // Without a second command the shell would become the lab.
        shell.args(["-c", "\"$@\"; exit", "sh"]);
        shell.arg(lab.get_program()).args(lab.get_args());
        let mut shell = spawn(shell.current_dir(binaries::root())).unwrap();
        let run = await_faults(&folder).unwrap();
        let namespaces = recorded_namespaces(&run).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();

        let healed = heal_output(&folder).unwrap();

        assert_eq!(healed.status.code(), Some(FAILED), "{}", text(&healed));
        let messages = text(&healed);
        let id = messages.split("Stop it first: kill ").nth(1).unwrap();
        let id: u32 = id.trim().parse().unwrap();
        send(id, "TERM").unwrap();
        await_end(id).unwrap();
        assert_nothing_is_left(&run, &namespaces);
        assert_eq!(heal(&folder).unwrap(), "nothing to heal\n", "{way}");
    }
}

#[test]
fn heal_continues_after_journals_that_it_cannot_read_or_write() {
    let folder = open_folder("journals").unwrap();
    let fault = "{\"fault\":0,\"do\":\"net.block a\",\"undo\":\"end it\"}\n";
    fs::create_dir_all(folder.join("a/faults.jsonl")).unwrap();
    for run in ["b", "c"] {
        fs::create_dir_all(folder.join(run)).unwrap();
        fs::write(folder.join(run).join("faults.jsonl"), fault).unwrap();
    }
    for (run, mode) in [("b", 0o444), ("c", 0o666)] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.join(run).join("faults.jsonl"), permissions).unwrap();
    }
    let mut command = binaries::command(binaries::gateway().unwrap());
    command.args(["lab", "heal"]).arg(&folder);

    // Root could write every file.
    let output = as_unprivileged(&command).output().unwrap();

    assert_eq!(output.status.code(), Some(FAILED), "{}", text(&output));
    let healed = String::from_utf8(output.stdout.clone()).unwrap();
    for run in ["/b: the lab ended early", "/c: the lab ended early"] {
        assert!(healed.contains(run), "{healed}");
    }
    let problems = String::from_utf8(output.stderr).unwrap();
    for problem in [
        "failed to read ",
        "/a/faults.jsonl",
        "failed to write ",
        "/b/faults.jsonl",
    ] {
        assert!(problems.contains(problem), "{problems}");
    }
    let ended = fs::read_to_string(folder.join("c/faults.jsonl")).unwrap();
    assert!(ended.contains("ended"), "{ended}");
}

fn is_possible(way: &str) -> bool {
    way == "proxy" || !is_impossible()
}

fn started(name: &str, way: &str, grace: &str) -> Result<(PathBuf, Child)> {
    started_in(&open_folder(&format!("{name}-{way}"))?, way, grace)
}

fn started_in(folder: &Path, way: &str, grace: &str) -> Result<(PathBuf, Child)> {
    Ok((folder.to_owned(), spawn(&mut command(folder, way, grace)?)?))
}

fn command(folder: &Path, way: &str, grace: &str) -> Result<Command> {
    let (via, grace) = (format!("via={way}"), format!("grace={grace}"));
    lab(folder, "stubborn", &["-p", &via, "-p", &grace])
}

/// Waits until the journal has both faults and the service is suspended; returns the directory of the run.
fn await_faults(folder: &Path) -> Result<PathBuf> {
    let run = await_partition(folder)?;
    await_until("no suspended process", || {
        let processes = processes_of(&run);
        processes.iter().any(|process| {
            let stat = fs::read_to_string(Path::new(process).join("stat"));
            stat.unwrap_or_default().contains(") T ")
        })
    })?;
    Ok(run)
}

fn await_end(id: u32) -> Result<()> {
    await_until("the lab did not end", || {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"));
        stat.is_ok_and(|stat| stat.contains(") Z ")) || !Path::new(&format!("/proc/{id}")).exists()
    })
}

fn await_until(otherwise: &str, condition: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + SLACK;
    while !condition() {
        ensure!(Instant::now() < deadline, "{otherwise} within {SLACK:?}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn assert_nothing_is_left(run: &Path, namespaces: &[u64]) {
    assert_eq!(processes_of(run), Vec::<String>::new());
    assert_eq!(members(namespaces), Vec::<String>::new());
}

/// The first line that a process writes to standard error; its other lines are read and not kept.
/// The first line, once the lab has announced its own run: from then on it handles signals.
fn first_line(child: &mut Child) -> Result<String> {
    let stderr = child.stderr.take().context("no pipe")?;
    let mut lines = BufReader::new(stderr).lines();
    let first = lines.next().context("no line")??;
    let mut line = first.clone();
    while !line.contains("; files in ") {
        line = lines.next().context("no run")??;
    }
    thread::spawn(move || lines.for_each(drop));
    Ok(first)
}

fn send(process: u32, signal: &str) -> Result<()> {
    let id = process.to_string();
    // A process that has just ended needs no signal.
    Command::new("kill").args(["-s", signal, &id]).output()?;
    Ok(())
}

fn heal_output(folder: &Path) -> Result<Output> {
    let mut command = binaries::command(binaries::gateway()?);
    Ok(command.args(["lab", "heal"]).arg(folder).output()?)
}
