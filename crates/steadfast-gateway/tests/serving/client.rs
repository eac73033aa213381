//! A minimal WebSocket client for these tests: blocking, one frame at a time, without hiding anything of the protocol.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use steadfast_protocol::websocket::encoder::Frame;
use steadfast_protocol::websocket::{Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits};

/// Longer than any operation here takes, so that a hung server fails the test instead of blocking it.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The stream ended without a reset.
    End,
    /// The connection was reset.
    Reset,
}

pub(crate) struct Client {
    stream: TcpStream,
    decoder: Decoder,
    inbox: VecDeque<Received>,
    /// The number of reads that returned bytes.
    pub(crate) reads: usize,
}

impl Client {
    /// Connects to the endpoint for clients of the Centrifuge client protocol.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::upgrade(
            TcpStream::connect(address).unwrap(),
            "/connection/websocket",
            "",
            b"",
        )
    }

    /// Connects with a small receive buffer, so that the server soon cannot write any more.
    pub(crate) fn connect_with_small_buffer(address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::upgrade(socket.into(), "/connection/websocket", "", b"")
    }

    /// Requests an upgrade with additional header fields, and with early bytes in the same write.
    pub(crate) fn upgrade(stream: TcpStream, path: &str, fields: &str, early: &[u8]) -> Self {
        let host = stream.peer_addr().unwrap().to_string();
        Self::upgrade_as(stream, &host, path, fields, early)
    }

    /// As `upgrade`, with this `Host` header.
    pub(crate) fn upgrade_as(
        mut stream: TcpStream,
        host: &str,
        path: &str,
        fields: &str,
        early: &[u8],
    ) -> Self {
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let mut request = head(path, host, fields).into_bytes();
        request.extend_from_slice(early);
        stream.write_all(&request).unwrap();
        let mut response = Vec::new();
        let mut byte = [0];
        while !response.ends_with(b"\r\n\r\n") {
            assert_eq!(
                stream.read(&mut byte).unwrap(),
                1,
                "ended after {:?}",
                String::from_utf8_lossy(&response)
            );
            response.push(byte[0]);
        }
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        let limits = WebSocketLimits {
            message_bytes_max: 1 << 26,
            frame_bytes_max: 1 << 26,
            fragments_max: 1,
        };
        let decoder = Decoder::new(Role::Client, limits);
        Self {
            stream,
            decoder,
            inbox: VecDeque::new(),
            reads: 0,
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(&frame(Opcode::Text, text.as_bytes()));
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends several messages in one write.
    pub(crate) fn send_all<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        let frames: Vec<u8> = texts
            .into_iter()
            .flat_map(|text| frame(Opcode::Text, text.as_bytes()))
            .collect();
        self.send_bytes(&frames);
    }

    /// Shuts down the sending direction.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Receives the next frame, or the end of the stream.
    pub(crate) fn next(&mut self) -> Received {
        let mut buffer = vec![0; 256 << 10];
        loop {
            if let Some(got) = self.inbox.pop_front() {
                return got;
            }
            let read = match self.stream.read(&mut buffer) {
                Ok(0) => return Received::End,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Received::Reset;
                }
                Err(error) => panic!("nothing received: {error}"),
            };
            self.reads += 1;
            let mut reading = self.decoder.read(&mut buffer[..read]);
            while let Some(event) = reading.next_event().expect("valid WebSocket frames") {
                self.inbox.push_back(match event {
                    WebSocketEvent::Message { kind, payload } => match kind {
                        steadfast_protocol::websocket::MessageKind::Text => {
                            Received::Text(String::from_utf8(payload.to_vec()).unwrap())
                        }
                        steadfast_protocol::websocket::MessageKind::Binary => {
                            Received::Binary(payload.to_vec())
                        }
                    },
                    WebSocketEvent::Ping(payload) => panic!("unexpected ping: {payload:?}"),
                    WebSocketEvent::Pong(payload) => Received::Pong(payload.to_vec()),
                    WebSocketEvent::Close { code, reason } => {
                        Received::Close(code, reason.to_owned())
                    }
                });
            }
        }
    }

    /// Receives the next message of the client protocol; a frame may contain several lines.
    pub(crate) fn next_line(&mut self) -> String {
        let got = self.next();
        let Received::Text(text) = got else {
            panic!("expected a message, got {got:?}");
        };
        let mut lines: VecDeque<String> = text.lines().map(str::to_owned).collect();
        let first = lines.pop_front().expect("a frame contains a message");
        for line in lines.into_iter().rev() {
            self.inbox.push_front(Received::Text(line));
        }
        first
    }

    /// Connects and subscribes; returns when both replies have arrived.
    pub(crate) fn connect_and_subscribe(&mut self, channel: &str) {
        self.send(&format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\",\"recoverable\":true}}}}"
        ));
        let connected = self.next_line();
        assert!(
            connected.contains("\"connect\":{\"client\":"),
            "{connected}"
        );
        let subscribed = self.next_line();
        assert!(subscribed.contains("\"subscribe\":{"), "{subscribed}");
    }

    /// Returns the offset of the next publication; skips other messages.
    pub(crate) fn next_offset(&mut self) -> u64 {
        loop {
            let line = self.next_line();
            if let Some(publication) = line.split_once("\"pub\":") {
                let (_, rest) = publication.1.split_once("\"offset\":").expect("an offset");
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                return digits.parse().unwrap();
            }
        }
    }
}

/// Returns a publish command.
pub(crate) fn publish(id: usize, channel: &str, data: &str) -> String {
    format!("{{\"id\":{id},\"publish\":{{\"channel\":\"{channel}\",\"data\":{data}}}}}")
}

/// Returns a masked frame.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::unfragmented(opcode, payload).append_client(&mut out, [1, 2, 3, 4]);
    out
}

/// Returns the head of an upgrade request.
pub(crate) fn head(path: &str, host: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

/// Sends raw bytes and returns everything that is received until the stream ends.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
