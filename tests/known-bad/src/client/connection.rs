//! One WebSocket: the handshake, frames, and how the connection ended.

use std::io;

use anyhow::{Context as _, Result, ensure};
use steadfast_protocol::websocket::handshake::{self, UpgradeRequest};
use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::backoff::random_bytes;

/// Replies of the server are short.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 64 * 1024,
    frame_bytes_max: 64 * 1024,
    fragments_max: 64,
};
/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most header fields of a response.
const FIELDS_MAX: usize = 64;

/// How a connection ended, as the driver protocol calls it.
pub(super) type Cause = &'static str;

/// What arrived with one read.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) messages: Vec<Vec<u8>>,
    /// Frames that the client has to send.
    pub(super) replies: Vec<u8>,
    /// The connection has ended.
    pub(super) end: Option<Cause>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    input: Vec<u8>,
}

impl Connection {
    /// Performs the handshake.
    ///
    /// # Errors
    ///
    /// When the response is not a valid upgrade, or the socket ends.
    pub(super) async fn upgrade(mut stream: TcpStream, host: &str, path: &str) -> Result<Self> {
        stream.set_nodelay(true)?;
        let [random, more] = [random_bytes(), random_bytes()];
        let mut bytes = [0; 16];
        for (byte, drawn) in bytes.iter_mut().zip(random.into_iter().chain(more)) {
            *byte = drawn;
        }
        let key = handshake::key(bytes);
        let request = UpgradeRequest {
            host,
            path,
            key: &key,
            ..UpgradeRequest::default()
        };
        stream.write_all(&handshake::request(&request)?).await?;
        let head = read_head(&mut stream).await?;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(&head).context("invalid HTTP response")?;
        let status = response.code.unwrap_or_default();
        let fields = response.headers.iter().map(|it| (it.name, it.value));
        handshake::verify_response(status, fields, &key, &[])?;
        Ok(Self {
            stream,
            decoder: Decoder::new(Role::Client, LIMITS),
            endpoint: WebSocketEndpoint::new(Role::Client),
            input: vec![0; 16 * 1024],
        })
    }

    /// Waits for bytes. Nothing is lost when the future is dropped.
    pub(super) async fn read(&mut self) -> Received {
        match self.stream.read(&mut self.input).await {
            Ok(0) => ended("fin"),
            Ok(len) => self.take(len),
            Err(error) => ended(cause(&error)),
        }
    }

    fn take(&mut self, len: usize) -> Received {
        let (input, _) = self.input.split_at_mut(len);
        let mut received = Received::default();
        let mut reading = self.decoder.read(input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            let reply = match event {
                EndpointEvent::Message { payload, .. } => {
                    received.messages.push(payload.to_vec());
                    None
                }
                EndpointEvent::Ping { reply } => Some(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => None,
                EndpointEvent::Closed { reply, .. } => {
                    received.end = Some("fin");
                    reply
                }
                EndpointEvent::Failed { close, .. } => {
                    received.end = Some("unknown");
                    close
                }
            };
            if let Some(frame) = reply {
                append(frame.as_frame(), &mut received.replies);
            }
        }
        received
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// How the connection ended.
    pub(super) async fn send(&mut self, text: &str) -> Result<(), Cause> {
        self.write(Frame::unfragmented(Opcode::Text, text.as_bytes()))
            .await
    }

    /// Sends a ping.
    ///
    /// # Errors
    ///
    /// How the connection ended.
    pub(super) async fn ping(&mut self) -> Result<(), Cause> {
        self.write(Frame::unfragmented(Opcode::Ping, b"")).await
    }

    async fn write(&mut self, frame: Frame<'_>) -> Result<(), Cause> {
        let mut bytes = Vec::new();
        append(frame, &mut bytes);
        self.write_bytes(&bytes).await
    }

    /// Sends encoded frames.
    ///
    /// # Errors
    ///
    /// How the connection ended.
    pub(super) async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| cause(&error))
    }
}

fn ended(cause: Cause) -> Received {
    Received {
        end: Some(cause),
        ..Received::default()
    }
}

fn append(frame: Frame<'_>, output: &mut Vec<u8>) {
    let [a, b, c, d, ..] = random_bytes();
    frame.append_client(output, [a, b, c, d]);
}

fn cause(error: &io::Error) -> Cause {
    let is_reset = matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    );
    if is_reset { "rst" } else { "unknown" }
}

/// Reads exactly the head: the server sends nothing before the first request.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_BYTES_MAX, "the head is too long");
        let count = stream.read_buf(&mut head).await?;
        ensure!(count > 0, "the server ended the connection");
    }
    Ok(head)
}
