//! One open connection: reads, answers, closes. Knows no handshake; `opening` makes these.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use steadfast_protocol::websocket::close::ClosePayload;
use steadfast_protocol::websocket::mask::MaskKey;
use steadfast_protocol::websocket::{Decoder, Frame, Opcode, Role, WebSocketEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::LIMITS;

/// Half the size of a large socket buffer; one read takes what is there.
const READ_BYTES: usize = 64 * 1024;

/// How long an end waits for the other to go, once it has said that it closes.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What to do with the messages of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send each one back.
    Echo,
    /// Keep them for the caller.
    Collect,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    role: Role,
    decoder: Decoder,
    input: Vec<u8>,
    /// How many bytes of input came together with the handshake.
    early_len: usize,
    output: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

impl Connection {
    /// Takes over a stream after the handshake, with the bytes that came behind it.
    pub fn new(stream: TcpStream, role: Role, early: &[u8]) -> Self {
        let mut input = early.to_vec();
        input.resize(early.len().max(READ_BYTES), 0);
        Self {
            stream,
            role,
            decoder: Decoder::new(role, LIMITS),
            input,
            early_len: early.len(),
            output: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Answers until one end closes, then waits for the peer to go; returns what was collected.
    ///
    /// # Errors
    ///
    /// When the socket fails. What the peer does wrong is answered with a close frame and is no error.
    pub async fn run(mut self, answer: Answer) -> Result<Vec<Vec<u8>>> {
        let mut len = self.early_len;
        loop {
            let goes_on = self.take(len, answer);
            // All answers to one read leave in one write.
            self.stream
                .write_all(&self.output)
                .await
                .context("cannot write")?;
            self.output.clear();
            if !goes_on {
                break;
            }
            len = self
                .stream
                .read(&mut self.input)
                .await
                .context("cannot read")?;
            if len == 0 {
                return Ok(self.messages);
            }
        }
        self.leave().await;
        Ok(self.messages)
    }

    /// Takes one read in; false when the connection is over.
    fn take(&mut self, len: usize, answer: Answer) -> bool {
        let (input, _) = self.input.split_at_mut(len);
        let mut writer = Writer {
            role: self.role,
            output: &mut self.output,
        };
        let mut reading = self.decoder.read(input);
        loop {
            match reading.next_event() {
                Ok(Some(WebSocketEvent::Message { kind, payload })) => match answer {
                    Answer::Echo => writer.put(kind.into(), payload),
                    Answer::Collect => self.messages.push(payload.to_vec()),
                },
                Ok(Some(WebSocketEvent::Ping(payload))) => writer.put(Opcode::Pong, payload),
                Ok(Some(WebSocketEvent::Pong(_))) => {}
                Ok(Some(WebSocketEvent::Close { code, reason: _ })) => {
                    match code {
                        Some(code) => {
                            writer.put(Opcode::Close, ClosePayload::new(code, "").as_bytes());
                        }
                        None => writer.put(Opcode::Close, &[]),
                    }
                    return false;
                }
                Ok(None) => return true,
                Err(error) => {
                    let payload = ClosePayload::new(error.close_code(), error.reason());
                    writer.put(Opcode::Close, payload.as_bytes());
                    return false;
                }
            }
        }
    }

    /// Ends the connection so that the peer can still read the close frame: a socket that is dropped with unread input
    /// is reset, and a reset discards what was sent before.
    async fn leave(&mut self) {
        let farewell = async {
            if self.role == Role::Server {
                self.stream.shutdown().await?;
            }
            while self.stream.read(&mut self.input).await? > 0 {}
            std::io::Result::Ok(())
        };
        // A peer that stays or breaks off has been told all there is to tell.
        let _ended = timeout(CLOSE_WAIT, farewell).await;
    }
}

/// Frames for the peer, masked if this end is a client.
struct Writer<'a> {
    role: Role,
    output: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        let frame = Frame::unfragmented(opcode, payload);
        match self.role {
            Role::Server => frame.append_server(self.output),
            Role::Client => frame.append_client(self.output, random_key()),
        }
    }
}

/// Four bytes that differ from frame to frame. Good enough for a loopback; a client on a network takes the
/// operating system's randomness.
fn random_key() -> MaskKey {
    let [a, b, c, d, ..] = random_bytes();
    [a, b, c, d]
}

/// Eight bytes from the seed of the standard library's hash maps.
pub(crate) fn random_bytes() -> [u8; 8] {
    RandomState::new().hash_one(0_u8).to_ne_bytes()
}
