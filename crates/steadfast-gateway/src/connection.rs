//! One WebSocket connection of an event loop: the writing half of its socket, its queued buffers and its endpoint. Also
//! the table of all connections.
//!
//! An idle connection holds no buffer. Makes no decisions: the hub or a timeout determines what is closed and when.

use std::io::{self, IoSlice};
use std::mem;
use std::net::Shutdown;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{self, SendAncillaryBuffer, SendFlags, sockopt};
use socket2::SockRef;
use steadfast_hub::io::PeerId;
use steadfast_hub::peer_slots::PeerSlots;
use steadfast_machine::Instant;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::{Role, WebSocketEndpoint};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::kernel_limit::KernelLimit;
use crate::send_buffer::{SendBuffer, UnsentMemory};
use crate::write_batch::{QueuedBuffers, WriteBatch};

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
    /// What the kernel has not accepted; boxed, because there is nearly always nothing.
    send_buffer: Option<Box<SendBuffer>>,
    /// Wakes the connection's task.
    waker: Option<Waker>,
    /// The buffers that this iteration has queued.
    pub(crate) queued: QueuedBuffers,
    pub(crate) endpoint: WebSocketEndpoint,
    /// The encoding of the client's messages, which the upgrade selected.
    pub(crate) encoding: Encoding,
    read_interest: ReadInterest,
    /// How much the kernel may hold; without effect until the peer is slow.
    kernel_limit: KernelLimit,
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
            kernel_limit: KernelLimit::AUTOMATIC,
        }
    }

    /// Writes what is queued, or moves it to the send buffer if that is not empty.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub(crate) fn send(
        &mut self,
        batch: &mut WriteBatch,
        memory: &UnsentMemory,
    ) -> io::Result<SendOutcome> {
        let queued = mem::replace(&mut self.queued, QueuedBuffers::EMPTY);
        if let Some(send_buffer) = &mut self.send_buffer {
            batch.move_to_send_buffer(queued, 0, send_buffer, memory);
            return Ok(SendOutcome::Buffered);
        }
        let bytes = batch.gather(queued);
        let written = write_all(self.stream.as_ref(), bytes, self.kernel_limit)?;
        if written == bytes.len() {
            return Ok(SendOutcome::Complete);
        }
        let mut send_buffer = Box::new(SendBuffer::new(memory.clone()));
        batch.move_to_send_buffer(queued, written, &mut send_buffer, memory);
        self.send_buffer = Some(send_buffer);
        // The connection's task waits for writability from now on.
        self.wake();
        Ok(SendOutcome::Buffered)
    }

    /// Inserts a frame before everything in the send buffer of which nothing is written. Returns how many bytes are
    /// written before its end, or `None` if the send buffer is empty and the frame must be queued.
    pub(crate) fn send_first(&mut self, frame: &[u8]) -> Option<usize> {
        let send_buffer = self.send_buffer.as_mut()?;
        Some(send_buffer.insert_first(frame))
    }

    /// Sends the reply to a ping before everything in the send buffer, in place of an earlier one. Returns `false` if
    /// the send buffer is empty and the frame must be queued.
    pub(crate) fn send_pong_first(&mut self, frame: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(send_buffer) = &mut self.send_buffer else {
            return false;
        };
        send_buffer.set_pong(frame());
        true
    }

    /// Drops every frame of which nothing is written.
    pub(crate) fn discard_unsent(&mut self) {
        self.queued = QueuedBuffers::EMPTY;
        if let Some(send_buffer) = &mut self.send_buffer {
            send_buffer.discard();
            if send_buffer.bytes() == 0 {
                self.send_buffer = None;
            }
        }
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
            .map(|send_buffer| send_buffer.bytes())
    }

    /// Writes the send buffer whenever the socket accepts bytes; ready when the send buffer is empty.
    /// What the kernel may hold is limited if the socket has accepted nothing for long.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        let mut accepted = 0;
        while let Some(send_buffer) = &mut self.send_buffer {
            let stream: &TcpStream = self.stream.as_ref();
            let slices = send_buffer.next_slices(
                self.kernel_limit
                    .drain_write_bytes(accepted, send_buffer.waited(now)),
            );
            let written = retry(|| write_vectored(stream, &slices))?;
            send_buffer.advance(written);
            accepted += written;
            if written > 0 && send_buffer.is_waiting() {
                adapt(stream, &mut self.kernel_limit, send_buffer.waited(now));
                send_buffer.end_wait();
            }
            if send_buffer.bytes() == 0 {
                self.send_buffer = None;
            } else if written == 0 {
                send_buffer.begin_wait(now);
                ready!(stream.poll_write_ready(context))?;
                accepted = 0;
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

    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
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

/// Writes until the kernel accepts no more. Returns how many bytes it has accepted.
fn write_all(stream: &TcpStream, bytes: &[u8], limit: KernelLimit) -> io::Result<usize> {
    let (mut written, mut bytes_max) = (0, limit.first_write_bytes());
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let next = rest.get(..bytes_max).unwrap_or(rest);
        let accepted = retry(|| write(stream, next))?;
        written += accepted;
        if accepted < next.len() {
            break;
        }
        bytes_max = limit.next_write_bytes(written);
    }
    Ok(written)
}

/// Changes how much the kernel may hold after a wait. Without effect if the kernel refuses: the limit is not necessary for
/// anything but the delay of pings.
fn adapt(stream: &TcpStream, limit: &mut KernelLimit, waited: Duration) {
    let in_use = || u32::try_from(sockopt::socket_send_buffer_size(stream).ok()?).ok();
    let next = limit.after_wait(waited, in_use);
    if mem::replace(limit, next) != next
        && let Some(bytes) = next
            .bytes()
            .and_then(|bytes| usize::try_from(bytes.get()).ok())
    {
        // The kernel doubles what is set, and wakes the task if it accepts more now.
        sockopt::set_socket_send_buffer_size(stream, bytes / 2).unwrap_or_default();
    }
}

/// How the kernel takes each write. Without the end of a record it adds what follows to a packet that waits to be sent,
/// and such a packet may have 64 KiB: a slow link would have that much in the kernel, whatever its limit of unsent data.
const FLAGS: SendFlags = SendFlags::EOR.union(SendFlags::NOSIGNAL);

fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || Ok(net::send(stream, bytes, FLAGS)?))
}

fn write_vectored(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = SendAncillaryBuffer::default();
    stream.try_io(Interest::WRITABLE, || {
        Ok(net::sendmsg(stream, slices, &mut control, FLAGS)?)
    })
}

/// Writes again after an interruption. Returns 0 if the kernel accepts nothing now.
fn retry(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        return match write() {
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::thread;

    use socket2::{Domain, Socket, Type};
    use tokio::runtime;

    use super::*;
    use crate::kernel_limit::DRAIN_WRITE_BYTES;
    use crate::listen;

    /// The receive buffer of a peer that reads nothing; the kernel doubles it.
    const RECEIVE_BYTES: usize = 64 << 10;
    /// The send buffer of the kernel before anything is known about the peer; the kernel doubles it.
    const SEND_BYTES: usize = 32 << 10;
    /// More than the kernel accepts while the peer reads nothing.
    const UNSENT_BYTES: usize = 1 << 20;

    #[test]
    fn the_kernel_takes_at_most_one_write_beyond_its_limit_of_unsent_data() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let (peer, accepted) = connected_to_a_peer_that_reads_nothing();
        runtime.unwrap().block_on(async {
            let stream = TcpStream::from_std(accepted).unwrap();
            stream.writable().await.unwrap();
            let mut taken = 0;

            while let Ok(written) = write(&stream, &[0; DRAIN_WRITE_BYTES]) {
                taken += u64::try_from(written).unwrap();
            }

            let unsent = taken - rustix::io::ioctl_fionread(&peer).unwrap();
            let limit =
                u64::from(listen::NOT_SENT_BYTES) + u64::try_from(DRAIN_WRITE_BYTES).unwrap();
            assert!(unsent <= limit, "{unsent} of {taken}");
        });
    }

    #[test]
    fn the_kernel_holds_half_as_much_after_a_slow_wait_and_is_not_limited_after_a_short_one() {
        for (waited, is_slow) in [
            (Duration::from_secs(2), true),
            (Duration::from_millis(500), false),
        ] {
            let (limit, set, before) = limit_after_a_wait(waited);

            let half = is_slow.then_some(before / 2);
            assert_eq!(limit, half, "{waited:?}");
            assert!(half.is_none_or(|half| half == set), "{set}");
        }
    }

    #[test]
    fn the_kernel_may_hold_twice_as_much_for_a_peer_that_becomes_faster() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let (_peer, accepted) = connected_to_a_peer_that_reads_nothing();
        let _entered = runtime.as_ref().unwrap().enter();
        let stream = TcpStream::from_std(accepted).unwrap();
        let mut limit = KernelLimit::AUTOMATIC;

        adapt(&stream, &mut limit, Duration::from_secs(2));
        let slow = sockopt::socket_send_buffer_size(&stream).unwrap();
        adapt(&stream, &mut limit, Duration::ZERO);

        assert_eq!(sockopt::socket_send_buffer_size(&stream).unwrap(), 2 * slow);
    }

    /// Lets the socket accept nothing for this time, and then something. Returns the limit then, what the kernel applies
    /// then, and what it applied before.
    fn limit_after_a_wait(waited: Duration) -> (Option<usize>, usize, usize) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let (mut peer, accepted) = connected_to_a_peer_that_reads_nothing();
        runtime.unwrap().block_on(async {
            let (reading, writing) = TcpStream::from_std(accepted).unwrap().into_split();
            let mut connection = Connection::new(writing, Encoding::Json);
            let mut send_buffer = SendBuffer::new(UnsentMemory::default());
            send_buffer.push_whole(&vec![0; UNSENT_BYTES]);
            connection.send_buffer = Some(Box::new(send_buffer));
            // The first poll sees that the socket accepts bytes; then the wait begins.
            connection.stream.writable().await.unwrap();
            let now = Instant::START;
            let is_waiting = poll_once(&mut connection, now).await;
            assert!(is_waiting);
            let unsent = connection.send_buffer_bytes();
            let applied = |connection: &Connection| {
                sockopt::socket_send_buffer_size(connection.stream.as_ref()).unwrap()
            };
            let before = applied(&connection);

            let reader = thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
            connection.stream.writable().await.unwrap();
            poll_once(&mut connection, now + waited).await;

            assert!(connection.send_buffer_bytes() < unsent);
            let limit = connection.kernel_limit.bytes();
            let limit = limit.map(|bytes| usize::try_from(bytes.get()).unwrap());
            let after = applied(&connection);
            drop((connection, reading));
            reader.join().unwrap().unwrap();
            (limit, after, before)
        })
    }

    /// Writes once. Returns whether the socket accepts no more.
    async fn poll_once(connection: &mut Connection, now: Instant) -> bool {
        poll_fn(|context| Poll::Ready(connection.poll_drain(context, now).is_pending())).await
    }

    fn connected_to_a_peer_that_reads_nothing() -> (Socket, std::net::TcpStream) {
        let address = listen::probe(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let listener = listen::listeners(address, 1).unwrap().remove(0);
        listener.set_nonblocking(false).unwrap();
        let peer = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        peer.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        peer.connect(&address.into()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        sockopt::set_socket_send_buffer_size(&accepted, SEND_BYTES).unwrap();
        (peer, accepted)
    }
}
