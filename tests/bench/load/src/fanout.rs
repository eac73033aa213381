//! One publisher, many subscribers: a closed loop with W messages in flight, and an open loop at a fixed rate.
//!
//! A message is complete when every subscriber has received it, so the slowest subscriber determines the rate, for all
//! servers alike.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cost::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::ledger::Ledger;
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// The channel of all fan-out rows.
const CHANNEL: &str = "bench";

/// Longest wait for outstanding messages before a run fails.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// Size of the read buffer, the same for every server. It is many times larger than 64 messages of 256 bytes.
const READ_BYTES: usize = 256 * 1024;

/// A connected publisher with its subscribers.
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
    /// The offset of the message with sequence number 0.
    first_offset: u64,
    counts: Counts,
    /// How long polls have found nothing to read.
    idle: Duration,
    frame_len: usize,
}

#[derive(Debug)]
struct Subscriber {
    fd: OwnedFd,
    next: u64,
    /// The start of a frame that is not complete yet.
    partial_frame: Vec<u8>,
}

#[derive(Debug)]
struct Publisher {
    fd: OwnedFd,
    partial_frame: Vec<u8>,
    unsent: Vec<u8>,
    acknowledged: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    deliveries: u64,
    reads: u64,
}

/// The result of a closed loop.
#[derive(Clone, Copy, Debug)]
pub struct ClosedLoop {
    /// Deliveries to subscribers within the measured time.
    pub deliveries: u64,
    /// Number of reads that returned these deliveries; deliveries per read show how much the server coalesces.
    pub reads: u64,
    /// Resources used during the measured time.
    pub cost: Cost,
}

/// The result of an open loop.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// For each message, the time from when it was due until the last subscriber received it; in ascending order.
    pub latencies: Vec<Duration>,
    /// Resources used during the measured time.
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
            .context("one publisher was connected")?;
        let first_offset = match target.dialect {
            Dialect::Gateway => opened.first().map_or(0, |first| first.position.offset) + 1,
            Dialect::Plain { .. } => 0,
        };
        let poll = Poll::new()?;
        let mut subscribers = Vec::with_capacity(opened.len());
        for (index, connection) in opened.into_iter().enumerate() {
            poll.add(&connection.fd, index, Interest::Read)?;
            subscribers.push(Subscriber {
                fd: connection.fd,
                next: 0,
                partial_frame: connection.rest,
            });
        }
        poll.add(&publisher.fd, subscribers.len(), Interest::Read)?;
        Ok(Self {
            dialect: target.dialect,
            pid,
            poll,
            ready: Vec::new(),
            scratch: vec![0; READ_BYTES],
            subscribers,
            publisher: Publisher {
                fd: publisher.fd,
                partial_frame: publisher.rest,
                unsent: Vec::new(),
                acknowledged: 0,
            },
            ledger: Ledger::new(count, Instant::now()),
            first_offset,
            counts: Counts::default(),
            idle: Duration::ZERO,
            frame_len: 0,
        })
    }

    /// Returns the wire size of the last delivery that was parsed in full; 0 before the first.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// Keeps `in_flight` messages in flight, first for `warm_up` and then, measured, for `time`.
    pub fn closed_loop(
        &mut self,
        in_flight: u64,
        warm_up: Duration,
        time: Duration,
    ) -> Result<ClosedLoop> {
        let start = Instant::now();
        while start.elapsed() < warm_up {
            self.refill(in_flight)?;
            self.poll_without_sleep()?;
        }
        let before = self.counts;
        self.idle = Duration::ZERO;
        let meter = Meter::start(self.pid)?;
        let start = Instant::now();
        while start.elapsed() < time {
            self.refill(in_flight)?;
            self.poll_without_sleep()?;
        }
        let cost = meter.stop()?.without_idle(self.idle);
        let closed_loop = ClosedLoop {
            deliveries: self.counts.deliveries - before.deliveries,
            reads: self.counts.reads - before.reads,
            cost,
        };
        self.drain()?;
        Ok(closed_loop)
    }

    /// Publishes one message per `interval` regardless of deliveries, first for `warm_up`, then, measured, for `time`.
    pub fn open_loop(
        &mut self,
        interval: Duration,
        warm_up: Duration,
        time: Duration,
    ) -> Result<OpenLoop> {
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
            self.poll_once(due.saturating_duration_since(Instant::now()), |published| {
                if published >= measured_from {
                    latencies.push(published.elapsed());
                }
            })?;
        }
        let cost = meter
            .context("the measured time follows the warm-up")?
            .stop()?;
        self.drain()?;
        latencies.sort_unstable();
        Ok(OpenLoop { latencies, cost })
    }

    fn refill(&mut self, in_flight: u64) -> Result<()> {
        while self.ledger.in_flight() < in_flight {
            self.publish(Instant::now())?;
        }
        self.flush()
    }

    fn publish(&mut self, due: Instant) -> Result<()> {
        if self.ledger.is_full() {
            bail!(
                "{} messages in flight and none received by all subscribers",
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

    /// Waits until all subscribers have received all messages and every publication is acknowledged.
    fn drain(&mut self) -> Result<()> {
        let start = Instant::now();
        let has_acknowledgements = self.dialect == Dialect::Gateway;
        while self.ledger.in_flight() > 0
            || (has_acknowledgements && self.publisher.acknowledged < self.ledger.published())
        {
            self.flush()?;
            self.poll_once(Duration::from_millis(10), |_| {})?;
            if start.elapsed() > STALL_AFTER {
                bail!(
                    "{} of {} messages were not received by all subscribers",
                    self.ledger.in_flight(),
                    self.ledger.published()
                );
            }
        }
        Ok(())
    }

    /// Reads the available data and never sleeps. A generator that sleeps must be woken by a write of the server, which
    /// pays for it with an interrupt to another core: 15 % of the samples of a profile in a server that was slightly
    /// slower than the generator, and 4 % in one that was slightly faster.
    fn poll_without_sleep(&mut self) -> Result<()> {
        let start = Instant::now();
        self.poll_once(Duration::ZERO, |_| {})?;
        if self.ready.is_empty() {
            self.idle += start.elapsed();
        }
        Ok(())
    }

    /// Waits at most `timeout`, reads the available data, and calls `on_complete` with the due time of each message
    /// that all subscribers have received.
    fn poll_once(&mut self, timeout: Duration, mut on_complete: impl FnMut(Instant)) -> Result<()> {
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
                on_complete(due);
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
            // The incomplete frame is copied to the front, so that every frame is contiguous.
            let kept = subscriber.partial_frame.len();
            self.scratch
                .get_mut(..kept)
                .context("frame larger than the read buffer")?
                .copy_from_slice(&subscriber.partial_frame);
            subscriber.partial_frame.clear();
            let space = self.scratch.get_mut(kept..).unwrap_or_default();
            let space_len = space.len();
            let count = match socket::receive(&subscriber.fd, space)? {
                Received::Bytes(count) => count,
                Received::Nothing => 0,
                Received::Closed => bail!("connection of a subscriber closed by the server"),
            };
            self.counts.reads += u64::from(count > 0);
            let end = kept + count;
            let used = self.check_deliveries(index, end)?;
            if let Some(subscriber) = self.subscribers.get_mut(index) {
                subscriber
                    .partial_frame
                    .extend_from_slice(self.scratch.get(used..end).unwrap_or_default());
            }
            if count < space_len {
                return Ok(());
            }
        }
    }

    /// Checks the complete frames in the first `end` bytes of the read buffer and returns their length in bytes.
    fn check_deliveries(&mut self, index: usize, end: usize) -> Result<usize> {
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
                handle_control(&subscriber.fd, &frame)?;
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
                                "subscriber {index} received message {sequence} at offset {offset} instead of message {}",
                                subscriber.next
                            );
                        }
                        self.ledger.receive(sequence);
                        subscriber.next += 1;
                        self.counts.deliveries += 1;
                    }
                    Inbound::Ping => send_pong(self.dialect, &subscriber.fd)?,
                    other => bail!("unexpected {other:?} at a subscriber"),
                }
            }
            if lines == 1 && frame.payload != b"{}" {
                self.frame_len = frame.wire_len;
                let wire = rest.get(..frame.wire_len).unwrap_or_default();
                self.ledger.store_frame(subscriber.next - 1, wire);
            }
        }
    }

    fn read_publisher(&mut self) -> Result<()> {
        loop {
            let count = match socket::receive(&self.publisher.fd, &mut self.scratch)? {
                Received::Bytes(count) => count,
                Received::Nothing => return Ok(()),
                Received::Closed => bail!("connection of the publisher closed by the server"),
            };
            self.publisher
                .partial_frame
                .extend_from_slice(self.scratch.get(..count).unwrap_or_default());
            let mut used = 0;
            while let Some(frame) =
                frame::read(self.publisher.partial_frame.get(used..).unwrap_or_default())?
            {
                used += frame.wire_len;
                if frame.opcode != frame::TEXT {
                    handle_control(&self.publisher.fd, &frame)?;
                    continue;
                }
                for line in frame
                    .payload
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    match self.dialect.inspect(line, CHANNEL)? {
                        Inbound::Published => self.publisher.acknowledged += 1,
                        Inbound::Ping => self.dialect.pong(&mut self.publisher.unsent),
                        other => bail!("unexpected {other:?} at the publisher"),
                    }
                }
            }
            self.publisher.partial_frame.drain(..used);
            if count < READ_BYTES {
                return Ok(());
            }
        }
    }
}

impl Drop for Fanout {
    /// Resets the subscribers' connections, so that no port remains in `TIME_WAIT`.
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
        bail!("the socket did not accept a pong in one write");
    }
    Ok(())
}

fn handle_control(fd: &OwnedFd, control: &frame::Frame<'_>) -> Result<()> {
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
                "connection closed by the server with code {code:?} {}",
                String::from_utf8_lossy(reason)
            );
        }
        other => bail!("unexpected frame with opcode {other}"),
    }
}
