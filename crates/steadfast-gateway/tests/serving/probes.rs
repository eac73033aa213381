//! Ordinary HTTP.

use crate::client::{exchange, head};
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
