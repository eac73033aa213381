//! Thousands of refused requests while the log does not accept its lines: clients are served, and each line that is
//! lost is counted.
//!
//! The benchmark measures the latency of clients under this load, at 10,000 requests a second.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;

use rustix::process::Signal;

use crate::gateway::{Gateway, UPGRADE, read_to_end};
use crate::namespace;
use crate::sinks::write_debug_lines;
use crate::wait::wait_until;

/// Refused requests: two seconds of the load of the benchmark.
const REFUSALS: usize = 20_000;
/// Threads that send them.
const THREADS: usize = 4;

#[test]
fn each_line_that_is_lost_during_refusals_is_reported_once_the_log_is_read() {
    let (log, stderr) = io::pipe().unwrap();
    let mut gateway = Gateway::start(stderr);

    let lost = refuse_and_serve(&gateway);

    let mut reported = 0;
    for line in BufReader::new(log).lines() {
        reported += lines_lost(&line.unwrap());
        if reported >= lost {
            break;
        }
    }
    // More lines may have been lost until the log was read.
    assert_eq!(reported, lines_lost(&gateway.ready()));
    terminate(&mut gateway);
}

#[test]
fn clients_are_served_during_refusals_although_the_log_is_closed() {
    let (log, stderr) = io::pipe().unwrap();
    drop(log);
    let mut gateway = Gateway::start(stderr);

    refuse_and_serve(&gateway);

    terminate(&mut gateway);
}

#[test]
fn each_line_that_is_lost_during_refusals_on_a_full_disk_is_reported_once_it_has_space() {
    let parent = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$1\" && cd \"$1\" && touch full-disk && \
                  exec \"$2\" --exact refusals::inside_a_full_disk --nocapture";
    let test = std::env::current_exe().unwrap();
    let output = match namespace::run(script, &[parent.path(), &test]) {
        Ok(output) => output,
        Err(reason) => return println!("SKIP: {reason}"),
    };
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("lost and reported="), "{text}");
}

/// The part of the test above that runs in a mount namespace; alone it does nothing.
#[test]
fn inside_a_full_disk() {
    if !Path::new("full-disk").exists() {
        return;
    }
    let mut filler = File::create("filler").unwrap();
    while filler.write(&[0; 4096]).is_ok() {}
    drop(filler);
    let stderr = OpenOptions::new()
        .create(true)
        .append(true)
        .open("log")
        .unwrap();
    let mut gateway = Gateway::start(stderr);

    let lost = refuse_and_serve(&gateway);
    assert_eq!(
        std::fs::read_to_string("log").unwrap(),
        "",
        "the disk is full"
    );
    // More space than the queue of the gateway needs.
    std::fs::remove_file("filler").unwrap();
    let mut reported = 0;
    wait_until("the lost lines are reported", || {
        let text = std::fs::read_to_string("log").unwrap();
        reported = text.lines().map(lines_lost).sum();
        reported >= lost
    });

    assert_eq!(reported, lines_lost(&gateway.ready()));
    println!("lost and reported={reported}");
    terminate(&mut gateway);
}

/// Sends refused requests from all threads while a client publishes and causes debug lines. Returns how many lines the
/// gateway has lost by its own account.
fn refuse_and_serve(gateway: &Gateway) -> u64 {
    let request = UPGRADE.replace(
        "Upgrade: websocket",
        "Origin: http://evil.example\r\nUpgrade: websocket",
    );
    let mut client = gateway.client();
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            scope.spawn(|| {
                for _ in 0..REFUSALS / THREADS {
                    let mut refused = TcpStream::connect(gateway.address()).unwrap();
                    refused.write_all(request.as_bytes()).unwrap();
                    let response = read_to_end(&mut refused);
                    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
                }
            })
        });
        write_debug_lines(&mut client);
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            client.publish();
        }
    });
    client.publish();
    let ready = gateway.ready();
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let lost = lines_lost(&ready);
    assert!(lost > 0, "{ready}");
    lost
}

/// The number in the first report of lost lines in a text; 0 without one.
fn lines_lost(text: &str) -> u64 {
    let before = text
        .split_once(" log lines dropped")
        .map(|(before, _)| before);
    before.map_or(0, |before| {
        before
            .split_whitespace()
            .next_back()
            .unwrap()
            .parse()
            .unwrap()
    })
}

fn terminate(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
