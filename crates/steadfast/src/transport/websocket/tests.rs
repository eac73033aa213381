//! Tests of the WebSocket against a scripted server on loopback, dialled by the connector.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use steadfast_protocol::websocket::WebSocketEvent;
use steadfast_protocol::websocket::handshake::{accept_key, response};
use tokio::runtime::Builder;

use super::*;
use crate::connector::{Connector, DialPlan, StageTimeouts};
use crate::endpoint::Endpoint;

/// Longest message that the client accepts in these tests.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

#[test]
fn messages_pings_and_the_close_are_exchanged_in_both_directions() {
    let (endpoint, server) = serve(|mut socket| {
        socket
            .write_all(b"\x81\x02hi\x89\x03abc\x88\x05\x0f\xa1bye")
            .unwrap();
        read_to_end(&mut socket)
    });

    let arrivals = block_on(async {
        let mut socket = dial(&endpoint).await;
        socket.queue_text(b"hello").unwrap();
        let arrivals = until_closed(&mut socket).await;
        send_all(&mut socket).await;
        poll_fn(|context| socket.poll_shutdown(context))
            .await
            .unwrap();
        arrivals
    });

    assert_eq!(
        arrivals,
        [
            Arrival::Message {
                kind: MessageKind::Text,
                payload: Bytes::from_static(b"hi"),
            },
            Arrival::CloseFrame {
                code: Some(4001),
                reason: "bye".to_owned(),
            },
        ]
    );
    assert_eq!(
        server.join().unwrap(),
        ["Pong abc", "Message hello", "Close 4001"],
        "control frames are sent first, the close frame last"
    );
}

#[test]
fn a_ping_is_sent_before_queued_messages() {
    let (endpoint, server) = serve(|mut socket| read_to_end(&mut socket));

    block_on(async {
        let mut socket = dial(&endpoint).await;
        for _ in 0..8 {
            socket.queue_text(&vec![b'x'; 100_000]).unwrap();
        }
        // Some bytes of the first message were sent, so the ping can only be sent between two frames.
        poll_fn(|context| socket.poll_send(context)).await.unwrap();
        socket.queue_text(b"last").unwrap();
        socket.queue_ping(b"probe").unwrap();
        send_all(&mut socket).await;
        poll_fn(|context| socket.poll_shutdown(context))
            .await
            .unwrap();
    });

    let frames = server.join().unwrap();
    let ping = frames
        .iter()
        .position(|frame| frame == "Ping probe")
        .unwrap();
    let last = frames
        .iter()
        .position(|frame| frame == "Message last")
        .unwrap();
    assert!(ping < last, "{frames:?}");
}

#[test]
fn an_invalid_frame_ends_reading_and_its_close_code_is_sent() {
    let (endpoint, server) = serve(|mut socket| {
        socket.write_all(b"\x81\x02ok\x83\x00").unwrap();
        read_to_end(&mut socket)
    });

    let (arrivals, error) = block_on(async {
        let mut socket = dial(&endpoint).await;
        let mut arrivals = Vec::new();
        let error = loop {
            if let Err(error) = poll_fn(|context| socket.poll_receive(context, &mut arrivals)).await
            {
                break error;
            }
        };
        send_all(&mut socket).await;
        poll_fn(|context| socket.poll_shutdown(context))
            .await
            .unwrap();
        (arrivals, error)
    });

    assert_eq!(
        arrivals.len(),
        1,
        "complete messages before it are returned"
    );
    assert_eq!(
        error.to_string(),
        "invalid frame from the peer: reserved opcode"
    );
    assert_eq!(server.join().unwrap(), ["Close 1002"]);
}

#[test]
fn after_the_own_close_frame_messages_still_arrive_and_pings_get_no_pong() {
    let (endpoint, server) = serve(|mut socket| {
        let mut close = [0; 1];
        socket.read_exact(&mut close).unwrap();
        socket
            .write_all(b"\x81\x04late\x89\x03abc\x88\x02\x03\xe8")
            .unwrap();
        read_rest(&mut socket, &close)
    });

    let arrivals = block_on(async {
        let mut socket = dial(&endpoint).await;
        socket.queue_close(1000, "end").unwrap();
        socket.queue_text(b"ignored").unwrap();
        send_all(&mut socket).await;
        let arrivals = until_closed(&mut socket).await;
        assert!(!socket.has_unsent(), "the close frame is not sent twice");
        poll_fn(|context| socket.poll_shutdown(context))
            .await
            .unwrap();
        arrivals
    });

    let late = Arrival::Message {
        kind: MessageKind::Text,
        payload: Bytes::from_static(b"late"),
    };
    assert_eq!(arrivals.first(), Some(&late));
    assert_eq!(arrivals.len(), 2, "{arrivals:?}");
    assert_eq!(server.join().unwrap(), ["Close 1000"]);
}

#[test]
fn the_number_of_queued_pongs_is_bounded() {
    let (endpoint, server) = serve(|mut socket| {
        let mut flood = Vec::new();
        for _ in 0..10_000 {
            flood.extend_from_slice(b"\x89\x04ping");
        }
        socket.write_all(&flood).unwrap();
        socket.write_all(b"\x88\x00").unwrap();
        read_to_end(&mut socket)
    });

    let queued = block_on(async {
        let mut socket = dial(&endpoint).await;
        until_closed(&mut socket).await;
        let queued = socket.queued_total();
        send_all(&mut socket).await;
        poll_fn(|context| socket.poll_shutdown(context))
            .await
            .unwrap();
        queued
    });

    assert!(queued < 6_000, "{queued} bytes are queued");
    assert!(server.join().unwrap().len() < 500);
}

fn serve(
    script: impl FnOnce(TcpStream) -> Vec<String> + Send + 'static,
) -> (Endpoint, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("ws://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let key = read_key(&mut socket);
        socket
            .write_all(&response(&accept_key(&key), None))
            .unwrap();
        script(socket)
    });
    (endpoint, server)
}

fn read_key(socket: &mut TcpStream) -> String {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        header.push(byte[0]);
    }
    let header = String::from_utf8(header).unwrap();
    let field = header
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    field.unwrap().to_owned()
}

/// Returns every frame of the client as text, until the client shuts down its sending half.
fn read_to_end(socket: &mut TcpStream) -> Vec<String> {
    read_rest(socket, &[])
}

/// As `read_to_end`, after these bytes.
fn read_rest(socket: &mut TcpStream, start: &[u8]) -> Vec<String> {
    let mut bytes = start.to_vec();
    socket.read_to_end(&mut bytes).unwrap();
    let limits = WebSocketLimits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        frame_bytes_max: MESSAGE_BYTES_MAX,
        fragments_max: 1,
    };
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut reading = decoder.read(&mut bytes);
    let mut frames = Vec::new();
    while let Some(event) = reading.next_event().unwrap() {
        frames.push(match event {
            WebSocketEvent::Message { payload, .. } => format!("Message {}", text(payload)),
            WebSocketEvent::Ping(payload) => format!("Ping {}", text(payload)),
            WebSocketEvent::Pong(payload) => format!("Pong {}", text(payload)),
            WebSocketEvent::Close { code, .. } => format!("Close {}", code.unwrap_or(0)),
        });
    }
    frames
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

async fn dial(endpoint: &Endpoint) -> WebSocket {
    Connector::new(StageTimeouts::DEFAULT, Vec::new(), MESSAGE_BYTES_MAX)
        .dial(endpoint, DialPlan::default())
        .await
        .unwrap()
}

async fn until_closed(socket: &mut WebSocket) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    while !matches!(arrivals.last(), Some(Arrival::CloseFrame { .. })) {
        poll_fn(|context| socket.poll_receive(context, &mut arrivals))
            .await
            .unwrap();
    }
    arrivals
}

async fn send_all(socket: &mut WebSocket) {
    while socket.has_unsent() {
        poll_fn(|context| socket.poll_send(context)).await.unwrap();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
