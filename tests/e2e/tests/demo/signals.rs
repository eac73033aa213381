//! Ctrl-C in the terminal in which the demo runs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus};

use anyhow::Result;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Signal, kill_process, test_kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use steadfast_e2e::binaries;

use crate::process::{Demo, command, directory, painters, until};

/// The character that a terminal turns into SIGINT for its foreground process group.
const CTRL_C: &[u8] = b"\x03";

#[test]
fn ctrl_c_shuts_the_gateway_down_cleanly() {
    let (mut terminal, mut demo) = in_terminal().unwrap();
    demo.until("all painters paint", |live| {
        painters(live, "acked").iter().all(|it| *it > 0)
    })
    .unwrap();

    terminal.write_all(CTRL_C).unwrap();

    assert_eq!(exit(&mut demo).unwrap().code(), Some(0));
    let verify = Command::new(binaries::gateway().unwrap())
        .args(["log", "verify", "--json"])
        .arg(demo.directory.join("log"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_eq!(report["is_shutdown_clean"], true, "{report}");
}

#[test]
fn a_second_ctrl_c_ends_the_demo_and_a_gateway_that_does_not_stop() {
    let (mut terminal, mut demo) = in_terminal().unwrap();
    let gateway = demo.gateway().unwrap();
    kill_process(gateway, Signal::STOP).unwrap();
    let mut output = terminal.try_clone().unwrap();

    terminal.write_all(CTRL_C).unwrap();
    let mut said = String::new();
    while !said.contains("shutting down") {
        let mut bytes = [0; 1024];
        let read = output.read(&mut bytes).unwrap();
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    let status = until("the demo has exited", || {
        // One shortly after the first is the same request.
        terminal.write_all(CTRL_C)?;
        Ok(demo.child.try_wait()?)
    });

    // Without the second signal, the demo would kill the gateway after some seconds and exit with 0.
    assert_eq!(status.unwrap().code(), Some(1));
    until("the gateway has exited", || {
        Ok(test_kill_process(gateway).is_err().then_some(()))
    })
    .unwrap();
}

/// Starts a demo as the foreground process of a terminal of its own; returns the other end of the terminal.
fn in_terminal() -> Result<(File, Demo)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?;
    let terminal =
        || -> Result<OwnedFd> { Ok(open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?) };
    let directory = directory()?;
    let demo = command(&directory, "0")?;
    // A session whose controlling terminal is standard input.
    let child = Command::new("setsid")
        .arg("--ctty")
        .arg(demo.get_program())
        .args(demo.get_args())
        .stdin(terminal()?)
        .stdout(terminal()?)
        .stderr(terminal()?)
        .spawn()?;
    Ok((File::from(master), Demo::of(child, directory)?))
}

/// Waits for the exit of the demo.
fn exit(demo: &mut Demo) -> Result<ExitStatus> {
    until("the demo has exited", || Ok(demo.child.try_wait()?))
}
