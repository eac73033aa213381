//! The server's end of a WebSocket with JSON-RPC.
//!
//! Several test files include this file by its path, so it has only what all of them use.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use serde::Deserialize;
use serde_json::value::RawValue;
use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{
    Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits, encoder,
};

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1,
};

/// An open WebSocket.
pub(crate) struct Connection<S> {
    stream: S,
    decoder: Decoder,
    /// Messages that were not received yet; `None` is the end.
    arrived: VecDeque<Option<String>>,
}

/// What the server reads of a request: numbers in the params may have any size.
#[derive(Deserialize)]
struct Request {
    id: Box<RawValue>,
}

impl<S: Read + Write> Connection<S> {
    /// Accepts the client's request for a WebSocket; returns its path too.
    pub(crate) fn upgrade(mut stream: S) -> (Self, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let response = response(&accept_key(key.unwrap()), None);
        stream.write_all(&response).unwrap();
        let connection = Self {
            stream,
            decoder: Decoder::new(Role::Server, LIMITS),
            arrived: VecDeque::new(),
        };
        (connection, path)
    }

    /// The next message; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<String> {
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return message;
            }
            let mut bytes = vec![0; 64 << 10];
            let length = self.stream.read(&mut bytes).unwrap_or(0);
            if length == 0 {
                return None;
            }
            bytes.truncate(length);
            self.decode(&mut bytes);
            if self.arrived.back() == Some(&None) {
                // The client may have closed the socket already.
                let _ = self.send(Opcode::Close, &1000_u16.to_be_bytes());
            }
        }
    }

    fn decode(&mut self, bytes: &mut [u8]) {
        let mut reading = self.decoder.read(bytes);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    let message = String::from_utf8(payload.to_vec()).unwrap();
                    self.arrived.push_back(Some(message));
                }
                WebSocketEvent::Close { .. } => self.arrived.push_back(None),
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {}
            }
        }
    }

    /// Sends a response with this result or error to a request.
    pub(crate) fn reply(&mut self, request: &str, reply: &str) {
        let Request { id } = serde_json::from_str(request).unwrap();
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},{reply}}}"#);
        self.send(Opcode::Text, text.as_bytes()).unwrap();
    }

    pub(crate) fn send(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let frame = encoder::encode_server(opcode, payload);
        self.stream.write_all(&frame)
    }
}
