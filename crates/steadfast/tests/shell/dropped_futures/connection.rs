//! The server's end of a connection, on a socket that does not block.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use steadfast_protocol::websocket::{Decoder, Opcode, Role, WebSocketEvent, encoder};

use crate::peer::{LIMITS, upgrade_response};

/// A listener that does not block.
pub(super) fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// A connection, before and after its upgrade.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    pub(super) is_upgraded: bool,
    received: Vec<u8>,
    decoder: Decoder,
}

impl Connection {
    /// Accepts a connection; `None` if there is none.
    pub(super) fn accept(listener: &TcpListener) -> Option<Self> {
        let (socket, _) = listener.accept().ok()?;
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        Some(Self {
            socket,
            is_upgraded: false,
            received: Vec::new(),
            decoder: Decoder::new(Role::Server, LIMITS),
        })
    }

    /// Reads what has arrived; returns `false` at the end of the stream.
    pub(super) fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.received.extend(bytes.iter().take(count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    /// Accepts the upgrade if its request is complete. Returns whether it was.
    pub(super) fn upgrade(&mut self) -> bool {
        if !self.received.ends_with(b"\r\n\r\n") {
            return false;
        }
        let request = String::from_utf8(std::mem::take(&mut self.received)).unwrap();
        self.is_upgraded = self.write(&upgrade_response(&request));
        self.is_upgraded
    }

    /// The complete messages that were read; `None` after the client's close frame.
    pub(super) fn messages(&mut self) -> Option<Vec<Bytes>> {
        let mut received = std::mem::take(&mut self.received);
        let mut reading = self.decoder.read(&mut received);
        let mut messages = Vec::new();
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    messages.push(Bytes::copy_from_slice(payload));
                }
                WebSocketEvent::Close { .. } => return None,
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {}
            }
        }
        Some(messages)
    }

    /// Sends a text message; returns `false` if the client has closed the connection.
    pub(super) fn send(&mut self, message: &[u8]) -> bool {
        self.write(&encoder::encode_server(Opcode::Text, message))
    }

    /// Writes a few bytes, for which the kernel has space.
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }
}
