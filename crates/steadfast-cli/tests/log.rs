//! `steadfast log` end to end: the log of a real gateway is corrupted, rejected at startup, verified and repaired.

#![cfg(test)]

#[path = "gateway/process.rs"]
mod process;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::Process;

/// Publications of about 100 bytes; together they reach well beyond the byte that is corrupted.
const PUBLICATIONS: usize = 12;

/// More than a gateway needs to reserve a segment; each publication is a process of its own.
const PUBLICATIONS_MAX: usize = 1_000;

#[test]
fn an_intact_log_verifies_and_repair_changes_nothing() {
    let data = write_log();

    let verified = log(&["verify"], data.path());
    let json = log(&["verify", "--json"], data.path());
    let repaired = log(&["repair", "--json"], data.path());

    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    assert!(
        text(&verified).contains(" is intact\n"),
        "{}",
        text(&verified)
    );
    let found = parsed(&json);
    assert_eq!(found["is_intact"], true);
    assert_eq!(found["channels"], 1);
    assert_eq!(found["is_shutdown_clean"], true);
    assert_eq!(parsed(&repaired)["is_changed"], false);
}

#[test]
fn a_corrupt_log_is_rejected_by_the_gateway_reported_by_verify_and_fixed_by_repair() {
    let data = write_log();
    let segment = data.path().join("0000000000000001.segment");
    corrupt(&segment);
    let corrupted = std::fs::read(&segment).unwrap();

    let serve = serve(data.path()).output().unwrap();
    let verified = log(&["verify", "--json"], data.path());
    let as_text = log(&["verify"], data.path());
    let repaired = log(&["repair", "--json"], data.path());
    let after = log(&["verify"], data.path());

    assert_eq!(serve.status.code(), Some(4));
    assert!(
        errors(&serve).contains("the log is corrupt: segment 1 at byte "),
        "{}",
        errors(&serve)
    );
    assert!(
        errors(&serve).contains("steadfast log repair"),
        "{}",
        errors(&serve)
    );
    assert_eq!(verified.status.code(), Some(4));
    assert_eq!(parsed(&verified)["corruptions"][0]["segment"], 1);
    assert_eq!(parsed(&verified)["torn_write"], Value::Null);
    let as_text = text(&as_text);
    assert!(
        as_text.contains("corrupt    segment 1 at byte "),
        "{as_text}"
    );
    assert!(!as_text.contains("next start"), "{as_text}");
    assert_eq!(repaired.status.code(), Some(0), "{}", errors(&repaired));
    let report = parsed(&repaired);
    assert!(
        report["publications_kept"].as_u64().unwrap() >= 1,
        "{report}"
    );
    let original =
        Path::new(report["originals_directory"].as_str().unwrap()).join("0000000000000001.segment");
    assert_eq!(std::fs::read(original).unwrap(), corrupted);
    assert_eq!(after.status.code(), Some(0), "{}", text(&after));
    stop(start(data.path()));
}

#[test]
fn a_directory_in_use_can_be_verified_and_not_repaired_and_one_without_a_log_has_a_reason() {
    let data = tempfile::tempdir().unwrap();
    let gateway = start(data.path());

    let verified = log(&["verify"], data.path());
    let in_use = log(&["repair"], data.path());
    let empty = tempfile::tempdir().unwrap();
    let without_log = log(&["verify"], empty.path());
    let absent = log(&["repair"], &data.path().join("absent"));
    let target = empty.path().join("copy").display().to_string();
    let writers = [
        log(&["repair"], empty.path()),
        log_with(&["backup"], empty.path(), &[&target]),
        log_with(&["forget"], empty.path(), &["news"]),
    ];

    assert_eq!(verified.status.code(), Some(0), "{}", errors(&verified));
    assert_eq!(without_log.status.code(), Some(4));
    for output in writers.iter().chain([&without_log]) {
        assert_eq!(output.status.code(), Some(4), "{}", errors(output));
        assert!(errors(output).contains("there is no log in "));
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
    assert_eq!(in_use.status.code(), Some(4));
    let holder = format!("is in use by process {}", gateway.child.id());
    assert!(errors(&in_use).contains(&holder), "{}", errors(&in_use));
    assert!(
        !errors(&in_use).contains("this gateway"),
        "{}",
        errors(&in_use)
    );
    assert_eq!(absent.status.code(), Some(4));
    assert!(
        errors(&absent).contains("absent not found"),
        "{}",
        errors(&absent)
    );
    stop(gateway);
}

#[test]
fn a_log_below_the_directory_is_suggested() {
    for below in ["log", "demo/log"] {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(below);
        stop(start(&path));

        let output = log(&["verify"], parent.path());

        let expected = format!("There is one in {}: use this path.", path.display());
        assert_eq!(output.status.code(), Some(4));
        assert!(errors(&output).contains(&expected), "{}", errors(&output));
    }
}

#[test]
fn a_directory_of_format_1_is_refused_with_both_versions_and_what_to_do_and_is_not_changed() {
    let data = tempfile::tempdir().unwrap();
    // The segment that a new log began with, and the one that it reserved.
    let mut first = include_bytes!("fixtures/format-1.segment").to_vec();
    first.resize(64 << 10, 0);
    let segments = [
        ("0000000000000001.segment", first),
        ("0000000000000002.segment", vec![0; 64 << 10]),
    ];
    for (name, bytes) in &segments {
        std::fs::write(data.path().join(name), bytes).unwrap();
    }

    let refused = [
        serve(data.path()).output().unwrap(),
        log(&["verify"], data.path()),
        log(&["repair"], data.path()),
    ];

    let directory = data.path().display();
    let expected = format!(
        "the data directory {directory} has format version 1; this version of Steadfast reads format version 3"
    );
    let action = format!("mv {directory} {directory}.format-1");
    for output in refused {
        assert_eq!(output.status.code(), Some(4));
        assert!(errors(&output).contains(&expected), "{}", errors(&output));
        assert!(errors(&output).contains(&action), "{}", errors(&output));
    }
    for (name, bytes) in &segments {
        assert_eq!(
            std::fs::read(data.path().join(name)).unwrap(),
            *bytes,
            "{name}"
        );
    }
}

#[test]
fn a_segment_of_another_directory_is_refused_by_its_name_and_never_merged() {
    let (data, other) = (write_log(), write_log());
    let second = "0000000000000002.segment";
    let foreign = std::fs::read(other.path().join(second)).unwrap();
    std::fs::write(data.path().join(second), &foreign).unwrap();

    let refused = [
        serve(data.path()).output().unwrap(),
        log(&["verify"], data.path()),
        log(&["repair"], data.path()),
    ];

    for output in refused {
        assert_eq!(output.status.code(), Some(4));
        let errors = errors(&output);
        assert!(
            errors.contains("segment 2 at byte 0: the segment belongs to data directory "),
            "{errors}"
        );
        let file = data.path().join(second).display().to_string();
        assert!(
            errors.contains(&format!("Move the file {file} out")),
            "{errors}"
        );
    }
    assert_eq!(std::fs::read(data.path().join(second)).unwrap(), foreign);
}

/// A data directory with some publications and a reserved second segment, from a gateway that was shut down cleanly.
fn write_log() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let gateway = start(data.path());
    let reserved = data.path().join("0000000000000002.segment");
    for number in 0..PUBLICATIONS_MAX {
        // The gateway reserves the segment next to its other work, so the number of publications until then varies.
        if number >= PUBLICATIONS && reserved.exists() {
            break;
        }
        let payload = format!("\"{number} {}\"", "x".repeat(80));
        let output = steadfast()
            .args([
                "connect",
                &format!("ws://{}", gateway.address),
                "--publish",
                "news",
                &payload,
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    }
    assert!(reserved.exists(), "no segment is reserved");
    stop(gateway);
    data
}

/// Overwrites a byte of the first publication.
fn corrupt(segment: &PathBuf) {
    let bytes = std::fs::read(segment).unwrap();
    let at = bytes
        .windows(8)
        .position(|window| window == b"\"0 xxxxx")
        .unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap();
    file.write_all_at(b"?", u64::try_from(at).unwrap()).unwrap();
}

fn start(data: &Path) -> Process {
    Process::start(serve(data).stderr(Stdio::null()), String::new)
}

fn stop(mut gateway: Process) {
    kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0));
}

fn serve(data: &Path) -> Command {
    let mut command = steadfast();
    command
        .args(["serve", "--port", "0", "--shards", "1", "--json", "--data"])
        .arg(data);
    command
}

fn log(arguments: &[&str], data: &Path) -> Output {
    log_with(arguments, data, &[])
}

fn log_with(arguments: &[&str], data: &Path, more: &[&str]) -> Output {
    steadfast()
        .arg("log")
        .args(arguments)
        .arg(data)
        .args(more)
        .output()
        .unwrap()
}

fn steadfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
