//! Tests of the log on real files and in real processes: kills, a second process, a full disk, no permission.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The unprivileged user id of every common system.
const UNPRIVILEGED_ID: u32 = 65_534;

#[test]
fn thirty_kills_lose_no_acknowledged_record_and_store_none_twice() {
    let output = trial(&["kill", "--cycles", "30", "--seed", "1"])
        .output()
        .unwrap();

    let output_text = output_text(&output);
    println!("{output_text}");
    assert!(output.status.success(), "{output_text}");
    assert!(
        output_text.contains("cycles=30 ") && output_text.contains(" lost=0 reordered=0 twice=0 "),
        "{output_text}"
    );
}

#[test]
fn a_second_process_is_rejected_with_the_id_of_the_process_that_holds_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut first = trial(&["read", path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("opened "));

    let second = trial(&["read", path]).output().unwrap();

    let expected = format!(
        "failed the data directory {path} is in use by process {}: Stop process",
        first.id()
    );
    assert!(!second.status.success());
    assert!(
        output_text(&second).starts_with(&expected),
        "{}",
        output_text(&second)
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let third = trial(&["read", path])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        third.status.success(),
        "a kill releases the directory: {}",
        output_text(&third)
    );
}

#[test]
fn a_full_disk_rejects_publications_serves_reads_and_recovers_when_there_is_space() {
    let parent = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=12m none \"$1\" && mkdir \"$1/data\" && exec \"$0\" full \"$1/data\"";
    let output = match in_mount_namespace(script, parent.path()) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };

    assert!(output.status.success(), "{}", output_text(&output));
    assert!(
        output_text(&output).starts_with("full stored="),
        "{}",
        output_text(&output)
    );
}

#[test]
fn a_start_without_free_space_fails_with_help() {
    let parent = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" && mkdir \"$1/data\" && exec timeout 60 \"$0\" read \"$1/data\"";
    let output = match in_mount_namespace(script, parent.path()) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };

    let output_text = output_text(&output);
    assert!(!output.status.success());
    assert!(
        output_text
            .contains("the log cannot be opened: segment 1 at byte 0: no space left to open it"),
        "{output_text}"
    );
    assert!(
        output_text.contains("Free some space on the file system of "),
        "{output_text}"
    );
}

#[test]
fn a_read_only_file_system_is_rejected_with_help() {
    let parent = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1\" && mkdir \"$1/data\" && mount -o remount,ro \"$1\" \
                  && exec \"$0\" read \"$1/data\"";
    let output = match in_mount_namespace(script, parent.path()) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };

    assert!(!output.status.success());
    assert!(
        output_text(&output).contains("is on a read-only file system: Mount the file system"),
        "{}",
        output_text(&output)
    );
}

#[test]
fn a_directory_of_another_user_is_rejected_with_help() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(
        parent.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let program = parent.path().join("log-trial");
    std::fs::copy(program_path(), &program).unwrap();
    let directory = parent.path().join("data");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(
        &directory,
        std::os::unix::fs::PermissionsExt::from_mode(0o500),
    )
    .unwrap();

    let mut command = Command::new(&program);
    command.arg("read").arg(&directory).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        // Permissions do not restrict root, so the trial runs as another user.
        command.uid(UNPRIVILEGED_ID).gid(UNPRIVILEGED_ID);
    }
    let output = command.output().unwrap();

    assert!(!output.status.success());
    assert!(
        output_text(&output).contains("no permission to use the data directory"),
        "{}",
        output_text(&output)
    );
    assert!(
        output_text(&output).contains("chown"),
        "{}",
        output_text(&output)
    );
}

/// Runs a shell script in its own mount namespace; `$0` is the trial, `$1` the directory. Fails with the reason if this
/// system does not allow that.
fn in_mount_namespace(script: &str, directory: &Path) -> Result<Output, String> {
    let flags = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args([flags, "sh", "-c"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    };
    let allowed = unshare(&["mount -t tmpfs none /mnt"]).output();
    let allowed = allowed.map_err(|error| format!("unshare cannot be run: {error}"))?;
    if !allowed.status.success() {
        return Err(format!(
            "mount namespaces are not available: {}",
            String::from_utf8_lossy(&allowed.stderr)
        ));
    }
    let output = unshare(&[script])
        .arg(program_path())
        .arg(directory)
        .output();
    output.map_err(|error| format!("unshare cannot be run: {error}"))
}

fn trial(arguments: &[&str]) -> Command {
    let mut command = Command::new(program_path());
    command.args(arguments).stderr(Stdio::inherit());
    command
}

/// Returns the path of the example, which Cargo builds before it runs tests.
fn program_path() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test
        .parent()
        .and_then(Path::parent)
        .expect("tests are two levels deep");
    let program = target.join("examples/log-trial");
    assert!(
        program.exists(),
        "build it first: cargo build --package steadfast-gateway --examples"
    );
    program
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
