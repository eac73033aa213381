//! One publisher, many subscribers: the closed loop with W messages in flight, and the open loop at a fixed rate.
//!
//! A message is done when every subscriber has it, so the slowest subscriber holds the loop; the same for all servers.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clock::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::ledger::Ledger;
use crate::poll::{Poll, Writable};
use crate::socket::{self, Received};

/// The channel of all fan-out rows.
const CHANNEL: &str = "bench";

/// A loop in which nothing arrives for so long has failed.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// Every server gets the same room: 64 messages of 256 bytes fit into one read many times over.
const READ_BYTES: usize = 256 * 1024;

/// One publisher and its subscribers, connected.
#[derive(Debug)]
pub struct Fanout {
    dialect: Dialect,
    pid: u32,
    poll: Poll,
    ready: Vec<usize>,
    scratch: Vec<u8>,
    subscribers: Vec<Subscriber>,
    publisher: Publisher,
    ledger: Ledger,
    /// The offset that the message with number 0 has.
    first_offset: u64,
    counts: Counts,
    frame_len: usize,
}

#[derive(Debug)]
struct Subscriber {
    fd: OwnedFd,
    next: u64,
    /// The beginning of a frame whose end has not arrived.
    cut: Vec<u8>,
}

#[derive(Debug)]
struct Publisher {
    fd: OwnedFd,
    cut: Vec<u8>,
    unsent: Vec<u8>,
    accepted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    deliveries: u64,
    reads: u64,
}

/// What a closed loop gave.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Deliveries to subscribers within the measured time.
    pub deliveries: u64,
    /// Reads that brought them: deliveries per read is how much the server coalesced.
    pub reads: u64,
    /// What it cost.
    pub cost: Cost,
}

/// What an open loop gave.
#[derive(Clone, Debug)]
pub struct Open {
    /// For each message, the time from when it was due until the last subscriber had it; in ascending order.
    pub latencies: Vec<Duration>,
    /// What it cost.
    pub cost: Cost,
}

impl Fanout {
    /// Connects `count` subscribers and a publisher to the server with this process id.
    pub fn connect(target: Target, pid: u32, count: u32) -> Result<Self> {
        let subscribe = |_| Purpose::Subscribe {
            channel: CHANNEL.to_owned(),
        };
        let opened = join::open_all(target, usize::try_from(count)?, CONCURRENCY, subscribe)?;
        let publisher = join::open_all(target, 1, 1, |_| Purpose::Publish)?
            .pop()
            .context("no publisher")?;
        let first_offset = match target.dialect {
            Dialect::Gateway => opened.first().map_or(0, |first| first.at.offset) + 1,
            Dialect::Plain { .. } => 0,
        };
        let poll = Poll::new()?;
        let mut subscribers = Vec::with_capacity(opened.len());
        for (index, connection) in opened.into_iter().enumerate() {
            poll.add(&connection.fd, index, Writable::Ignored)?;
            subscribers.push(Subscriber {
                fd: connection.fd,
                next: 0,
                cut: connection.rest,
            });
        }
        poll.add(&publisher.fd, subscribers.len(), Writable::Ignored)?;
        Ok(Self {
            dialect: target.dialect,
            pid,
            poll,
            ready: Vec::new(),
            scratch: vec![0; READ_BYTES],
            subscribers,
            publisher: Publisher {
                fd: publisher.fd,
                cut: publisher.rest,
                unsent: Vec::new(),
                accepted: 0,
            },
            ledger: Ledger::new(count, Instant::now()),
            first_offset,
            counts: Counts::default(),
            frame_len: 0,
        })
    }

    /// The wire size of the last delivery parsed in full; 0 before the first.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// Keeps `window` messages in flight for `warm_up` and then, measured, for `time`.
    pub fn closed(&mut self, window: u64, warm_up: Duration, time: Duration) -> Result<Closed> {
        let start = Instant::now();
        while start.elapsed() < warm_up {
            self.refill(window)?;
            self.turn(Duration::from_millis(100), |_| {})?;
        }
        let before = self.counts;
        let meter = Meter::start(self.pid)?;
        let start = Instant::now();
        while start.elapsed() < time {
            self.refill(window)?;
            self.turn(Duration::from_millis(100), |_| {})?;
        }
        let cost = meter.stop()?;
        let closed = Closed {
            deliveries: self.counts.deliveries - before.deliveries,
            reads: self.counts.reads - before.reads,
            cost,
        };
        self.drain()?;
        Ok(closed)
    }

    /// Publishes one message every `interval`, however slowly they arrive, for `warm_up` and then, measured, for `time`.
    pub fn open(&mut self, interval: Duration, warm_up: Duration, time: Duration) -> Result<Open> {
        let start = Instant::now();
        let mut due = start;
        let mut latencies = Vec::new();
        let mut meter = None;
        while start.elapsed() < warm_up + time {
            if meter.is_none() && start.elapsed() >= warm_up {
                meter = Some(Meter::start(self.pid)?);
            }
            let now = Instant::now();
            while due <= now {
                self.publish(due)?;
                due += interval;
            }
            self.flush()?;
            let measured_from = start + warm_up;
            self.turn(due.saturating_duration_since(Instant::now()), |published| {
                if published >= measured_from {
                    latencies.push(published.elapsed());
                }
            })?;
        }
        let cost = meter
            .context("the measured time has to follow the warm-up")?
            .stop()?;
        self.drain()?;
        latencies.sort_unstable();
        Ok(Open { latencies, cost })
    }

    fn refill(&mut self, window: u64) -> Result<()> {
        while self.ledger.in_flight() < window {
            self.publish(Instant::now())?;
        }
        self.flush()
    }

    fn publish(&mut self, due: Instant) -> Result<()> {
        if self.ledger.is_full() {
            bail!(
                "{} messages under way and none arrives at all subscribers",
                self.ledger.in_flight()
            );
        }
        let sequence = self.ledger.publish(due);
        self.dialect
            .publish(CHANNEL, sequence, &mut self.publisher.unsent);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.publisher.unsent.is_empty() {
            let sent = socket::transmit(&self.publisher.fd, &self.publisher.unsent)?;
            self.publisher.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Waits until everybody has everything and every publication is acknowledged.
    fn drain(&mut self) -> Result<()> {
        let start = Instant::now();
        let acknowledged = self.dialect == Dialect::Gateway;
        while self.ledger.in_flight() > 0
            || (acknowledged && self.publisher.accepted < self.ledger.published())
        {
            self.flush()?;
            self.turn(Duration::from_millis(10), |_| {})?;
            if start.elapsed() > STALL_AFTER {
                bail!(
                    "{} of {} messages never arrived everywhere",
                    self.ledger.in_flight(),
                    self.ledger.published()
                );
            }
        }
        Ok(())
    }

    /// Waits at most `timeout`, reads what came, and calls `on_done` with the due time of each message that everybody has.
    fn turn(&mut self, timeout: Duration, mut on_done: impl FnMut(Instant)) -> Result<()> {
        let timeout = if self.publisher.unsent.is_empty() {
            timeout
        } else {
            timeout.min(Duration::from_millis(1))
        };
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(timeout, &mut ready)?;
        for index in ready.iter().copied() {
            if index < self.subscribers.len() {
                self.read_subscriber(index)?;
            } else {
                self.read_publisher()?;
            }
            while let Some(due) = self.ledger.take_completed() {
                on_done(due);
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn read_subscriber(&mut self, index: usize) -> Result<()> {
        loop {
            let Some(subscriber) = self.subscribers.get_mut(index) else {
                return Ok(());
            };
            // The cut frame goes first, so that a frame is always in one piece.
            let kept = subscriber.cut.len();
            self.scratch
                .get_mut(..kept)
                .context("a frame larger than the read buffer")?
                .copy_from_slice(&subscriber.cut);
            subscriber.cut.clear();
            let room = self.scratch.get_mut(kept..).unwrap_or_default();
            let room_len = room.len();
            let count = match socket::receive(&subscriber.fd, room)? {
                Received::Bytes(count) => count,
                Received::Nothing => 0,
                Received::Closed => bail!("the server closed a subscriber"),
            };
            self.counts.reads += u64::from(count > 0);
            let end = kept + count;
            let used = self.take_deliveries(index, end)?;
            if let Some(subscriber) = self.subscribers.get_mut(index) {
                subscriber
                    .cut
                    .extend_from_slice(self.scratch.get(used..end).unwrap_or_default());
            }
            if count < room_len {
                return Ok(());
            }
        }
    }

    /// Checks the frames in the first `end` bytes of the read buffer and gives how many bytes they were.
    fn take_deliveries(&mut self, index: usize, end: usize) -> Result<usize> {
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Ok(end);
        };
        let mut used = 0;
        loop {
            let rest = self.scratch.get(used..end).unwrap_or_default();
            if let Some(len) = self.ledger.copy_len(subscriber.next, rest) {
                self.ledger.receive(subscriber.next);
                subscriber.next += 1;
                self.counts.deliveries += 1;
                used += len;
                continue;
            }
            let Some(frame) = frame::read(rest)? else {
                return Ok(used);
            };
            used += frame.wire_len;
            if frame.opcode != frame::TEXT {
                answer_control(&subscriber.fd, &frame)?;
                continue;
            }
            let mut lines = 0;
            for line in frame
                .payload
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                lines += 1;
                match self.dialect.inspect(line, CHANNEL)? {
                    Inbound::Delivery { sequence, offset } => {
                        if sequence != subscriber.next || offset != self.first_offset + sequence {
                            bail!(
                                "subscriber {index} got message {sequence} at offset {offset} instead of message {}",
                                subscriber.next
                            );
                        }
                        self.ledger.receive(sequence);
                        subscriber.next += 1;
                        self.counts.deliveries += 1;
                    }
                    Inbound::Ping => send_pong(self.dialect, &subscriber.fd)?,
                    other => bail!("{other:?} at a subscriber"),
                }
            }
            if lines == 1 && frame.payload != b"{}" {
                self.frame_len = frame.wire_len;
                let wire = rest.get(..frame.wire_len).unwrap_or_default();
                self.ledger.keep_frame(subscriber.next - 1, wire);
            }
        }
    }

    fn read_publisher(&mut self) -> Result<()> {
        loop {
            let count = match socket::receive(&self.publisher.fd, &mut self.scratch)? {
                Received::Bytes(count) => count,
                Received::Nothing => return Ok(()),
                Received::Closed => bail!("the server closed the publisher"),
            };
            self.publisher
                .cut
                .extend_from_slice(self.scratch.get(..count).unwrap_or_default());
            let mut used = 0;
            while let Some(frame) = frame::read(self.publisher.cut.get(used..).unwrap_or_default())?
            {
                used += frame.wire_len;
                if frame.opcode != frame::TEXT {
                    answer_control(&self.publisher.fd, &frame)?;
                    continue;
                }
                for line in frame
                    .payload
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    match self.dialect.inspect(line, CHANNEL)? {
                        Inbound::Published => self.publisher.accepted += 1,
                        Inbound::Ping => self.dialect.pong(&mut self.publisher.unsent),
                        other => bail!("{other:?} at the publisher"),
                    }
                }
            }
            self.publisher.cut.drain(..used);
            if count < READ_BYTES {
                return Ok(());
            }
        }
    }
}

impl Drop for Fanout {
    /// Resets every connection, so that no port waits.
    fn drop(&mut self) {
        for subscriber in self.subscribers.drain(..) {
            socket::reset(subscriber.fd);
        }
    }
}

fn send_pong(dialect: Dialect, fd: &OwnedFd) -> Result<()> {
    let mut pong = Vec::new();
    dialect.pong(&mut pong);
    if socket::transmit(fd, &pong)? < pong.len() {
        bail!("a pong did not fit into an idle socket");
    }
    Ok(())
}

fn answer_control(fd: &OwnedFd, control: &frame::Frame<'_>) -> Result<()> {
    match control.opcode {
        frame::PING => {
            let mut pong = Vec::new();
            frame::write(&mut pong, frame::PONG, control.payload);
            socket::transmit(fd, &pong)?;
            Ok(())
        }
        frame::CLOSE => {
            let (code, reason) = control.payload.split_at_checked(2).unwrap_or_default();
            bail!(
                "the server closed with {code:?} {}",
                String::from_utf8_lossy(reason)
            );
        }
        other => bail!("a frame of kind {other}"),
    }
}
