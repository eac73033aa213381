//! A WebSocket server that the test scripts, connection by connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use steadfast::websocket::{Builder, Client, Frame};
use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{
    Decoder, MessageKind, Opcode, Role, WebSocketEvent, WebSocketLimits, encoder,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Far longer than any of these tests needs.
const TIME_LIMIT: Duration = Duration::from_secs(20);

const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1,
};

/// A listening server.
pub(crate) struct Server {
    listener: TcpListener,
}

/// A connection to a client.
pub(crate) struct Connection {
    socket: TcpStream,
    decoder: Decoder,
    /// The header of the client's request.
    pub(crate) request: String,
    arrived: VecDeque<Arrived>,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Message(Frame),
    Close(Option<u16>),
    Pong,
    /// The end of the stream, without a close frame.
    End,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1").await
    }

    /// A server at this address.
    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        Self { listener }
    }

    /// The URL of this server.
    pub(crate) fn url(&self) -> String {
        let address = self.listener.local_addr().unwrap();
        format!("ws://{address}/feed")
    }

    /// A builder of a client of this server.
    pub(crate) fn client(&self) -> Builder {
        Client::builder(&self.url()).unwrap()
    }

    /// Accepts a connection, and selects this subprotocol.
    pub(crate) async fn accept_with(&self, subprotocol: Option<&str>) -> Connection {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(within(socket.read_buf(&mut request)).await.unwrap() > 0);
        }
        let request = String::from_utf8(request).unwrap();
        let mut lines = request.lines();
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let response = response(&accept_key(key.unwrap()), subprotocol);
        socket.write_all(&response).await.unwrap();
        Connection {
            socket,
            decoder: Decoder::new(Role::Server, LIMITS),
            request,
            arrived: VecDeque::new(),
        }
    }

    pub(crate) async fn accept(&self) -> Connection {
        self.accept_with(None).await
    }
}

impl Connection {
    /// Sends a message.
    pub(crate) async fn send(&mut self, frame: Frame) {
        let (opcode, payload) = match &frame {
            Frame::Text(text) => (Opcode::Text, text),
            Frame::Binary(data) => (Opcode::Binary, data),
        };
        let frame = encoder::encode_server(opcode, payload);
        self.socket.write_all(&frame).await.unwrap();
    }

    /// Sends these bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Aborts the connection: the kernel sends RST.
    pub(crate) fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(Frame::from(text)).await;
    }

    /// Sends a close frame with this code.
    pub(crate) async fn close(&mut self, code: u16) {
        let frame = encoder::encode_server(Opcode::Close, &code.to_be_bytes());
        self.socket.write_all(&frame).await.unwrap();
    }

    /// The next message of the client, or its end.
    pub(crate) async fn receive(&mut self) -> Arrived {
        loop {
            if let Some(arrived) = self.arrived.pop_front() {
                return arrived;
            }
            let mut bytes = Vec::new();
            if within(self.socket.read_buf(&mut bytes)).await.unwrap_or(0) == 0 {
                return Arrived::End;
            }
            let mut reading = self.decoder.read(&mut bytes);
            while let Some(event) = reading.next_event().unwrap() {
                let arrived = match event {
                    WebSocketEvent::Message { kind, payload } => {
                        let payload = Bytes::copy_from_slice(payload);
                        Arrived::Message(match kind {
                            MessageKind::Text => Frame::Text(payload),
                            MessageKind::Binary => Frame::Binary(payload),
                        })
                    }
                    WebSocketEvent::Close { code, .. } => Arrived::Close(code),
                    WebSocketEvent::Pong(_) => Arrived::Pong,
                    WebSocketEvent::Ping(_) => continue,
                };
                self.arrived.push_back(arrived);
            }
        }
    }

    /// Returns once the client has received everything that was sent.
    pub(crate) async fn synchronize(&mut self) {
        let ping = encoder::encode_server(Opcode::Ping, b"");
        self.socket.write_all(&ping).await.unwrap();
        assert_eq!(self.receive().await, Arrived::Pong);
    }

    /// The next text message of the client.
    pub(crate) async fn receive_text(&mut self) -> String {
        match self.receive().await {
            Arrived::Message(frame) => frame.as_text().unwrap().to_owned(),
            other @ (Arrived::Close(_) | Arrived::Pong | Arrived::End) => panic!("{other:?}"),
        }
    }
}

/// Panics if the future takes too long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TIME_LIMIT, future).await.expect("in time")
}
