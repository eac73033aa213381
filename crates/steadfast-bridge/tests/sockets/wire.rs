//! A WebSocket client on any stream, for tests.

use bytes::BytesMut;
use serde_json::Value;
use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::lab::PATIENCE;

/// What was received.
#[derive(Debug)]
enum Received {
    Message(Value),
    Pong(Vec<u8>),
    Closed(Option<u16>),
}

pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    received: std::collections::VecDeque<Received>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        let limits = WebSocketLimits {
            message_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            fragments_max: 1,
        };
        Self {
            stream,
            input: BytesMut::new(),
            decoder: Decoder::new(Role::Client, limits),
            endpoint: WebSocketEndpoint::new(Role::Client),
            received: std::collections::VecDeque::new(),
        }
    }

    /// Requests an upgrade with further fields; returns the status.
    pub(crate) async fn upgrade(&mut self, further: &[&str]) -> u16 {
        let mut fields = vec![
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        if !further.iter().any(|it| it.starts_with("Host")) {
            fields.push("Host: localhost");
        }
        fields.extend(further);
        self.get(&fields).await
    }

    pub(crate) async fn get(&mut self, fields: &[&str]) -> u16 {
        let head = format!(
            "GET /api/current HTTP/1.1\r\n{}\r\n\r\n",
            fields.join("\r\n")
        );
        self.stream.write_all(head.as_bytes()).await.unwrap();
        loop {
            let text = String::from_utf8_lossy(&self.input).into_owned();
            if let Some(len) = text.find("\r\n\r\n") {
                drop(self.input.split_to(len + 4));
                return text.get(9..12).unwrap().parse().unwrap();
            }
            assert!(self.read().await > 0, "{text}");
        }
    }

    async fn read(&mut self) -> usize {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        read.expect("bytes in time").unwrap_or(0)
    }

    pub(crate) async fn frame(&mut self, frame: Frame<'_>) {
        let mut bytes = Vec::new();
        frame.append_client(&mut bytes, [1, 2, 3, 4]);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn text(&mut self, message: &Value) {
        let text = message.to_string();
        self.frame(Frame::unfragmented(Opcode::Text, text.as_bytes()))
            .await;
    }

    async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some(received) = self.received.pop_front() {
                return Some(received);
            }
            let mut input = self.input.split();
            let mut reading = self.decoder.read(&mut input);
            while let Some(event) = self.endpoint.next_event(&mut reading) {
                let received = match event {
                    EndpointEvent::Message { payload, .. } => {
                        Received::Message(serde_json::from_slice(payload).unwrap())
                    }
                    EndpointEvent::Pong(payload) => Received::Pong(payload.to_vec()),
                    EndpointEvent::Closed { code, .. } => Received::Closed(code),
                    other @ (EndpointEvent::Ping { .. }
                    | EndpointEvent::Dropped
                    | EndpointEvent::Failed { .. }) => panic!("{other:?}"),
                };
                self.received.push_back(received);
            }
            if self.received.is_empty() && self.read().await == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Option<Value> {
        match self.next().await? {
            Received::Message(message) => Some(message),
            other @ (Received::Pong(_) | Received::Closed(_)) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn pong(&mut self) -> Vec<u8> {
        match self.next().await.unwrap() {
            Received::Pong(payload) => payload,
            other @ (Received::Message(_) | Received::Closed(_)) => panic!("{other:?}"),
        }
    }

    /// The code of the close frame, before the end of the stream.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match self.next().await? {
            Received::Closed(code) => code,
            other @ (Received::Message(_) | Received::Pong(_)) => panic!("{other:?}"),
        }
    }
}
