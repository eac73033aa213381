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
fn an_endless_head_and_a_head_with_too_many_fields_are_rejected_with_the_key_to_change() {
    let mut config = config();
    config.server.request_fields_max = 70;
    let gateway = serve(config);

    let endless = exchange(
        gateway.address(),
        &format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(16_384)),
    );
    let fields = |count| "X-Field: 1\r\n".repeat(count);
    let request = |count| format!("GET /readyz HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(count));
    let many = exchange(gateway.address(), &request(70));
    let fewer = exchange(gateway.address(), &request(69));

    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
    assert!(endless.contains("request_head_bytes_max"), "{endless}");
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    assert!(many.contains("request_fields_max"), "{many}");
    assert!(fewer.starts_with("HTTP/1.1 200 "), "{fewer}");
}

#[test]
fn the_cookies_of_a_browser_and_the_fields_of_a_chain_of_proxies_fit() {
    let gateway = serve(config());
    let fields = format!("Cookie: {}\r\n", "a".repeat(8_700)) + &"X-Field: 1\r\n".repeat(73);
    let stream = TcpStream::connect(gateway.address()).unwrap();

    let mut client = Client::upgrade(stream, PATH, &fields, b"");

    client.connect_and_subscribe("a");
}

#[test]
fn a_protobuf_client_gets_a_close_frame_that_ends_its_attempts() {
    let gateway = serve(config());
    let host = gateway.address().to_string();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let request = head("/connection/websocket?format=protobuf", &host, "");
    stream.write_all(request.as_bytes()).unwrap();

    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();

    assert!(received.starts_with(b"HTTP/1.1 101 "));
    let code = received
        .windows(2)
        .any(|bytes| bytes == 3506_u16.to_be_bytes());
    assert!(code, "{}", received.escape_ascii());
}

#[test]
fn a_request_in_absolute_form_is_upgraded_as_a_probe_is_served() {
    let gateway = serve(config());
    let address = gateway.address();
    let stream = TcpStream::connect(address).unwrap();

    let mut client = Client::upgrade(stream, &format!("http://{address}{PATH}"), "", b"");
    let probe = format!("GET http://{address}/readyz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let probe = exchange(address, &probe);

    client.connect_and_subscribe("a");
    assert!(probe.starts_with("HTTP/1.1 200 "), "{probe}");
}

#[test]
fn a_head_that_arrives_byte_by_byte_is_upgraded() {
    let gateway = serve(config());
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = head(PATH, &gateway.address().to_string(), "");

    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();

    assert_eq!(&status, b"HTTP/1.1 101");
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
