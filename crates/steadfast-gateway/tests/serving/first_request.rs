//! What becomes of the first request of a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use steadfast_protocol::websocket::Opcode;

use crate::client::{Client, Got, exchange, frame, head};
use crate::{config, millis, serve};

const PATH: &str = "/connection/websocket";

#[test]
fn commands_in_the_same_segment_as_the_request_are_answered() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let commands = frame(Opcode::Text, b"{\"id\":1,\"connect\":{}}");
    let mut client = Client::upgrade(stream, PATH, "", &commands);

    let answer = client.next_line();
    assert!(
        answer.starts_with("{\"id\":1,\"connect\":{\"client\":"),
        "{answer}"
    );
}

#[test]
fn a_page_of_the_same_host_and_an_empty_subprotocol_are_welcome() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let fields = format!(
        "Origin: http://{}\r\nSec-WebSocket-Protocol: \r\n",
        gateway.address()
    );
    let mut client = Client::upgrade(stream, PATH, &fields, b"");

    client.enter("a");
}

#[test]
fn a_foreign_page_is_refused_and_told_what_to_configure() {
    let gateway = serve(config());
    let host = gateway.address().to_string();

    let answer = exchange(
        gateway.address(),
        &head(PATH, &host, "Origin: https://evil.example\r\n"),
    );

    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(
        answer.contains("add \"https://evil.example\" to allowed_origins in the section [server]"),
        "{answer}"
    );
}

#[test]
fn a_page_that_is_configured_may_connect() {
    let mut config = config();
    config.server.allowed_origins = vec!["https://*.example.org".to_owned()];
    let gateway = serve(config);
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let mut client = Client::upgrade(stream, PATH, "Origin: https://app.example.org\r\n", b"");

    client.enter("a");
}

#[test]
fn protobuf_and_an_endless_head_are_refused() {
    let gateway = serve(config());
    let host = gateway.address().to_string();

    let protobuf = exchange(
        gateway.address(),
        &head("/connection/websocket?format=protobuf", &host, ""),
    );
    let endless = exchange(
        gateway.address(),
        &format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(8192)),
    );

    assert!(protobuf.starts_with("HTTP/1.1 400 "), "{protobuf}");
    assert!(protobuf.contains("only the JSON protocol"), "{protobuf}");
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
}

#[test]
fn a_request_that_never_ends_is_cut_off_at_its_deadline() {
    let mut config = config();
    config.server.handshake_timeout = millis(200);
    let gateway = serve(config);
    let mut stream = TcpStream::connect(gateway.address()).unwrap();

    stream
        .write_all(b"GET /connection/websocket HTTP/1.1\r\nHost: ")
        .unwrap();

    // Blocks until the gateway ends the stream.
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn requests_that_do_not_end_keep_others_out_only_until_their_deadline() {
    let mut config = config();
    config.server.handshake_timeout = millis(200);
    config.server.handshakes_max = 2;
    let gateway = serve(config);
    let hung: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(gateway.address()).unwrap())
        .collect();

    let mut client = Client::connect(gateway.address());

    client.enter("a");
    drop(hung);
}

#[test]
fn a_client_that_calls_loopback_by_a_foreign_name_needs_a_credential() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();
    let mut client = Client::upgrade_as(stream, "rebound.example:8000", PATH, "", b"");

    client.send("{\"id\":1,\"connect\":{}}");

    assert!(matches!(client.next(), Got::Close(Some(3501), _)));
}

#[test]
fn a_lost_client_frees_its_place_for_the_next() {
    let gateway = serve(config());

    for _ in 0..50 {
        let mut client = Client::connect(gateway.address());
        client.enter("a");
        client.finish();
        assert_eq!(client.next(), Got::End);
    }
}
