//! The program under the names of Toxiproxy's programs, as suites start them.

use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Printed, Server, named};

#[test]
fn toxiproxy_server_and_toxiproxy_cli_are_this_program() {
    let directory = tempfile::tempdir().unwrap();
    let program = |name: &str| {
        let path = directory.path().join(name);
        symlink(env!("CARGO_BIN_EXE_steadfast"), &path).unwrap();
        path
    };
    let (server_path, cli_path) = (program("toxiproxy-server"), program("toxiproxy-cli"));
    let printed =
        |path, arguments: &[&str]| Printed::of(named(path).args(arguments).output().unwrap());

    let version = printed(&server_path, &["-version"]);
    let mut command = named(&server_path);
    command.args([
        "-port",
        "0",
        "-host=127.0.0.1",
        "-seed",
        "7",
        "-proxy-metrics",
        "--json",
    ]);
    let mut server = Server::spawn(command);
    let url = server.url();
    let created = printed(
        &cli_path,
        &[
            "-h",
            &url,
            "create",
            "-l",
            "127.0.0.1:0",
            "-u",
            "127.0.0.1:1",
            "a",
        ],
    );
    let invalid = printed(&cli_path, &["create", "a"]);
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    let status = server.child.wait().unwrap();

    assert_eq!(version.stdout, "toxiproxy-server version 2.12.0\n");
    assert_eq!(server.banner["seed"], 7);
    assert_eq!(created.stdout, "Created new proxy a\n", "{created:?}");
    assert_eq!(
        invalid.code,
        Some(1),
        "every failure has this code: {invalid:?}"
    );
    assert_eq!(status.code(), Some(0));
}
