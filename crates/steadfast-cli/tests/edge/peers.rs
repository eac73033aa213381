//! What the binary does when peers open connections faster than it can serve them, and what its log says about that.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use rustix::process::Signal;
use steadfast_clock::Clock;

use crate::gateway::{Client, Gateway, UPGRADE, command, read_to_end};

/// Refused requests, and connections that are closed.
const FLOOD: u64 = 2_000;
/// With 100 open files a shard has 36 sockets: 34 for clients, of which 32 get a session.
const FILES_MAX: u32 = 100;
const SOCKETS_OF_CLIENTS: usize = 34;
const SESSIONS: usize = 32;

#[test]
fn refused_pages_and_closed_connections_are_logged_once_a_second_with_their_number() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = Gateway::start_with_default_log(log.reopen().unwrap());
    let clock = Clock::start();
    let foreign = UPGRADE.replace(
        "Upgrade: websocket",
        "Origin: http://evil.example\r\nUpgrade: websocket",
    );
    for _ in 0..FLOOD {
        let mut refused = TcpStream::connect(gateway.address()).unwrap();
        refused.write_all(foreign.as_bytes()).unwrap();
        assert!(read_to_end(&mut refused).starts_with("HTTP/1.1 403 "));
        drop(gateway.client());
    }

    gateway.client().publish();

    let seconds = (clock.now() - steadfast_machine::Instant::START).as_secs();
    let text = log_after_exit(gateway, log.path());
    let refused: Vec<&str> = lines(&text, "web page rejected");
    assert_eq!(
        refused.iter().map(|line| count(line)).sum::<u64>(),
        FLOOD,
        "{text}"
    );
    assert!(
        u64::try_from(refused.len()).unwrap() <= seconds + 2,
        "{text}"
    );
    let closed: Vec<&str> = lines(&text, " closed");
    // One more for the client at the end. Each of the kinds may have ten lines at once.
    assert_eq!(
        closed.iter().map(|line| count(line)).sum::<u64>(),
        FLOOD + 1,
        "{text}"
    );
    assert!(
        u64::try_from(closed.len()).unwrap() <= 4 * (seconds + 11),
        "{text}"
    );
}

#[test]
fn a_single_connection_has_a_line_of_its_own() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = Gateway::start_with_default_log(log.reopen().unwrap());
    for _ in 0..3 {
        drop(gateway.client());
    }

    let text = log_after_exit(gateway, log.path());

    let closed = lines(&text, "connection closed");
    assert_eq!(closed.len(), 3, "{text}");
    assert!(closed.iter().all(|line| !line.contains("count=")), "{text}");
}

#[test]
fn probes_are_served_while_clients_and_idle_connections_have_all_sockets() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = with_few_files(log.reopen().unwrap());
    let sessions: Vec<Client> = (0..SESSIONS).map(|_| gateway.client()).collect();
    let rejected: Vec<Client> = (SESSIONS..SOCKETS_OF_CLIENTS)
        .map(|_| gateway.upgraded())
        .collect();
    let _idle: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(gateway.address()).unwrap())
        .collect();

    for path in ["/livez", "/health", "/readyz"] {
        let response = request(&gateway, path);
        let status = if path == "/readyz" { 503 } else { 200 };
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {response}"
        );
    }
    let mut refused = TcpStream::connect(gateway.address()).unwrap();
    refused.write_all(UPGRADE.as_bytes()).unwrap();
    let refused = read_to_end(&mut refused);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    for mut client in sessions {
        client.publish();
    }
    drop(rejected);
    let text = log_after_exit(gateway, log.path());
    let limits = lines(&text, "limit reached");
    assert!(!limits.is_empty(), "{text}");
    assert!(
        limits.iter().all(|line| line.contains("setting=")),
        "{text}"
    );
}

#[test]
fn a_limit_that_the_open_files_lowered_is_reported_as_such() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = with_few_files(log.reopen().unwrap());
    let sessions: Vec<Client> = (0..SESSIONS).map(|_| gateway.client()).collect();

    let mut rejected = gateway.upgraded();
    rejected.send(b"{\"id\":1,\"connect\":{}}");
    rejected.until("\"code\":111");
    drop((sessions, rejected));

    let text = log_after_exit(gateway, log.path());
    let line = lines(&text, "requests rejected: limit reached");
    assert_eq!(line.len(), 1, "{text}");
    assert!(line[0].contains("the limit of open files (100;"), "{text}");
}

#[test]
fn a_client_connects_while_one_address_opens_more_connections_than_may_be_unfinished() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[server]\nhandshakes_max = 50\nhandshake_timeout = \"1h\"\n";
    std::fs::write(directory.path().join("s.toml"), config).unwrap();
    let mut serve = command(directory.path());
    serve.args(["--config", "s.toml"]);
    let gateway = Gateway::spawn(serve, directory, std::process::Stdio::null());
    let mut idle: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.write_all(b"GET ").unwrap();
            stream
        })
        .collect();

    gateway.client().publish();
    assert!(request(&gateway, "/livez").starts_with("HTTP/1.1 200 "));

    // The oldest one was dropped for a newer one.
    assert!(matches!(idle[0].read(&mut [0]), Ok(0) | Err(_)));
}

/// Stops the gateway, which then has written all of its log.
fn log_after_exit(mut gateway: Gateway, log: &Path) -> String {
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    std::fs::read_to_string(log).unwrap()
}

fn with_few_files(log: File) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    // A client that does not connect keeps its socket during the test.
    let config = "[client]\nconnect_timeout = \"1m\"\n";
    std::fs::write(directory.path().join("s.toml"), config).unwrap();
    let mut serve = command(directory.path());
    serve.args(["--config", "s.toml"]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -n {FILES_MAX}; exec \"$0\" \"$@\"")])
        .arg(serve.get_program())
        .args(serve.get_args())
        .current_dir(directory.path())
        .stdin(std::process::Stdio::null())
        .env_remove("STEADFAST_LOG")
        .env("NO_COLOR", "1");
    Gateway::spawn(limited, directory, log)
}

fn request(gateway: &Gateway, path: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut stream)
}

fn lines<'a>(text: &'a str, part: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(part)).collect()
}

/// Returns how many events a line reports.
fn count(line: &str) -> u64 {
    let count = line.split_once("count=").map(|(_, rest)| rest);
    count.map_or(1, |rest| rest.split(' ').next().unwrap().parse().unwrap())
}
