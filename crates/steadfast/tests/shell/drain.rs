//! Tests of a client that is closed or dropped while its server is unavailable.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast::{Client, PublishOutcome, SessionEvent, SessionState};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, ConnectResult, Reply, ReplyResult, Request};
use steadfast_protocol::websocket::{self, Decoder, Opcode, Role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::peer::upgrade;

/// Far longer than any test here takes.
const LONG: Duration = Duration::from_mins(10);

const LIMITS: websocket::WebSocketLimits = websocket::WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1,
};

/// Closes the first connection immediately, then accepts a second one and acknowledges publications. Returns the
/// client's close code.
async fn serve(listener: TcpListener) -> Option<u16> {
    drop(listener.accept().await.unwrap());
    let (mut socket, _) = listener.accept().await.unwrap();
    upgrade(&mut socket).await.expect("an upgrade request");
    let mut received = Vec::new();
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    loop {
        let mut replies = Vec::new();
        let mut reading = decoder.read(&mut received);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                websocket::WebSocketEvent::Message { payload, .. } => reply(payload, &mut replies),
                websocket::WebSocketEvent::Close { code, .. } => return code,
                websocket::WebSocketEvent::Ping(_) | websocket::WebSocketEvent::Pong(_) => {}
            }
        }
        if !replies.is_empty() {
            let frame = websocket::encoder::encode_server(Opcode::Text, &replies);
            socket.write_all(&frame).await.unwrap();
        }
        received.clear();
        assert!(
            socket.read_buf(&mut received).await.unwrap() > 0,
            "no close frame"
        );
    }
}

fn reply(message: &[u8], replies: &mut Vec<u8>) {
    let message = Bytes::copy_from_slice(message);
    for command in Encoding::Json.decode_commands(&message, &Limits::DEFAULT) {
        let Command { id, request } = command.unwrap();
        let result = if matches!(request, Request::Connect(_)) {
            ReplyResult::Connect(ConnectResult::default())
        } else {
            assert!(matches!(request, Request::Rpc(_)), "{request:?}");
            ReplyResult::Rpc(acknowledgement())
        };
        if !replies.is_empty() {
            replies.extend_from_slice(Encoding::Json.separator());
        }
        let outcome = Ok(result);
        Encoding::Json.append_reply(replies, &Reply::Response { id, outcome });
    }
}

fn acknowledgement() -> Bytes {
    let ack = IdempotentAck {
        offset: 7,
        epoch: "e".to_owned(),
        duplicate: false,
    };
    let mut result = Vec::new();
    idempotent::append_ack(&mut result, &ack);
    Bytes::from(result)
}

/// Returns a client without a connection, its driver, and the server to which it will reconnect.
async fn without_connection() -> (Client, JoinHandle<()>, JoinHandle<Option<u16>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (client, driver) = Client::builder(&url).unwrap().build().unwrap();
    let mut events = client.events();
    let driver = tokio::spawn(driver);
    let server = tokio::spawn(serve(listener));
    while !matches!(events.recv().await.unwrap(), SessionEvent::Waiting { .. }) {}
    (client, driver, server)
}

#[tokio::test]
async fn a_closed_client_reconnects_to_send_queued_publications() {
    let (client, _driver, server) = without_connection().await;
    let receipt = client.publish("news", &BTreeMap::from([("n", 1)])).unwrap();

    client.close(LONG).await;

    assert!(matches!(receipt.await, PublishOutcome::Acknowledged { .. }));
    assert_eq!(client.state().borrow().state, SessionState::Disconnected);
    assert_eq!(server.await.unwrap(), Some(1_000));
}

#[tokio::test]
async fn queued_publications_are_sent_after_the_last_handle_is_dropped() {
    let (client, driver, server) = without_connection().await;
    let receipt = client.publish("news", &1).unwrap();

    drop(client);

    assert!(matches!(receipt.await, PublishOutcome::Acknowledged { .. }));
    assert_eq!(server.await.unwrap(), Some(1_000));
    driver.await.unwrap();
}
