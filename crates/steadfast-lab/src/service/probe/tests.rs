//! Every kind of probe against servers that reply as expected, otherwise, or not at all.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;

/// Longer than any reply takes on a busy machine; attempts that must succeed do not wait for it.
const LONG: Duration = Duration::from_mins(1);
/// For attempts that must time out.
const SHORT: Duration = Duration::from_millis(50);

fn negative(reason: &str) -> Result<(), Unsuccessful> {
    Err(Unsuccessful::Negative(reason.to_owned()))
}

fn silent(reason: &str) -> Result<(), Unsuccessful> {
    Err(Unsuccessful::Silent(reason.to_owned()))
}

/// One attempt; the output of the instance is empty.
fn attempt(kind: Kind, timeout: Duration) -> Result<(), Unsuccessful> {
    let (output, folder) = output();
    let probe = Probe {
        kind,
        every: SHORT,
        timeout,
    };
    let result = probe.attempt(Clock::start(), &output);
    drop(std::fs::remove_dir_all(folder));
    result
}

/// The output of an instance in a directory of its own.
fn output() -> (Output, PathBuf) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("lab-probe-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    (Output::create(&folder, Clock::start()).unwrap(), folder)
}

/// The address of a server that accepts one connection, reads the first bytes, writes these parts, and closes.
fn server(parts: &[&[u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let parts: Vec<Vec<u8>> = parts.iter().map(|it| it.to_vec()).collect();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = [0; 1_024];
        let length = socket.read(&mut request).unwrap();
        assert!(length > 0, "the probe has asked nothing");
        for part in parts {
            // The probe may have closed already, as its reply was complete.
            drop(socket.write_all(&part));
        }
        // What the peer wrote later must be read, or closing resets the connection.
        drop(socket.shutdown(std::net::Shutdown::Write));
        drop(socket.read_to_end(&mut Vec::new()));
    });
    address
}

/// A port on which nothing listens.
fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A server that accepts connections and never replies; it lasts as long as the listener.
fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn tcp(address: SocketAddr, exchange: Option<(&str, &str)>) -> Kind {
    let exchange = exchange.map(|(send, expect)| (send.to_owned(), expect.to_owned()));
    Kind::Tcp { address, exchange }
}

fn http(address: SocketAddr, body: Option<&str>) -> Kind {
    Kind::Http {
        address,
        path: "/ready".to_owned(),
        body: body.map(str::to_owned),
    }
}

fn grpc(address: SocketAddr) -> Kind {
    let service = String::new();
    Kind::Grpc { address, service }
}

fn exec(words: &[&str]) -> Kind {
    Kind::Exec(words.iter().map(|it| (*it).to_owned()).collect())
}

#[test]
fn a_tcp_probe_succeeds_when_the_port_accepts() {
    let (_listener, address) = mute();

    assert_eq!(attempt(tcp(address, None), LONG), Ok(()));
    assert_eq!(
        attempt(tcp(closed(), None), LONG),
        silent("Connection refused (os error 111)")
    );
}

#[test]
fn a_tcp_probe_with_a_request_succeeds_only_with_the_expected_reply() {
    let exchange = Some(("PING\r\n", "+PONG"));
    let (_listener, mute) = mute();

    for (address, timeout, result) in [
        (server(&[b"+PO", b"NG\r\n"]), LONG, Ok(())),
        (
            server(&[b"-LOADING\r\n"]),
            LONG,
            negative("the reply does not contain it: -LOADING"),
        ),
        (server(&[]), LONG, silent("closed without a reply")),
        (mute, SHORT, silent("timed out")),
    ] {
        assert_eq!(attempt(tcp(address, exchange), timeout), result);
    }
}

#[test]
fn an_http_probe_succeeds_only_with_the_status_200() {
    let (_listener, mute) = mute();

    for (address, timeout, result) in [
        (server(&[b"HTTP/1.1 200 OK\r\n", b"\r\n"]), LONG, Ok(())),
        (
            server(&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n"]),
            LONG,
            negative("status 503"),
        ),
        (
            server(&[b"HTTP/1.1 204 No Content\r\n\r\n"]),
            LONG,
            negative("status 204"),
        ),
        (
            server(&[b"SSH-2.0-OpenSSH\r\n\r\n"]),
            LONG,
            negative("no HTTP: invalid HTTP version"),
        ),
        (server(&[]), LONG, silent("closed without a response")),
        (mute, SHORT, silent("timed out")),
    ] {
        assert_eq!(attempt(http(address, None), timeout), result);
    }
}

#[test]
fn an_http_probe_may_require_a_text_in_the_body() {
    let other = negative("the body does not contain it");
    for (parts, result) in [
        (
            &[&b"HTTP/1.1 200 OK\r\n\r\nrole: "[..], b"leader\n"][..],
            Ok(()),
        ),
        // The text may be divided between two chunks.
        (
            &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nrole: le\r\n4\r\nader\r\n0\r\n\r\n"],
            Ok(()),
        ),
        (
            &[b"HTTP/1.1 200 OK\r\n\r\nrole: follower\n"],
            other.clone(),
        ),
        // A header is not the body.
        (&[b"HTTP/1.1 200 OK\r\nrole: leader\r\n\r\n"], other),
        (
            &[b"HTTP/1.1 503 Service Unavailable\r\n\r\nrole: leader\n"],
            negative("status 503"),
        ),
    ] {
        let probe = http(server(parts), Some("role: leader"));

        assert_eq!(attempt(probe, LONG), result);
    }
}

#[test]
fn a_grpc_probe_succeeds_only_with_the_status_serving() {
    /// An empty SETTINGS frame, to which the probe replies.
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// HEADERS that end the stream.
    const END: &[u8] = &[0, 0, 0, 1, 1, 0, 0, 0, 1];
    let status = |status| [0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 8, status];
    let (_listener, mute) = mute();

    for (address, timeout, result) in [
        (server(&[SETTINGS, &status(1), END]), LONG, Ok(())),
        (
            server(&[SETTINGS, &status(2), END]),
            LONG,
            negative("the status is NOT_SERVING, not SERVING"),
        ),
        (
            server(&[SETTINGS, END]),
            LONG,
            negative("no health status: is the name of the service correct?"),
        ),
        // GOAWAY.
        (
            server(&[&[0, 0, 0, 7, 0, 0, 0, 0, 0]]),
            LONG,
            negative("the request was refused"),
        ),
        (
            server(&[b"HTTP/1.1 400 Bad Request\r\n"]),
            LONG,
            negative("no HTTP/2"),
        ),
        (
            server(&[SETTINGS, &status(1)]),
            LONG,
            silent("closed without a response"),
        ),
        (mute, SHORT, silent("timed out")),
    ] {
        assert_eq!(attempt(grpc(address), timeout), result);
    }
}

#[test]
fn a_program_succeeds_only_with_the_code_0() {
    for (words, timeout, result) in [
        (&["true"][..], LONG, Ok(())),
        (&["false"], LONG, negative("it exited with status 1")),
        (
            &["/nonexistent/program"],
            LONG,
            silent("/nonexistent/program: No such file or directory (os error 2)"),
        ),
        (&["sleep", "600"], SHORT, silent("timed out")),
    ] {
        assert_eq!(attempt(exec(words), timeout), result, "{words:?}");
    }
}

/// The child keeps the pipe open, so that its end shows that the child has ended too.
#[test]
fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let folder = output().1;
    let fifo = folder.join("open");
    let status = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(status.unwrap().success());
    let script = format!("exec 3> {}; sleep 600 & wait", fifo.display());
    let (ended, end) = std::sync::mpsc::channel();
    thread::spawn(move || ended.send(std::fs::read(fifo).unwrap()));

    // As long as the shell takes to open the pipe on a busy machine.
    let result = attempt(exec(&["sh", "-c", &script]), Duration::from_secs(2));

    assert_eq!(result, silent("timed out"));
    let end = end.recv_timeout(Duration::from_secs(20));
    assert_eq!(end.as_deref(), Ok(&b""[..]), "the child runs");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_line_of_the_output_counts_if_it_contains_the_text_and_is_of_this_start() {
    let (output, folder) = output();
    let probe = Probe {
        kind: Kind::Log("is ready".to_owned()),
        every: SHORT,
        timeout: SHORT,
    };
    let after = |line: &str| {
        let (mut writer, thread) = output.begin(probe.awaited()).unwrap();
        writeln!(writer, "{line}").unwrap();
        drop(writer);
        thread.join().unwrap();
        probe.attempt(Clock::start(), &output)
    };

    assert_eq!(after("the store is ready now"), Ok(()));
    // A new process has not printed it yet.
    assert_eq!(after("is starting"), silent("no line contains it"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn only_a_service_in_a_network_of_its_own_gets_the_hint_where_to_listen() {
    let probe = |address: &str| Probe {
        kind: Kind::Tcp {
            address: address.parse().unwrap(),
            exchange: None,
        },
        every: Duration::ZERO,
        timeout: Duration::ZERO,
    };

    let refused = std::io::Error::from_raw_os_error(111).to_string();
    let other = probe("198.19.0.2:20000");

    assert!(other.hint(&refused).contains("${self.listen}"));
    assert_eq!(other.hint("the status is 503"), "");
    assert_eq!(probe("127.0.0.1:20000").hint(&refused), "");
}
