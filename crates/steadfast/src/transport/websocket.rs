//! An open WebSocket: queues frames, writes when the socket is writable, and returns complete messages.
//!
//! It queues frames in two lanes: control frames are sent before messages, so that a ping is not delayed by megabytes
//! of messages. It replies to pings automatically. It has no clock: the session detects idle connections and write
//! stalls.

mod keys;

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use steadfast_protocol::websocket::{
    CodecError, Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent, WebSocketLimits, close,
};
use thiserror::Error;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use self::keys::MaskKeys;
use super::stream::Stream;

/// Size of one read in bytes. The buffer is on the stack, so that an idle connection has no read buffer.
const READ_BYTES: usize = 16 << 10;
/// Maximum number of fragments of one message.
const FRAGMENTS_MAX: u32 = 1_024;
/// Number of queued bytes of control frames from which pings get no reply: the peer does not read.
const CONTROL_BYTES_MAX: usize = 4 << 10;
/// Write buffers with a larger capacity are freed when they are empty.
const RETAINED_BYTES_MAX: usize = 16 << 10;

/// A message or control frame from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A complete message.
    Message {
        /// Type of the message.
        kind: MessageKind,
        /// Payload after unmasking.
        payload: Bytes,
    },
    /// The reply to a ping.
    Pong(Bytes),
    /// The peer sent a close frame; nothing arrives after it.
    CloseFrame {
        /// Close code, if there is one.
        code: Option<u16>,
        /// Close reason; may be empty.
        reason: String,
    },
}

/// Why no more data can be received.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream ended without a close frame.
    #[error("the connection ended without a close frame")]
    EndOfStream,
    /// An error from the system, for example a connection reset.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer violated the protocol. A close frame with the reason is queued.
    #[error("invalid frame from the peer: {0}")]
    Codec(CodecError),
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: Stream,
    decoder: Decoder,
    /// The bytes that were received after the response to the upgrade.
    unread: Vec<u8>,
    /// The buffer that is being written, and how much of it was written.
    current: Vec<u8>,
    current_written: usize,
    control: Vec<u8>,
    messages: Vec<u8>,
    keys: MaskKeys,
    queued_total: u64,
    written_total: u64,
    is_closing: bool,
    needs_flush: bool,
}

impl WebSocket {
    pub(crate) fn new(stream: Stream, unread: Vec<u8>, message_bytes_max: u32) -> Self {
        let limits = WebSocketLimits {
            message_bytes_max,
            frame_bytes_max: message_bytes_max,
            fragments_max: FRAGMENTS_MAX,
        };
        Self {
            stream,
            decoder: Decoder::new(Role::Client, limits),
            unread,
            current: Vec::new(),
            current_written: 0,
            control: Vec::new(),
            messages: Vec::new(),
            keys: MaskKeys::default(),
            queued_total: 0,
            written_total: 0,
            is_closing: false,
            needs_flush: false,
        }
    }

    /// Queues a text message; ignored after a close frame.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    pub fn queue_text(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue(Opcode::Text, payload)
    }

    /// Queues a ping with this payload, at most 125 bytes, before all messages.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    pub fn queue_ping(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue(Opcode::Ping, payload)
    }

    /// Queues a close frame after all queued frames; no frame can be queued after it.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    ///
    /// # Panics
    ///
    /// If the code must not be sent in a close frame.
    pub fn queue_close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let payload = close::ClosePayload::new(code, reason);
        self.queue_close_payload(payload.as_bytes())
    }

    fn queue_close_payload(&mut self, payload: &[u8]) -> io::Result<()> {
        // The last frame of the connection: after the messages, not among the other control frames.
        let outcome = self.append(Lane::Messages, Opcode::Close, payload);
        self.is_closing = true;
        outcome
    }

    fn queue(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let lane = if opcode.is_control() {
            Lane::Control
        } else {
            Lane::Messages
        };
        self.append(lane, opcode, payload)
    }

    fn append(&mut self, lane: Lane, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        if self.is_closing {
            return Ok(());
        }
        let key = self.keys.next()?;
        let lane = match lane {
            Lane::Control => &mut self.control,
            Lane::Messages => &mut self.messages,
        };
        let before = lane.len();
        Frame::unfragmented(opcode, payload).append_client(lane, key);
        self.queued_total += widen(lane.len() - before);
        Ok(())
    }

    /// Returns the number of bytes that were queued so far, including frame headers.
    pub const fn queued_total(&self) -> u64 {
        self.queued_total
    }

    /// Returns the number of bytes that were written to the socket so far.
    pub const fn written_total(&self) -> u64 {
        self.written_total
    }

    /// Returns `true` while queued bytes are not written or flushed.
    pub const fn has_unsent(&self) -> bool {
        self.written_total < self.queued_total || self.needs_flush
    }

    /// Writes queued bytes; ready with the number of bytes written, pending while no bytes can be written or no bytes
    /// are queued.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut sent = 0;
        while self.load() {
            let rest = self.current.get(self.current_written..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.current_written += count;
                    self.written_total += widen(count);
                    self.needs_flush = true;
                    sent += count;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if sent > 0 => return Poll::Ready(Ok(sent)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.needs_flush {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if sent > 0 {
            Poll::Ready(Ok(sent))
        } else {
            Poll::Pending
        }
    }

    /// Loads the next queued bytes into the current buffer; `false` when none are queued.
    fn load(&mut self) -> bool {
        if self.current_written < self.current.len() {
            return true;
        }
        self.current.clear();
        self.current_written = 0;
        if self.current.capacity() > RETAINED_BYTES_MAX {
            self.current = Vec::new();
        }
        let lane = if self.control.is_empty() {
            &mut self.messages
        } else {
            &mut self.control
        };
        mem::swap(&mut self.current, lane);
        !self.current.is_empty()
    }

    /// Reads once and appends complete messages and frames; ready with the number of received bytes, which reset the
    /// idle time even when they complete no message.
    ///
    /// # Errors
    ///
    /// No more data can be received. Messages that arrived before are in `arrivals`.
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        arrivals: &mut Vec<Arrival>,
    ) -> Poll<Result<usize, ReadError>> {
        if !self.unread.is_empty() {
            let mut unread = mem::take(&mut self.unread);
            return Poll::Ready(self.decode(&mut unread, arrivals));
        }
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Poll::Ready(Err(ReadError::EndOfStream))
            }
            Poll::Ready(Ok(())) => Poll::Ready(self.decode(buffer.filled_mut(), arrivals)),
        }
    }

    fn decode(
        &mut self,
        input: &mut [u8],
        arrivals: &mut Vec<Arrival>,
    ) -> Result<usize, ReadError> {
        let count = input.len();
        let mut pings: Vec<Vec<u8>> = Vec::new();
        let mut reading = self.decoder.read(input);
        let outcome = loop {
            match reading.next_event() {
                Ok(Some(WebSocketEvent::Message { kind, payload })) => {
                    arrivals.push(Arrival::Message {
                        kind,
                        payload: Bytes::copy_from_slice(payload),
                    });
                }
                Ok(Some(WebSocketEvent::Ping(payload))) => pings.push(payload.to_vec()),
                Ok(Some(WebSocketEvent::Pong(payload))) => {
                    arrivals.push(Arrival::Pong(Bytes::copy_from_slice(payload)));
                }
                Ok(Some(WebSocketEvent::Close { code, reason })) => {
                    arrivals.push(Arrival::CloseFrame {
                        code,
                        reason: reason.to_owned(),
                    });
                }
                Ok(None) => break Ok(count),
                Err(error) => break Err(error),
            }
        };
        for ping in pings {
            if self.control.len() < CONTROL_BYTES_MAX {
                self.queue(Opcode::Pong, &ping)?;
            }
        }
        self.reply_to_close(arrivals)?;
        match outcome {
            Ok(count) => Ok(count),
            Err(error) => {
                self.queue_close(error.close_code(), error.reason())?;
                Err(ReadError::Codec(error))
            }
        }
    }

    /// Replies to a close frame with the same code (RFC 6455, section 5.5.1).
    fn reply_to_close(&mut self, arrivals: &[Arrival]) -> io::Result<()> {
        match arrivals.last() {
            Some(Arrival::CloseFrame {
                code: Some(code), ..
            }) => self.queue_close(*code, ""),
            Some(Arrival::CloseFrame { code: None, .. }) => self.queue_close_payload(&[]),
            Some(Arrival::Message { .. } | Arrival::Pong(_)) | None => Ok(()),
        }
    }

    /// Shuts down the sending half; the caller writes all queued bytes first.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The queue of a frame.
#[derive(Clone, Copy, Debug)]
enum Lane {
    Control,
    Messages,
}

fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
