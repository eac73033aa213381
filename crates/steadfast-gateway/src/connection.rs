//! One WebSocket as its event loop keeps it: the writing half of the socket, what is owed to it, and how far it is on
//! its way out. And the table of all of them.
//!
//! An idle connection holds no buffer. Decides nothing: who is closed and when is the hub's word, or the clock's.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use steadfast_hub::io::PeerId;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::turn::Chain;

/// Where a connection stands between its upgrade and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages go both ways.
    Open,
    /// Our close frame is out or on its way; the peer's is awaited, its messages are dropped.
    Closing,
    /// As `Closing` after traffic that cannot be decoded: only the end of the stream is awaited.
    Deaf,
    /// Both close frames exist; the socket is dropped once nothing waits.
    Finishing,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A peer of the hub.
    Client,
    /// The echo of the test configuration; the hub does not know it.
    Echo,
}

/// Whether the socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// It is.
    Running,
    /// It is not, until the hub has caught up or the echo has drained.
    Paused,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The system took everything.
    All,
    /// Something waits now.
    Some,
}

/// One WebSocket.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: OwnedWriteHalf,
    /// What the system did not take; boxed, because nearly always there is nothing.
    backlog: Option<Box<BytesMut>>,
    /// Wakes the connection's task.
    waker: Option<Waker>,
    /// What this turn owes it.
    pub(crate) chain: Chain,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    intake: Intake,
}

impl Connection {
    pub(crate) const fn new(stream: OwnedWriteHalf, kind: Kind) -> Self {
        Self {
            stream,
            backlog: None,
            waker: None,
            chain: Chain::EMPTY,
            kind,
            phase: Phase::Open,
            intake: Intake::Running,
        }
    }

    /// Writes once, or appends to what waits already.
    ///
    /// # Errors
    ///
    /// When the socket is broken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        if let Some(backlog) = &mut self.backlog {
            backlog.extend_from_slice(bytes);
            return Ok(Sent::Some);
        }
        let written = try_write(self.stream.as_ref(), bytes)?;
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Sent::All);
        }
        self.backlog = Some(Box::new(BytesMut::from(rest)));
        // Its task waits for writability from now on.
        self.wake();
        Ok(Sent::Some)
    }

    /// True while the system has not taken everything.
    pub(crate) const fn has_backlog(&self) -> bool {
        self.backlog.is_some()
    }

    /// How many bytes the system has not taken yet; none when nothing waits.
    pub(crate) fn backlog_bytes(&self) -> Option<usize> {
        self.backlog.as_ref().map(|backlog| backlog.len())
    }

    /// Writes what waits whenever the socket takes some; ready when nothing waits any more.
    pub(crate) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(backlog) = &mut self.backlog {
            let stream: &TcpStream = self.stream.as_ref();
            let written = try_write(stream, backlog)?;
            backlog.advance(written);
            if backlog.is_empty() {
                self.backlog = None;
            } else if written == 0 {
                ready!(stream.poll_write_ready(context))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// True unless reading is paused.
    pub(crate) const fn is_read(&self) -> bool {
        matches!(self.intake, Intake::Running)
    }

    /// Stops or goes on reading.
    pub(crate) fn set_intake(&mut self, intake: Intake) {
        if mem::replace(&mut self.intake, intake) == Intake::Paused && intake == Intake::Running {
            self.wake();
        }
    }

    /// Remembers how to wake the task. The same task always, so nothing is cloned but the first time.
    pub(crate) fn remember(&mut self, waker: &Waker) {
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

    /// Ends the stream towards the peer; what it still sends can be read.
    pub(crate) fn end_stream(&self) {
        // A socket that is broken already needs no end.
        drop(SockRef::from(self.stream.as_ref()).shutdown(Shutdown::Write));
    }

    /// Makes the coming end a reset, so that nothing of it stays in the system.
    fn reset(&self) {
        // A socket that is broken already is reset.
        drop(SockRef::from(self.stream.as_ref()).set_linger(Some(Duration::ZERO)));
    }

    /// Ends the connection's part of the table; its task notices and drops the other half.
    fn end(self) {
        self.wake();
        // Both halves gone close the socket; an extra shutdown of one would only be another call.
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

/// All connections of one core, by place; the generation of a place tells its users apart.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Connections {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives a connection a place.
    pub(crate) fn insert(&mut self, connection: Connection) -> PeerId {
        if let Some(index) = self.free.pop()
            && let Some(slot) = slot_mut(&mut self.slots, index)
        {
            slot.generation = slot.generation.wrapping_add(1);
            slot.connection = Some(connection);
            return PeerId {
                index,
                generation: slot.generation,
            };
        }
        let index = u32::try_from(self.slots.len())
            .expect("the system has fewer sockets than 32 bits count");
        self.slots.push(Slot {
            generation: 0,
            connection: Some(connection),
        });
        PeerId {
            index,
            generation: 0,
        }
    }

    /// The connection, unless it is gone.
    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Connection> {
        let slot = slot_mut(&mut self.slots, peer.index)?;
        if slot.generation == peer.generation {
            slot.connection.as_mut()
        } else {
            None
        }
    }

    /// Whoever has this place now.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<(PeerId, &mut Connection)> {
        let slot = slot_mut(&mut self.slots, index)?;
        let peer = PeerId {
            index,
            generation: slot.generation,
        };
        Some((peer, slot.connection.as_mut()?))
    }

    /// Forgets a connection and ends it. True if it was there.
    pub(crate) fn remove(&mut self, peer: PeerId) -> bool {
        self.take(peer).map(Connection::end).is_some()
    }

    /// As `remove`, but what still waits is thrown away with a reset. True if it was there.
    pub(crate) fn remove_hard(&mut self, peer: PeerId) -> bool {
        let connection = self.take(peer);
        connection
            .map(|connection| {
                connection.reset();
                connection.end();
            })
            .is_some()
    }

    /// All that are there, in order of places.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        let places = (0..).zip(&self.slots);
        let taken = places.filter(|(_, slot)| slot.connection.is_some());
        taken
            .map(|(index, slot)| PeerId {
                index,
                generation: slot.generation,
            })
            .collect()
    }

    fn take(&mut self, peer: PeerId) -> Option<Connection> {
        let slot = slot_mut(&mut self.slots, peer.index)?;
        if slot.generation != peer.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        self.free.push(peer.index);
        Some(connection)
    }
}

fn slot_mut(slots: &mut [Slot], index: u32) -> Option<&mut Slot> {
    slots.get_mut(usize::try_from(index).ok()?)
}
