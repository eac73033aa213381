//! The server side of a connection, as all tests need it.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, ConnectResult, HistoryResult, RefreshResult, Reply, ReplyResult, Request,
};
use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{self, Decoder, Opcode, Role};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub(crate) const LIMITS: websocket::WebSocketLimits = websocket::WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1,
};

/// Reads the header of an HTTP request. Returns `None` when the client disconnects before its end.
pub(crate) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(request).unwrap())
}

/// The response that accepts the upgrade of this request.
pub(crate) fn upgrade_response(request: &str) -> Vec<u8> {
    let mut lines = request.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    response(&accept_key(key.expect("a key")), None)
}

/// Accepts the upgrade of a client. Returns `None` when the client disconnects before it sends a request.
pub(crate) async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<()> {
    let request = read_header(stream).await?;
    let response = upgrade_response(&request);
    stream.write_all(&response).await.unwrap();
    Some(())
}

/// Accepts a connection, reports each request, and acknowledges publications and calls; histories are empty. Returns the client's close
/// code.
pub(crate) async fn serve_connection(
    listener: &TcpListener,
    on_request: impl FnMut(&Request),
) -> Option<u16> {
    serve_connection_with(listener, ConnectResult::default(), on_request).await
}

/// Serves a connection as [`serve_connection`], with this result of the connect command.
pub(crate) async fn serve_connection_with(
    listener: &TcpListener,
    connected: ConnectResult,
    mut on_request: impl FnMut(&Request),
) -> Option<u16> {
    let (mut socket, _) = listener.accept().await.unwrap();
    upgrade(&mut socket).await.expect("an upgrade request");
    let mut received = Vec::new();
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    loop {
        let mut replies = Vec::new();
        let mut reading = decoder.read(&mut received);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                websocket::WebSocketEvent::Message { payload, .. } => {
                    reply(payload, &connected, &mut replies, &mut on_request);
                }
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

/// Accepts data of any size that the limits of the WebSocket permit.
const COMMANDS: Limits = Limits {
    message_bytes: 1 << 20,
    ..Limits::DEFAULT
};

fn reply(
    message: &[u8],
    connected: &ConnectResult,
    replies: &mut Vec<u8>,
    on_request: &mut impl FnMut(&Request),
) {
    let message = Bytes::copy_from_slice(message);
    for command in Encoding::Json.decode_commands(&message, &COMMANDS) {
        let Command { id, request } = command.unwrap();
        on_request(&request);
        let result = if matches!(request, Request::Connect(_)) {
            ReplyResult::Connect(connected.clone())
        } else if matches!(request, Request::Refresh(_)) {
            ReplyResult::Refresh(RefreshResult::default())
        } else if matches!(request, Request::History(_)) {
            ReplyResult::History(HistoryResult::default())
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

pub(crate) fn acknowledgement() -> Bytes {
    let ack = IdempotentAck {
        offset: 7,
        epoch: "e".to_owned(),
        duplicate: false,
    };
    let mut result = Vec::new();
    idempotent::append_ack(&mut result, &ack);
    Bytes::from(result)
}
