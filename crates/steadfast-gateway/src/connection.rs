//! One WebSocket connection of an event loop: the writing half of its socket, its queued buffers and its endpoint. Also
//! the table of all connections.
//!
//! An idle connection holds no buffer. Makes no decisions: the hub or a timeout determines what is closed and when.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use steadfast_hub::io::PeerId;
use steadfast_hub::peer_slots::PeerSlots;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::{Role, WebSocketEndpoint};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::write_batch::QueuedBuffers;

/// Whether the socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadInterest {
    /// The socket is read.
    Reading,
    /// The socket is not read until the hub resumes it.
    Paused,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    /// The kernel accepted everything.
    Complete,
    /// The rest is in the send buffer.
    Buffered,
}

/// One WebSocket connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: OwnedWriteHalf,
    /// Bytes that the kernel has not accepted; boxed, because there are nearly always none.
    send_buffer: Option<Box<BytesMut>>,
    /// Wakes the connection's task.
    waker: Option<Waker>,
    /// The buffers that this iteration has queued.
    pub(crate) queued: QueuedBuffers,
    pub(crate) endpoint: WebSocketEndpoint,
    /// The encoding of the client's messages, which the upgrade selected.
    pub(crate) encoding: Encoding,
    read_interest: ReadInterest,
}

impl Connection {
    pub(crate) const fn new(stream: OwnedWriteHalf, encoding: Encoding) -> Self {
        Self {
            stream,
            send_buffer: None,
            waker: None,
            queued: QueuedBuffers::EMPTY,
            endpoint: WebSocketEndpoint::new(Role::Server),
            encoding,
            read_interest: ReadInterest::Reading,
        }
    }

    /// Writes once, or appends to the send buffer if it is not empty.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<SendOutcome> {
        if let Some(send_buffer) = &mut self.send_buffer {
            send_buffer.extend_from_slice(bytes);
            return Ok(SendOutcome::Buffered);
        }
        let written = try_write(self.stream.as_ref(), bytes)?;
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(SendOutcome::Complete);
        }
        self.send_buffer = Some(Box::new(BytesMut::from(rest)));
        // The connection's task waits for writability from now on.
        self.wake();
        Ok(SendOutcome::Buffered)
    }

    /// Whether the kernel has accepted everything that was queued.
    pub(crate) const fn is_written(&self) -> bool {
        self.queued.is_empty() && !self.has_send_buffer()
    }

    /// Whether the send buffer holds bytes that the kernel has not accepted yet.
    pub(crate) const fn has_send_buffer(&self) -> bool {
        self.send_buffer.is_some()
    }

    /// Returns how many bytes the kernel has not accepted yet, or `None` when there are none.
    pub(crate) fn send_buffer_bytes(&self) -> Option<usize> {
        self.send_buffer
            .as_ref()
            .map(|send_buffer| send_buffer.len())
    }

    /// Writes the send buffer whenever the socket accepts bytes; ready when the send buffer is empty.
    pub(crate) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(send_buffer) = &mut self.send_buffer {
            let stream: &TcpStream = self.stream.as_ref();
            let written = try_write(stream, send_buffer)?;
            send_buffer.advance(written);
            if send_buffer.is_empty() {
                self.send_buffer = None;
            } else if written == 0 {
                ready!(stream.poll_write_ready(context))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether reading is not paused.
    pub(crate) const fn is_reading(&self) -> bool {
        matches!(self.read_interest, ReadInterest::Reading)
    }

    /// Pauses or resumes reading.
    pub(crate) fn set_read_interest(&mut self, read_interest: ReadInterest) {
        if mem::replace(&mut self.read_interest, read_interest) == ReadInterest::Paused
            && read_interest == ReadInterest::Reading
        {
            self.wake();
        }
    }

    /// Stores the waker of the connection's task. The task is always the same, so the waker is cloned only once.
    pub(crate) fn store_waker(&mut self, waker: &Waker) {
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.waker = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Shuts down the sending direction; what the peer still sends can be read.
    pub(crate) fn shutdown_write(&self) {
        // A socket that has failed already needs no shutdown.
        drop(SockRef::from(self.stream.as_ref()).shutdown(Shutdown::Write));
    }

    /// Turns the close that follows into a reset, so that the kernel keeps no unsent data.
    fn reset(&self) {
        // A socket that has failed already is reset.
        drop(SockRef::from(self.stream.as_ref()).set_linger(Some(Duration::ZERO)));
    }

    /// Drops the writing half; the connection's task notices and drops the other half.
    fn close(self) {
        self.wake();
        // Dropping both halves closes the socket; a shutdown of one half would only be an extra system call.
        self.stream.forget();
    }
}

fn try_write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match stream.try_write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

/// All connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: PeerSlots<Connection>,
}

impl Connections {
    /// Returns the number of connections.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Stores a connection in a free slot.
    pub(crate) fn insert(&mut self, connection: Connection) -> PeerId {
        self.slots.insert(connection)
    }

    /// Returns the connection, unless it is closed.
    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.slots.get_mut(peer)
    }

    /// Returns the connection that uses this slot now.
    pub(crate) fn at_index_mut(&mut self, index: u32) -> Option<(PeerId, &mut Connection)> {
        self.slots.at_index_mut(index)
    }

    /// Removes and closes a connection.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        if let Some(connection) = self.slots.remove(peer) {
            connection.close();
        }
    }

    /// As `remove`, but discards the send buffer and resets the connection. Returns whether it existed.
    pub(crate) fn remove_with_reset(&mut self, peer: PeerId) -> bool {
        let connection = self.slots.remove(peer);
        connection
            .map(|connection| {
                connection.reset();
                connection.close();
            })
            .is_some()
    }
}
