//! Page and gateway on one port: what the demo forwards to the gateway, and what it does while the gateway is down.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, kill_process};

use crate::process::{Demo, until};

/// The request of a WebSocket client, without `Host` and `Origin`.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ENDPOINT: &str = "/connection/websocket";
/// The demo's limit of forwarded connections.
const UPGRADES_MAX: usize = 256;

#[test]
fn a_page_of_a_forwarded_port_connects_to_the_port_at_which_it_was_opened() {
    let demo = Demo::start().unwrap();
    // As through `ssh -L 9999:127.0.0.1:PORT`.
    let host = "Host: localhost:9999\r\n";

    let response = demo.request("GET", "/demo/config", host).unwrap();
    let url = "\"gateway\":\"ws://localhost:9999/connection/websocket\"";
    assert!(response.contains(url), "{response}");
    let own = format!("{host}Origin: http://localhost:9999\r\n");
    let mut socket = upgrade(&demo, &own).unwrap();
    let reply = command(&mut socket, r#"{"id":1,"connect":{}}"#).unwrap();
    assert!(reply.contains(r#""client":""#), "{reply}");

    for foreign in ["http://localhost:8000", "http://evil.example:9999"] {
        let fields = format!("{host}Origin: {foreign}\r\n");
        let refused = upgrade(&demo, &fields).unwrap_err().to_string();
        assert!(refused.contains("HTTP/1.1 403 "), "{foreign}: {refused}");
    }
}

#[test]
fn a_forwarded_client_with_a_foreign_name_or_a_proxy_is_not_a_local_one() {
    let demo = Demo::start().unwrap();
    for fields in [
        "Host: evil.example\r\nOrigin: http://evil.example\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
    ] {
        let mut socket = upgrade(&demo, fields).unwrap();
        let reply = command(&mut socket, r#"{"id":1,"connect":{}}"#).unwrap();
        assert!(reply.contains("credential"), "{fields}: {reply}");
    }
}

#[test]
fn probes_and_wrong_requests_reach_the_gateway() {
    let demo = Demo::start().unwrap();

    for (path, status) in [
        ("/livez", "HTTP/1.1 200 "),
        ("/readyz", "HTTP/1.1 200 "),
        ("/health", "HTTP/1.1 200 "),
        (ENDPOINT, "HTTP/1.1 426 "),
    ] {
        let response = demo.request("GET", path, "").unwrap();
        assert!(response.starts_with(status), "{path}: {response}");
    }
}

#[test]
fn a_connection_ends_with_the_gateway_and_upgrades_get_503_until_it_is_back() {
    let demo = Demo::start().unwrap();
    let mut socket = upgrade(&demo, "").unwrap();
    let gateway = demo.gateway().unwrap();
    // Without it, the next starts fail, and the gateway is down for some seconds.
    let configuration = demo.directory.join("gateway.toml");
    let text = fs::read(&configuration).unwrap();
    fs::remove_file(&configuration).unwrap();

    kill_process(gateway, Signal::KILL).unwrap();

    match socket.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    let refused = upgrade(&demo, "").unwrap_err().to_string();
    assert!(refused.contains("HTTP/1.1 503 "), "{refused}");
    assert!(
        refused.contains("{\"error\":\"the gateway is down"),
        "{refused}"
    );
    fs::write(&configuration, text).unwrap();
    until("clients can connect again", || Ok(upgrade(&demo, "").ok())).unwrap();
}

#[test]
fn the_number_of_forwarded_connections_is_limited_and_the_page_is_still_served() {
    let demo = Demo::start().unwrap();
    let mut sockets: Vec<TcpStream> = (0..UPGRADES_MAX)
        .map(|_| upgrade(&demo, "").unwrap())
        .collect();

    let refused = upgrade(&demo, "").unwrap_err().to_string();

    assert!(refused.contains("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("too many clients"), "{refused}");
    let page = demo.request("GET", "/", "").unwrap();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    sockets.pop();
    until("a closed connection makes place", || {
        Ok(upgrade(&demo, "").ok())
    })
    .unwrap();
}

/// Opens a WebSocket connection at the port of the page, or fails with the response that refuses it.
fn upgrade(demo: &Demo, fields: &str) -> Result<TcpStream> {
    let mut socket = demo.send("GET", ENDPOINT, &format!("{fields}{UPGRADE}"))?;
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        response.extend_from_slice(&byte);
    }
    let mut response = String::from_utf8(response)?;
    if !response.starts_with("HTTP/1.1 101 ") {
        let field = "content-length: ";
        let length = response.lines().find_map(|line| line.strip_prefix(field));
        let mut body = vec![0; length.context("no length")?.parse()?];
        socket.read_exact(&mut body)?;
        response.push_str(&String::from_utf8(body)?);
        ensure!(false, "{response}");
    }
    Ok(socket)
}

/// Sends a command in one frame, and returns the first reply.
fn command(socket: &mut TcpStream, text: &str) -> Result<String> {
    let length = u8::try_from(text.len())?;
    // A final text frame whose mask is zero.
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    socket.write_all(&frame)?;
    let mut head = [0; 2];
    socket.read_exact(&mut head)?;
    let [_, length] = head;
    let mut extended = [0; 2];
    let length = if length == 126 {
        socket.read_exact(&mut extended)?;
        u16::from_be_bytes(extended)
    } else {
        length.into()
    };
    let mut reply = vec![0; length.into()];
    socket.read_exact(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
