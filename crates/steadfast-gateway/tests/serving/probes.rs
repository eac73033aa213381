//! Tests of the start page and the probes.

use steadfast_engine::{Engine, Health};
use steadfast_gateway::server;
use steadfast_log::Log;
use steadfast_log::io::{FailedOperation, Input, Output, SegmentNumber, StorageError};
use steadfast_machine::{Instant, Machine};

use crate::client::{Client, Received, exchange, head, publish};
use crate::{config, durable_config, serve};

#[test]
fn probes_and_start_page_respond_and_all_other_paths_are_not_found() {
    let gateway = serve(config());
    for (request, status, body) in [
        ("GET /health", "200 OK", "{}"),
        ("GET /livez", "200 OK", "alive\n"),
        ("GET /readyz", "200 OK", "ready\n"),
        ("HEAD /health", "200 OK", ""),
        ("GET /", "200 OK", "</html>\n"),
        (
            "GET /nowhere",
            "404 Not Found",
            "clients connect to /connection/websocket\n",
        ),
        (
            "POST /health",
            "405 Method Not Allowed",
            "unsupported method; use GET or HEAD\n",
        ),
        ("GET /connection/websocket", "426 Upgrade Required", "\n"),
    ] {
        let response = exchange(
            gateway.address(),
            &format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        );

        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request}: {response}"
        );
        assert!(response.ends_with(body), "{request}: {response}");
    }
}

#[test]
fn every_path_requires_one_host_and_no_page_may_be_framed() {
    let gateway = serve(config());
    for (path, status) in [("/", 200), ("/livez", 200), ("/nowhere", 404)] {
        let request = |hosts: &str| {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}\r\n");
            exchange(gateway.address(), &request)
        };

        let response = request("Host: localhost\r\n");
        let fields = response.to_ascii_lowercase();

        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{response}"
        );
        for field in [
            "x-frame-options: deny\r\n",
            "x-content-type-options: nosniff\r\n",
            "connection: close\r\n",
        ] {
            assert!(fields.contains(field), "{path} {field}: {response}");
        }
        let is_page = path == "/";
        assert_eq!(
            fields.contains("frame-ancestors 'none'"),
            is_page,
            "{response}"
        );
        for hosts in ["", "Host: a\r\nHost: a\r\n"] {
            let response = request(hosts);
            assert!(response.starts_with("HTTP/1.1 400 "), "{path}: {response}");
        }
    }
}

#[test]
fn a_full_gateway_is_not_ready_until_a_client_disconnects() {
    let mut config = config();
    config.server.connections_max = 1;
    let gateway = serve(config);
    let ready = || {
        exchange(
            gateway.address(),
            "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
    };
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("a");

    let full = ready();
    client.finish();
    assert_eq!(client.next(), Received::End);
    let free = ready();

    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    assert!(full.contains("full"), "{full}");
    assert!(free.starts_with("HTTP/1.1 200 "), "{free}");
}

#[test]
fn a_request_in_two_segments_gets_a_response() {
    use std::io::{Read as _, Write as _};
    let gateway = serve(config());
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    stream.set_nodelay(true).unwrap();

    stream.write_all(b"GET /hea").unwrap();
    stream
        .write_all(b"lth HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();

    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
}

#[test]
fn the_echo_endpoint_is_not_found_unless_it_is_configured() {
    let gateway = serve(config());
    let host = gateway.address().to_string();

    let response = exchange(gateway.address(), &head("/test/echo", &host, ""));

    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
}

#[test]
fn after_a_failed_log_write_publications_are_rejected_and_the_gateway_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let config = durable_config(directory.path());
    let gateway = server::start_with_log(config, BrokenDisk::around).unwrap();
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("a");

    client.send(&publish(3, "a", "{}"));

    let response = client.next_line();
    assert!(response.starts_with("{\"id\":3,\"error\":"), "{response}");
    let ready = exchange(
        gateway.address(),
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(
        ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{ready}"
    );
    assert!(ready.contains("log write failed"), "{ready}");
    let alive = exchange(
        gateway.address(),
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(alive.starts_with("HTTP/1.1 200 OK\r\n"), "{alive}");
}

#[test]
fn while_publications_are_accepted_the_gateway_is_ready_although_no_next_segment_can_be_reserved() {
    let directory = tempfile::tempdir().unwrap();
    let config = durable_config(directory.path());
    let gateway = server::start_with_log(config, NoSpaceForNextSegment::around).unwrap();
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("a");

    client.send(&publish(3, "a", "{}"));

    let response = client.next_line();
    assert!(!response.contains("error"), "{response}");
    let ready = exchange(
        gateway.address(),
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
}

#[test]
fn after_a_panic_of_the_engine_the_gateway_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let config = durable_config(directory.path());
    let gateway = server::start_with_log(config, |log| Panicking { log }).unwrap();
    let mut client = Client::connect(gateway.address());

    // The request to read the channel panics; the response to it never arrives.
    client.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");

    let ready = || {
        exchange(
            gateway.address(),
            "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
    };
    let mut response = ready();
    while response.starts_with("HTTP/1.1 200 ") {
        response = ready();
    }
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(
        response.contains("the thread of the store panicked"),
        "{response}"
    );
}

/// A log that panics at the first request.
struct Panicking {
    log: Log,
}

impl Machine for Panicking {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        assert!(
            !matches!(input, Input::Requested { .. }),
            "the test requested a panic"
        );
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.log.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.log.poll_timeout()
    }
}

impl Engine for Panicking {
    fn health(&self) -> Health {
        self.log.health()
    }
}

/// A log whose storage has no space for a second segment.
struct NoSpaceForNextSegment {
    log: Log,
    now: Instant,
}

impl NoSpaceForNextSegment {
    fn around(log: Log) -> Self {
        let now = Instant::START;
        Self { log, now }
    }
}

impl Machine for NoSpaceForNextSegment {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        loop {
            let output = self.log.poll_output()?;
            let Output::Reserve { segment, .. } = output else {
                return Some(output);
            };
            if segment == SegmentNumber(1) {
                return Some(output);
            }
            let (operation, error) = (FailedOperation::Reserve(segment), StorageError::NoSpace);
            self.log
                .handle(self.now, Input::Failed { operation, error });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.log.poll_timeout()
    }
}

impl Engine for NoSpaceForNextSegment {
    fn health(&self) -> Health {
        self.log.health()
    }
}

/// A log whose storage fails every write once the log is open.
struct BrokenDisk {
    log: Log,
    now: Instant,
    is_open: bool,
}

impl BrokenDisk {
    fn around(log: Log) -> Self {
        Self {
            log,
            now: Instant::START,
            is_open: false,
        }
    }
}

impl Machine for BrokenDisk {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        loop {
            let output = self.log.poll_output()?;
            self.is_open |= matches!(output, Output::Opened(_));
            if !(self.is_open && matches!(output, Output::Write { .. })) {
                return Some(output);
            }
            let (operation, error) = (FailedOperation::Write, StorageError::Io);
            self.log
                .handle(self.now, Input::Failed { operation, error });
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.log.poll_timeout()
    }
}

impl Engine for BrokenDisk {
    fn health(&self) -> Health {
        self.log.health()
    }
}
