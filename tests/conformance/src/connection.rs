//! One open connection: reads, replies, closes. Independent of the handshake, which `handshake` performs.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use steadfast_protocol::websocket::mask::MaskKey;
use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Role, WebSocketEndpoint, WrittenAction,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::LIMITS;

/// Maximum size of one read: half the size of a large socket buffer.
const READ_BYTES: usize = 64 * 1024;

/// How long this side waits for the peer to close, after this side has sent its close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do with the messages of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageHandling {
    /// Send each message back.
    Echo,
    /// Return all messages to the caller.
    Collect,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    role: Role,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    input: Vec<u8>,
    /// The number of input bytes that arrived with the handshake.
    early_len: usize,
    output: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

impl Connection {
    /// Wraps a stream after the handshake, with the bytes that followed the handshake.
    pub fn new(stream: TcpStream, role: Role, early: &[u8]) -> Self {
        let mut input = early.to_vec();
        input.resize(early.len().max(READ_BYTES), 0);
        Self {
            stream,
            role,
            decoder: Decoder::new(role, LIMITS),
            endpoint: WebSocketEndpoint::new(role),
            input,
            early_len: early.len(),
            output: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Serves the connection until one side closes it, then waits for the peer to close; returns the collected
    /// messages.
    ///
    /// # Errors
    ///
    /// When the socket fails. A protocol violation of the peer gets a close frame and is not an error.
    pub async fn run(mut self, handling: MessageHandling) -> Result<Vec<Vec<u8>>> {
        let mut len = self.early_len;
        loop {
            self.take(len, handling);
            // All replies to one read are sent with one write.
            self.stream
                .write_all(&self.output)
                .await
                .context("failed to write")?;
            self.output.clear();
            match self.endpoint.written_action() {
                WrittenAction::KeepOpen => {}
                WrittenAction::ShutDownSending | WrittenAction::CloseStream => break,
            }
            len = self
                .stream
                .read(&mut self.input)
                .await
                .context("failed to read")?;
            if len == 0 {
                return Ok(self.messages);
            }
        }
        self.close_gracefully().await;
        Ok(self.messages)
    }

    /// Handles the bytes of one read.
    fn take(&mut self, len: usize, handling: MessageHandling) {
        let (input, _) = self.input.split_at_mut(len);
        let mut writer = Writer {
            role: self.role,
            output: &mut self.output,
        };
        let mut reading = self.decoder.read(input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            let reply = match event {
                EndpointEvent::Message { kind, payload } => {
                    match handling {
                        MessageHandling::Echo => {
                            writer.put(Frame::unfragmented(kind.into(), payload));
                        }
                        MessageHandling::Collect => self.messages.push(payload.to_vec()),
                    }
                    None
                }
                EndpointEvent::Ping { reply } => Some(reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => None,
                EndpointEvent::Closed { reply, .. } => reply,
                EndpointEvent::Failed { close, .. } => close,
            };
            if let Some(frame) = reply {
                writer.put(frame.as_frame());
            }
        }
    }

    /// Closes the connection so that the peer can still read the close frame: a socket that is dropped with unread
    /// input is reset, and a reset discards what was sent before.
    async fn close_gracefully(&mut self) {
        let wait_for_end = async {
            if self.role == Role::Server {
                self.stream.shutdown().await?;
            }
            while self.stream.read(&mut self.input).await? > 0 {}
            std::io::Result::Ok(())
        };
        // The close frame was sent, so it does not matter whether the peer stays connected or the socket fails.
        let _ended = timeout(CLOSE_TIMEOUT, wait_for_end).await;
    }
}

/// Frames for the peer, masked if this end is a client.
struct Writer<'a> {
    role: Role,
    output: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, frame: Frame<'_>) {
        match self.role {
            Role::Server => frame.append_server(self.output),
            Role::Client => frame.append_client(self.output, random_key()),
        }
    }
}

/// Returns four bytes that differ from frame to frame. Sufficient on loopback; a client on a network uses the operating
/// system's randomness.
fn random_key() -> MaskKey {
    let [a, b, c, d, ..] = random_bytes();
    [a, b, c, d]
}

/// Returns eight bytes from the seed of the standard library's hash maps.
pub(crate) fn random_bytes() -> [u8; 8] {
    RandomState::new().hash_one(0_u8).to_ne_bytes()
}
