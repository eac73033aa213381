//! Requests that are too large or never end, and a shutdown while requests are open.

use std::io::{Read as _, Write as _};

use super::http::Api;

#[test]
fn a_body_above_the_limit_is_rejected_before_it_is_sent() {
    let api = Api::start();

    // Only the head is sent: a server that reads first would wait.
    let response = api.raw(
        "POST /populate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1048577\r\n\r\n",
    );

    assert_eq!(response.status, 413, "{response:?}");
    assert_eq!(
        response.body,
        "{\"error\":\"bad request body: longer than 1 MiB\",\"status\":413}\n"
    );
}

#[test]
fn a_body_without_a_length_is_read_up_to_the_limit() {
    let api = Api::start();
    let mut socket = api.connect();
    socket
        .write_all(b"POST /populate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));

    // The server closes the connection at some point after the limit.
    for _ in 0..64 {
        if socket.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut response = Vec::new();
    // A reset that follows the response may hide its end.
    drop(socket.read_to_end(&mut response));

    let response = String::from_utf8_lossy(&response).into_owned();
    assert!(
        response.is_empty() || response.contains(" 413 "),
        "{response}"
    );
    assert_eq!(
        api.send("GET", "/proxies", "").body,
        "{}",
        "it still serves"
    );
}

#[test]
fn deep_nesting_and_text_that_is_not_utf_8_are_errors() {
    let api = Api::start();

    let deep = api.send("POST", "/proxies", &"[".repeat(200_000));
    let mut socket = api.connect();
    socket
        .write_all(b"POST /proxies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n\xff")
        .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();

    assert_eq!(deep.status, 400);
    assert!(
        response.contains("bad request body: it is not UTF-8"),
        "{response}"
    );
}

#[test]
fn a_shutdown_ends_event_streams_and_idle_connections() {
    let mut api = Api::start();
    let mut events = api.connect();
    events
        .write_all(b"GET /lab/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut idle = api.connect();
    idle.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    idle.read_exact(&mut [0; 15]).unwrap();
    events.read_exact(&mut [0; 15]).unwrap();

    drop(api.shutdown.take());
    api.thread.take().unwrap().join().unwrap();

    let mut rest = Vec::new();
    events.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream has an end");
    idle.read_to_end(&mut rest).unwrap();
}
