//! Moves the bytes of one connection: straight from socket to socket while no toxic affects it, and through the machines
//! of its toxics otherwise.
//!
//! A direct relay has no buffer of its own. All connections of a thread share one, which holds bytes only between a read
//! and the write after it; what a socket does not accept is copied out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use steadfast_faults::link::Direction;
use steadfast_faults::toxic::{Ending, Path, Pipeline, Step, ToxicChange};
use steadfast_machine::{Instant, convert};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::connection::Shared;
use crate::control::Control;
use crate::event::EventKind;
use crate::mailbox::Request;
use crate::toxics::News;
use crate::traffic::Meter;

/// The size of the shared buffer: a read of this size costs less per byte than the copy itself.
const BUFFER_BYTES: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why a relay ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides sent a FIN, which the other one received.
    Finished,
    /// A socket failed; its peer would notice it in this direction.
    Failed(String, Direction),
    /// A call requested it.
    Requested(Request),
    /// This toxic of this direction ended it.
    Toxic(Arc<str>, Ending, Direction),
}

/// One direction of a relay.
#[derive(Debug, Default)]
struct Half {
    /// Bytes that the receiver's socket has not accepted; at most one read.
    pending: Bytes,
    /// The sender has finished.
    has_read_fin: bool,
    /// The receiver's socket was shut down.
    has_sent_fin: bool,
}

impl Half {
    /// Whether the sender has finished, and the receiver knows it.
    const fn is_finished(&self) -> bool {
        self.has_read_fin && self.has_sent_fin
    }
}

/// A connection between two sockets.
pub(crate) struct Relay {
    control: Arc<Control>,
    shared: Arc<Shared>,
    client: TcpStream,
    server: TcpStream,
    to_server: Half,
    to_client: Half,
    established_at: Instant,
    /// The machines, while there are any.
    path: Option<Box<Path>>,
    /// The number of changes of the toxics that were applied.
    changes_seen: u64,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Relay {
    pub(crate) fn new(
        control: Arc<Control>,
        shared: Arc<Shared>,
        client: TcpStream,
        server: TcpStream,
    ) -> Self {
        let now = control.now();
        let (toxics, changes_seen) = control.toxics();
        let path = Path::new(shared.identity.clone(), shared.accepted_at, now, &toxics);
        for active in toxics
            .iter()
            .filter(|it| shared.identity.is_victim(&it.toxic))
        {
            control.publish(|| EventKind::Affected {
                connection: shared.identity.connection,
                toxic: active.toxic.name.clone(),
            });
        }
        Self {
            path: (!path.is_empty()).then(|| Box::new(path)),
            control,
            shared,
            client,
            server,
            to_server: Half::default(),
            to_client: Half::default(),
            established_at: now,
            changes_seen,
            timer: None,
        }
    }

    /// Moves bytes until the connection ends.
    pub(crate) async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    pub(crate) fn into_sockets(self) -> (TcpStream, TcpStream) {
        (self.client, self.server)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.shared.mailbox.poll_news(cx).is_ready() {
            if let Some(request) = self.shared.mailbox.take_request() {
                return Poll::Ready(End::Requested(request));
            }
            self.apply_changes();
        }
        let end = BUFFER.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                buffer.resize(BUFFER_BYTES, 0);
            }
            if self.path.is_some() {
                self.poll_machines(cx, buffer)
            } else {
                self.poll_direct(cx, buffer)
            }
        });
        match end {
            Err(end) => Poll::Ready(end),
            // A FIN of a toxic is not that of the sender: closing the sender's socket would reset it.
            Ok(()) if self.to_server.is_finished() && self.to_client.is_finished() => {
                Poll::Ready(End::Finished)
            }
            Ok(()) => Poll::Pending,
        }
    }

    fn poll_direct(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Result<(), End> {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.lane(direction).poll_direct(cx, buffer)?;
        }
        Ok(())
    }

    /// Drives the machines of both directions until nothing moves at this instant.
    fn poll_machines(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Result<(), End> {
        let Some(mut path) = self.path.take() else {
            return Ok(());
        };
        loop {
            let now = self.control.now();
            match self.poll_lanes(cx, buffer, &mut path, now) {
                Err(End::Failed(_, direction)) if path.pipeline(direction).swallows_failures() => {
                    self.lose_sender(direction, path.pipeline_mut(direction), now);
                    continue;
                }
                moved => moved?,
            }
            let is_direct = path.is_empty();
            if is_direct {
                self.timer = None;
                return self.poll_direct(cx, buffer);
            }
            let next_at = [Direction::ToServer, Direction::ToClient]
                .into_iter()
                .filter_map(|direction| {
                    let is_write_pending = !self.lane(direction).half.pending.is_empty();
                    path.pipeline(direction).next_at(now, is_write_pending)
                })
                .min();
            if self.poll_timer(cx, now, next_at).is_pending() {
                break;
            }
        }
        self.path = Some(path);
        Ok(())
    }

    fn poll_lanes(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        path: &mut Path,
        now: Instant,
    ) -> Result<(), End> {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let pipeline = path.pipeline_mut(direction);
            let mut lane = self.lane(direction);
            while lane.poll_machines(cx, buffer, pipeline, now)? {}
        }
        Ok(())
    }

    /// Gives up the socket of a sender that failed, without notice to its receiver, as on a network that loses the reset
    /// too. For the machines the sender has finished, and what is for it is discarded.
    fn lose_sender(&mut self, direction: Direction, pipeline: &mut Pipeline, now: Instant) {
        let sender = self.lane(direction).half;
        if !sender.has_read_fin {
            sender.has_read_fin = true;
            pipeline.finish(now);
        }
        let receiver = self.lane(direction.opposite()).half;
        receiver.has_sent_fin = true;
        receiver.pending = Bytes::new();
    }

    /// Waits until an instant; ready when it has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = match &mut self.timer {
            Some((armed_for, timer)) if *armed_for == at => timer,
            other => {
                let sleep = tokio::time::sleep(at.saturating_since(now));
                &mut other.insert((at, Box::pin(sleep))).1
            }
        };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }

    fn apply_changes(&mut self) {
        let now = self.control.now();
        let (news, seen) = self.control.changes_since(self.changes_seen);
        self.changes_seen = seen;
        let mut path = self.path.take().unwrap_or_else(|| {
            let accepted = self.shared.accepted_at;
            let identity = self.shared.identity.clone();
            Box::new(Path::new(identity, accepted, self.established_at, []))
        });
        let connection = self.shared.identity.connection;
        match news {
            News::Changes(changes) => {
                for change in changes {
                    let is_affected = path.apply(now, &change);
                    if let ToxicChange::Added(active) | ToxicChange::Updated(active) = &change
                        && is_affected
                    {
                        self.control.publish(|| EventKind::Affected {
                            connection,
                            toxic: active.toxic.name.clone(),
                        });
                    }
                }
            }
            News::Missed(toxics) => path.replace(now, &toxics),
        }
        self.path = (!path.is_empty()).then_some(path);
    }

    fn lane(&mut self, direction: Direction) -> Lane<'_> {
        match direction {
            Direction::ToServer => Lane {
                from: &mut self.client,
                to: &mut self.server,
                half: &mut self.to_server,
                shared: &self.shared,
                direction,
            },
            Direction::ToClient => Lane {
                from: &mut self.server,
                to: &mut self.client,
                half: &mut self.to_client,
                shared: &self.shared,
                direction,
            },
        }
    }
}

/// One direction with its sockets.
struct Lane<'a> {
    from: &'a mut TcpStream,
    to: &'a mut TcpStream,
    half: &'a mut Half,
    shared: &'a Shared,
    direction: Direction,
}

impl Lane<'_> {
    /// Moves bytes until a socket has nothing or accepts nothing. Tokio's budget for a task bounds the loop.
    fn poll_direct(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Result<(), End> {
        loop {
            if !self.flush(cx)? {
                return Ok(());
            }
            if self.half.has_read_fin {
                return self.send_fin(cx);
            }
            let Poll::Ready(len) = self.read(cx, buffer)? else {
                return Ok(());
            };
            if self.half.has_sent_fin {
                // A toxic passed the FIN before the sender finished; nothing follows it.
                continue;
            }
            let mut rest = buffer.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                match self.write(cx, rest)? {
                    Poll::Ready(written) => rest = rest.get(written..).unwrap_or_default(),
                    Poll::Pending => {
                        self.half.pending = Bytes::copy_from_slice(rest);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Moves bytes through the machines once. Returns whether something moved, so that another call may move more.
    fn poll_machines(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        pipeline: &mut Pipeline,
        now: Instant,
    ) -> Result<bool, End> {
        if let Some(Step::End { toxic, ending }) = pipeline.end(now) {
            return Err(End::Toxic(toxic, ending, self.direction));
        }
        while self.flush(cx)? {
            match pipeline.next(now) {
                Some(Step::Write(bytes)) if !self.half.has_sent_fin => self.half.pending = bytes,
                Some(Step::Write(_)) => {}
                Some(Step::Fin) => self.send_fin(cx)?,
                Some(Step::End { toxic, ending }) => {
                    return Err(End::Toxic(toxic, ending, self.direction));
                }
                None => break,
            }
        }
        let max = pipeline.read_max(now).min(buffer.len());
        if self.half.has_read_fin || max == 0 {
            return Ok(false);
        }
        let (part, _) = buffer.split_at_mut(max);
        let Poll::Ready(len) = self.read(cx, part)? else {
            return Ok(false);
        };
        if len == 0 {
            pipeline.finish(now);
        } else {
            pipeline.receive(
                now,
                Bytes::copy_from_slice(part.get(..len).unwrap_or_default()),
            );
        }
        Ok(true)
    }

    /// Writes what is pending. Returns whether nothing is pending any more.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        while !self.half.pending.is_empty() {
            let pending = std::mem::take(&mut self.half.pending);
            let written = self.write(cx, &pending);
            self.half.pending = pending;
            match written? {
                Poll::Ready(written) => self.half.pending.advance(written),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Result<Poll<usize>, End> {
        let mut read = ReadBuf::new(buffer);
        match Pin::new(&mut *self.from).poll_read(cx, &mut read) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(failed(&error, self.direction)),
            Poll::Ready(Ok(())) => {
                let len = read.filled().len();
                self.half.has_read_fin = len == 0;
                self.meter().received(convert::to_u64(len));
                Ok(Poll::Ready(len))
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<Poll<usize>, End> {
        match Pin::new(&mut *self.to).poll_write(cx, bytes) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(failed(&error, self.direction.opposite())),
            Poll::Ready(Ok(written)) => {
                self.meter().sent(convert::to_u64(written));
                Ok(Poll::Ready(written))
            }
        }
    }

    fn send_fin(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if self.half.has_sent_fin {
            return Ok(());
        }
        self.half.has_sent_fin = true;
        match Pin::new(&mut *self.to).poll_shutdown(cx) {
            // A receiver that is gone already needs no FIN.
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::NotConnected => {
                Err(failed(&error, self.direction.opposite()))
            }
            Poll::Ready(_) | Poll::Pending => Ok(()),
        }
    }

    fn meter(&self) -> &Meter {
        match self.direction {
            Direction::ToServer => &self.shared.to_server,
            Direction::ToClient => &self.shared.to_client,
        }
    }
}

fn failed(error: &io::Error, direction: Direction) -> End {
    End::Failed(error.to_string(), direction)
}
