//! Tests of the first request of a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use steadfast_protocol::websocket::Opcode;

use crate::client::{Client, Received, exchange, frame, head};
use crate::{config, millis, serve};

const PATH: &str = "/connection/websocket";

#[test]
fn commands_in_the_tcp_segment_of_the_request_get_replies() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let commands = frame(Opcode::Text, b"{\"id\":1,\"connect\":{}}");
    let mut client = Client::upgrade(stream, PATH, "", &commands);

    let response = client.next_line();
    assert!(
        response.starts_with("{\"id\":1,\"connect\":{\"client\":"),
        "{response}"
    );
}

#[test]
fn a_page_of_the_same_host_and_an_empty_subprotocol_are_accepted() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let fields = format!(
        "Origin: http://{}\r\nSec-WebSocket-Protocol: \r\n",
        gateway.address()
    );
    let mut client = Client::upgrade(stream, PATH, &fields, b"");

    client.connect_and_subscribe("a");
}

#[test]
fn a_cross_origin_page_is_rejected_with_the_setting_to_change() {
    let gateway = serve(config());
    let host = gateway.address().to_string();

    let response = exchange(
        gateway.address(),
        &head(PATH, &host, "Origin: https://evil.example\r\n"),
    );

    assert!(
        response.starts_with("HTTP/1.1 403 Forbidden\r\n"),
        "{response}"
    );
    assert!(
        response
            .contains("add \"https://evil.example\" to allowed_origins in the section [server]"),
        "{response}"
    );
}

#[test]
fn a_page_that_is_configured_may_connect() {
    let mut config = config();
    config.server.allowed_origins = vec!["https://*.example.org".to_owned()];
    let gateway = serve(config);
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let mut client = Client::upgrade(stream, PATH, "Origin: https://app.example.org\r\n", b"");

    client.connect_and_subscribe("a");
}

#[test]
fn protobuf_and_an_endless_head_are_rejected() {
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
    assert!(protobuf.contains("only JSON is supported"), "{protobuf}");
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
}

#[test]
fn a_request_that_never_ends_is_disconnected_at_its_deadline() {
    let mut config = config();
    config.server.handshake_timeout = millis(200);
    let gateway = serve(config);
    let mut stream = TcpStream::connect(gateway.address()).unwrap();

    stream
        .write_all(b"GET /connection/websocket HTTP/1.1\r\nHost: ")
        .unwrap();

    // Blocks until the gateway closes the connection.
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn incomplete_requests_block_others_only_until_their_deadline() {
    let mut config = config();
    config.server.handshake_timeout = millis(200);
    config.server.handshakes_max = 2;
    let gateway = serve(config);
    let hung: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(gateway.address()).unwrap())
        .collect();

    let mut client = Client::connect(gateway.address());

    client.connect_and_subscribe("a");
    drop(hung);
}

#[test]
fn a_client_on_loopback_with_a_foreign_host_name_needs_a_credential() {
    let gateway = serve(config());
    let stream = TcpStream::connect(gateway.address()).unwrap();
    let mut client = Client::upgrade_as(stream, "rebound.example:8000", PATH, "", b"");

    client.send("{\"id\":1,\"connect\":{}}");

    assert!(matches!(client.next(), Received::Close(Some(3501), _)));
}

#[test]
fn a_lost_client_frees_its_slot_for_the_next() {
    let gateway = serve(config());

    for _ in 0..50 {
        let mut client = Client::connect(gateway.address());
        client.connect_and_subscribe("a");
        client.finish();
        assert_eq!(client.next(), Received::End);
    }
}
