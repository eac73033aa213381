//! Ordinary HTTP.

use steadfast_gateway::server;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{FailedOperation, Input, Output, StorageError, Timer};
use steadfast_machine::{Instant, Machine};

use crate::client::{Client, Got, exchange, head, publish};
use crate::{config, serve};

#[test]
fn probes_and_start_page_answer_and_all_else_is_not_found() {
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
            "only GET and HEAD are answered here\n",
        ),
        ("GET /connection/websocket", "426 Upgrade Required", "\n"),
    ] {
        let answer = exchange(
            gateway.address(),
            &format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        );

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request}: {answer}"
        );
        assert!(answer.ends_with(body), "{request}: {answer}");
    }
}

#[test]
fn a_full_gateway_is_not_ready_until_a_client_goes() {
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
    client.enter("a");

    let full = ready();
    client.finish();
    assert_eq!(client.next(), Got::End);
    let free = ready();

    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    assert!(full.contains("full"), "{full}");
    assert!(free.starts_with("HTTP/1.1 200 "), "{free}");
}

#[test]
fn a_request_in_two_segments_is_answered() {
    use std::io::{Read as _, Write as _};
    let gateway = serve(config());
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    stream.set_nodelay(true).unwrap();

    stream.write_all(b"GET /hea").unwrap();
    stream
        .write_all(b"lth HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();

    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn the_echo_is_absent_unless_it_is_configured() {
    let gateway = serve(config());
    let host = gateway.address().to_string();

    let answer = exchange(gateway.address(), &head("/test/echo", &host, ""));

    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn a_failed_write_of_the_log_refuses_publishes_and_takes_readiness_away() {
    let gateway = server::start_with_log(config(), BrokenDisk::around).unwrap();
    let mut client = Client::connect(gateway.address());
    client.enter("a");

    client.send(&publish(3, "a", "{}"));

    let answer = client.next_line();
    assert!(answer.starts_with("{\"id\":3,\"error\":"), "{answer}");
    let ready = exchange(
        gateway.address(),
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(
        ready.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{ready}"
    );
    assert!(ready.contains("a write of the log failed"), "{ready}");
    let alive = exchange(
        gateway.address(),
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(alive.starts_with("HTTP/1.1 200 OK\r\n"), "{alive}");
}

/// A log whose disk fails every write once it is open.
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
    type Timer = Timer;

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
            let (order, fault) = (FailedOperation::Write, StorageError::Io);
            self.log.handle(
                self.now,
                Input::Failed {
                    operation: order,
                    error: fault,
                },
            );
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.log.poll_timeout()
    }
}
