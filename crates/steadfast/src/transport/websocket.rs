//! An open WebSocket: queues frames, writes when the socket is writable, and returns complete messages.
//!
//! The endpoint of the protocol crate decides the replies to pings and close frames. It has no clock: the
//! session detects idle connections and write stalls.

mod keys;
mod send_queue;

use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use steadfast_core::event::ConnectionErrorKind;
use steadfast_machine::convert;
use steadfast_protocol::websocket::{
    CodecError, Content, Decoder, EndpointEvent, Frame, MessageKind, Opcode, Role,
    WebSocketEndpoint, WebSocketLimits,
};
use thiserror::Error;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use self::send_queue::SendQueue;
use super::stream::Stream;

/// Size of one read in bytes. The buffer is on the stack, so that an idle connection has no read buffer.
const READ_BYTES: usize = 16 << 10;
/// Maximum number of fragments of one message.
const FRAGMENTS_MAX: u32 = 1_024;
/// Write buffers with a larger capacity are freed when they are empty.
const RETAINED_BYTES_MAX: usize = 16 << 10;

/// A message or control frame from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A complete message.
    Message {
        /// Type of the message.
        kind: MessageKind,
        /// Payload after unmasking.
        payload: Bytes,
    },
    /// A part of a message above the limit.
    Skipped {
        /// Payload after unmasking.
        part: Bytes,
        /// Whether the message ends with this part.
        is_last: bool,
    },
    /// The reply to a ping. Its payload does not matter: nothing but a ping of this client causes it.
    Pong,
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
pub(crate) enum ReadError {
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

impl ReadError {
    /// How the connection ended.
    pub(crate) fn kind(&self) -> ConnectionErrorKind {
        match self {
            Self::EndOfStream => ConnectionErrorKind::EndOfStream,
            Self::Io(error) => kind_of(error),
            Self::Codec(_) => ConnectionErrorKind::Other,
        }
    }

    /// Whether the peer sent a message above the limit.
    pub(crate) const fn is_message_too_large(&self) -> bool {
        matches!(
            self,
            Self::Codec(CodecError::FrameTooLong | CodecError::MessageTooLong)
        )
    }
}

/// How a connection with this error of the system ended.
pub(crate) fn kind_of(error: &io::Error) -> ConnectionErrorKind {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let kind = error.kind();
    if kind == UnexpectedEof {
        // TLS without the message that ends it.
        ConnectionErrorKind::EndOfStream
    } else if [ConnectionReset, BrokenPipe, ConnectionAborted].contains(&kind) {
        // A write after a reset is a broken pipe; the system aborts what it resets itself.
        ConnectionErrorKind::Reset
    } else if kind == TimedOut {
        ConnectionErrorKind::TimedOut
    } else {
        ConnectionErrorKind::Other
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: Stream,
    decoder: Decoder,
    endpoint: WebSocketEndpoint,
    /// The bytes that were received after the response to the upgrade.
    unread: Vec<u8>,
    /// The buffer that is being written, and how much of it was written.
    current: Vec<u8>,
    current_written: usize,
    queue: SendQueue,
    written_total: u64,
    needs_flush: bool,
}

impl WebSocket {
    /// Messages above `message_bytes_max` are skipped up to `skipped_bytes_max`, or end the connection without it.
    pub(crate) fn new(
        stream: Stream,
        unread: Vec<u8>,
        message_bytes_max: u32,
        skipped_bytes_max: Option<u32>,
    ) -> Self {
        let limits = WebSocketLimits {
            message_bytes_max,
            frame_bytes_max: message_bytes_max,
            fragments_max: FRAGMENTS_MAX,
        };
        Self {
            stream,
            decoder: match skipped_bytes_max {
                Some(bytes_max) => Decoder::skipping(Role::Client, limits, bytes_max),
                None => Decoder::new(Role::Client, limits),
            },
            endpoint: WebSocketEndpoint::new(Role::Client),
            unread,
            current: Vec::new(),
            current_written: 0,
            queue: SendQueue::default(),
            written_total: 0,
            needs_flush: false,
        }
    }

    /// Queues a text message; ignored after a close frame.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    pub(crate) fn queue_text(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue_open(Opcode::Text, payload)
    }

    /// Queues a binary message; ignored after a close frame.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    pub(crate) fn queue_binary(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue_open(Opcode::Binary, payload)
    }

    /// Queues a ping with this payload, at most 125 bytes, before all messages; ignored after a close frame.
    ///
    /// # Errors
    ///
    /// The system provides no random bytes for the mask.
    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> io::Result<()> {
        self.queue_open(Opcode::Ping, payload)
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
    pub(crate) fn queue_close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let close = self.endpoint.close(code, reason);
        self.queue.append_control(close.as_ref())
    }

    fn queue_open(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        if self.endpoint.is_open() {
            self.queue.append(Frame::unfragmented(opcode, payload))
        } else {
            Ok(())
        }
    }

    /// Returns the number of bytes that were queued so far, including frame headers.
    pub(crate) const fn queued_total(&self) -> u64 {
        self.queue.queued_total()
    }

    /// Returns the number of bytes that were written to the socket so far.
    pub(crate) const fn written_total(&self) -> u64 {
        self.written_total
    }

    /// Returns `true` while queued bytes are not written or flushed.
    pub(crate) const fn has_unsent(&self) -> bool {
        self.written_total < self.queue.queued_total() || self.needs_flush
    }

    /// Writes queued bytes; ready with the number of bytes written, pending while no bytes can be written or no bytes
    /// are queued.
    pub(crate) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut sent = 0;
        while self.load() {
            let rest = self.current.get(self.current_written..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.current_written += count;
                    self.written_total += convert::to_u64(count);
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
        mem::swap(&mut self.current, self.queue.next_lane());
        !self.current.is_empty()
    }

    /// Reads once and appends complete messages and frames; ready with the number of received bytes, which reset the
    /// idle time even when they complete no message.
    ///
    /// # Errors
    ///
    /// No more data can be received. Messages that arrived before are in `arrivals`.
    pub(crate) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        arrivals: &mut Vec<Arrival>,
    ) -> Poll<Result<usize, ReadError>> {
        if !self.unread.is_empty() {
            let mut unread = mem::take(&mut self.unread);
            return Poll::Ready(self.decode(&mut unread, arrivals));
        }
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut bytes);
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
        let mut outcome = Ok(input.len());
        let mut reading = self.decoder.read(input);
        while let Some(event) = self.endpoint.next_content(&mut reading) {
            let queued = match event {
                EndpointEvent::Message { kind, payload } => {
                    arrivals.push(match payload {
                        Content::Whole(payload) => Arrival::Message {
                            kind,
                            payload: Bytes::copy_from_slice(payload),
                        },
                        Content::Skipped(part) => Arrival::Skipped {
                            part: Bytes::copy_from_slice(part.bytes),
                            is_last: part.is_last,
                        },
                    });
                    Ok(())
                }
                EndpointEvent::Pong(_) => {
                    arrivals.push(Arrival::Pong);
                    Ok(())
                }
                EndpointEvent::Ping { reply } => self.queue.append_pong(&reply),
                EndpointEvent::Dropped => Ok(()),
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => {
                    arrivals.push(Arrival::CloseFrame {
                        code,
                        reason: reason.to_owned(),
                    });
                    self.queue.append_control(reply.as_ref())
                }
                EndpointEvent::Failed { error, close } => {
                    outcome = outcome.and(Err(ReadError::Codec(error)));
                    self.queue.append_control(close.as_ref())
                }
            };
            if let Err(error) = queued {
                outcome = Err(error.into());
            }
        }
        outcome
    }

    /// Shuts down the sending half; the caller writes all queued bytes first.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
