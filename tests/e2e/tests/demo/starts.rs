//! The start of a demo: its directory, its port, its output, and a gateway that cannot be started.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Output, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Demo, command, directory, painters};

#[test]
fn a_second_demo_in_a_directory_is_refused_and_leaves_the_first_one_as_it_is() {
    let first = Demo::start().unwrap();
    let files =
        || ["demo.lock", "gateway.toml"].map(|name| fs::read(first.directory.join(name)).unwrap());
    let before = files();

    let second = command(&first.directory, "0").unwrap().output().unwrap();

    let said = stderr(&second);
    assert_eq!(second.status.code(), Some(4), "{said}");
    let holder = format!("(process {}, http://{})", first.child.id(), first.address);
    for text in ["a demo already runs in", &holder, "--data DIR"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(second.stdout.is_empty(), "it announced itself");
    assert_eq!(files(), before);
    let response = first.request("POST", "/demo/kill", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 202"), "{response}");
    first.gateway().unwrap();
}

#[test]
fn a_demo_whose_gateway_cannot_be_started_exits_with_the_error_of_the_gateway() {
    let directory = directory().unwrap();
    fs::write(directory.join("log"), "not a directory").unwrap();

    let demo = command(&directory, "0").unwrap().output().unwrap();

    let said = stderr(&demo);
    assert_eq!(demo.status.code(), Some(1), "{said}");
    let (_, reason) = said.split_once("failed to start 3 times in a row").unwrap();
    assert!(reason.contains("  error: "), "{said}");
    assert!(reason.contains("not a directory"), "{said}");
    assert_eq!(said.matches("it is started again").count(), 2, "{said}");
    assert!(demo.stdout.is_empty(), "it announced itself");
}

#[test]
fn a_demo_without_kills_does_not_name_the_button() {
    let directory = directory().unwrap();
    let mut command = command(&directory, "0").unwrap();
    let child = command.arg("--no-kill").stdout(Stdio::piped()).spawn();
    let mut demo = Demo::of(child.unwrap(), directory).unwrap();

    let stdout = BufReader::new(demo.child.stdout.take().unwrap());
    let banner: Vec<String> = stdout
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.starts_with("Stop with"))
        .collect();
    assert!(banner[0].starts_with("Demo running at"), "{banner:?}");
    assert!(!banner.iter().any(|it| it.contains("Kill")), "{banner:?}");
    let config = demo.get("/demo/config").unwrap();
    assert_eq!(config["is_kill_allowed"], false, "{config}");
    assert_eq!(config["port"], demo.address.port(), "{config}");
    let response = demo.request("POST", "/demo/kill", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 403"), "{response}");
}

#[test]
fn a_used_port_is_reported_with_one_that_is_free() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let used = other.local_addr().unwrap().port();

    let demo = command(&directory().unwrap(), &used.to_string())
        .unwrap()
        .output()
        .unwrap();

    let said = stderr(&demo);
    assert_eq!(demo.status.code(), Some(3), "{said}");
    let (_, suggested) = said.split_once("PORT=").unwrap();
    let (port, rest) = suggested.split_once(' ').unwrap();
    assert!(
        rest.starts_with(&format!("make run, or steadfast demo --port {port}")),
        "{said}"
    );
    let port: u16 = port.parse().unwrap();
    assert_ne!(port, used);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn a_demo_whose_output_is_not_read_serves_and_exits_on_sigterm() {
    let full_pipe = || {
        let (unread, mut pipe) = io::pipe().unwrap();
        let flags = fcntl_getfl(&pipe).unwrap();
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).unwrap();
        while pipe.write(&[b'\n'; 4096]).is_ok() {}
        fcntl_setfl(&pipe, flags).unwrap();
        (unread, pipe)
    };
    let ((_unread, stdout), (_unread_messages, stderr)) = (full_pipe(), full_pipe());
    let mut demo = Demo::start_with(stdout.into(), stderr.into()).unwrap();

    demo.until("all painters paint", |live| {
        painters(live, "acked").iter().all(|it| *it > 0)
    })
    .unwrap();
    kill_process(Pid::from_child(&demo.child), Signal::TERM).unwrap();

    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
