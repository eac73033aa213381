//! The start and the end of a bridge, and what it says about mistakes.

use std::os::unix::fs::PermissionsExt as _;

use crate::lab::{KEY, Lab, Process, bridge, emulator, ended, program};

#[test]
fn a_signal_ends_the_bridge_and_removes_its_socket() {
    let mut lab = Lab::start();

    let code = lab.bridge.terminate();

    assert_eq!(code, Some(0));
    assert!(!lab.socket.exists());
}

#[test]
fn the_default_socket_is_in_a_folder_of_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = emulator();
    let key = folder.path().join("key");
    std::fs::write(&key, KEY).unwrap();

    let mut command = program();
    command
        .args([
            "bridge",
            emulator.banner["url"].as_str().unwrap(),
            "--user",
            "admin",
        ])
        .args(["--json", "--key-fd", "0"])
        .env("XDG_RUNTIME_DIR", folder.path())
        .stdin(std::fs::File::open(&key).unwrap())
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let directory = folder.path().join("steadfast");
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(
        line.contains(&*directory.join("bridge.sock").to_string_lossy()),
        "{line}"
    );
}

#[test]
fn a_second_bridge_on_the_same_socket_ends_with_the_code_of_a_port_in_use() {
    let lab = Lab::start();
    let key = lab.folder.path().join("key");

    let output = bridge(&lab.emulator, &key)
        .arg("--socket")
        .arg(&lab.socket)
        .output();

    let (code, _, stderr) = ended(&output.unwrap());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("another bridge or program uses the socket"),
        "{stderr}"
    );
    assert_eq!(ended(&lab.call("core.ping --raw")).1, "pong\n");
}

#[test]
fn a_bridge_that_was_killed_is_replaced_on_its_socket() {
    let mut lab = Lab::start();
    lab.bridge.child.kill().unwrap();
    lab.bridge.child.wait().unwrap();
    assert!(lab.socket.exists());
    let key = lab.folder.path().join("key");

    lab.bridge = Process::start(bridge(&lab.emulator, &key).arg("--socket").arg(&lab.socket));

    assert_eq!(ended(&lab.call("core.ping --raw")).1, "pong\n");
}

#[test]
fn a_key_of_the_environment_that_the_server_rejects_ends_the_bridge_and_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = emulator();
    let output = program()
        .args([
            "bridge",
            emulator.banner["url"].as_str().unwrap(),
            "--user",
            "admin",
        ])
        .arg("--socket")
        .arg(folder.path().join("nas.sock"))
        .env("STEADFAST_KEY", "1-secret-but-wrong")
        .env("STEADFAST_LOG", "trace")
        .output()
        .unwrap();

    let (code, stdout, stderr) = ended(&output);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("the user or the API key is wrong"),
        "{stderr}"
    );
    assert!(
        !stdout.contains("secret-but-wrong") && !stderr.contains("secret-but-wrong"),
        "{stderr}"
    );
}

#[test]
fn mistakes_are_reported_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["key", "short"] {
        std::fs::write(folder.path().join(name), KEY.get(..8).unwrap()).unwrap();
    }
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let url = "ws://127.0.0.1:9/api/current --user admin";
    for (arguments, expected) in [
        (
            "ws://127.0.0.1:9 --key-file key --socket s".to_owned(),
            "--user <NAME>",
        ),
        (format!("{url} --socket s"), "the login requires a key"),
        (
            format!("{url} --socket s --key-file empty"),
            "cannot read the key from empty: the secret is empty",
        ),
        (
            format!("{url} --socket s --key-file none"),
            "cannot read the key from none",
        ),
        (
            format!("{url} --key-file key"),
            "XDG_RUNTIME_DIR is not set",
        ),
        (
            format!("{url} --key-file key --socket key"),
            "key exists and is not a socket",
        ),
        (
            format!("{url} --key-file key --socket s --listen 127.0.0.1:0"),
            "--token-file <FILE>",
        ),
        (
            format!("{url} --key-file key --socket s --listen 127.0.0.1:0 --token-file short"),
            "a token has at least 16 characters",
        ),
        (
            format!("{url} --key-file key --socket s --in-flight 21"),
            "must be from 1 to 20",
        ),
        (
            format!("{url} --key-file key --socket s --logins-per-minute 0"),
            "must be from 1 to 1000",
        ),
        (
            "ftp://nas --user admin --key-file key --socket s".to_owned(),
            "ftp",
        ),
    ] {
        let output = program()
            .current_dir(folder.path())
            .arg("bridge")
            .args(arguments.split(' '))
            .output()
            .unwrap();

        let (code, _, stderr) = ended(&output);
        assert_eq!(code, Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(expected), "{arguments}: {stderr}");
    }
}
