//! One publisher on one connection: a closed loop with W publications in flight, each complete once it is acknowledged.
//!
//! Compares servers that acknowledge a publication when it is durable. Each server has a protocol of its own, which is in
//! a submodule; the payloads, the loop and the measurement are the same. Every acknowledgement is parsed and must be that
//! of the next publication, where the protocol identifies it.

mod gateway;
mod jetstream;
pub mod s2;

use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cost::{Cost, Meter};
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// Longest wait for the next acknowledgement before a run fails.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// Size of the read buffer, many times larger than 64 acknowledgements.
const READ_BYTES: usize = 64 * 1024;

/// The protocol of a server that stores publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Centrifuge client protocol in JSON over WebSocket: the command `publish`.
    Gateway,
    /// The NATS client protocol with a `JetStream` stream on files.
    JetStream,
    /// An append session of S2: protobuf in S2's frames over HTTP.
    S2,
}

/// The messages of one protocol.
trait Wire {
    /// Appends the message that publishes `sequence`.
    fn publish(&mut self, sequence: u64, out: &mut Vec<u8>);

    /// Reads the complete messages at the start of `inbox`, and appends the replies that the server expects to `out`.
    fn read(&mut self, inbox: &[u8], out: &mut Vec<u8>) -> Result<Read>;
}

/// What was read from the inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Read {
    /// Length of the complete messages in bytes.
    used: usize,
    /// Number of acknowledgements among them.
    acknowledged: u64,
}

/// A connected publisher.
pub struct Publisher {
    wire: Box<dyn Wire>,
    pid: u32,
    fd: OwnedFd,
    poll: Poll,
    ready: Vec<usize>,
    scratch: Vec<u8>,
    inbox: Vec<u8>,
    unsent: Vec<u8>,
    published: u64,
    acknowledged: u64,
}

/// The result of a closed loop.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Publications that were acknowledged within the measured time.
    pub count: u64,
    /// Resources used during the measured time.
    pub cost: Cost,
}

impl Publisher {
    /// Connects to the server with this process id.
    pub fn connect(protocol: Protocol, port: u16, pid: u32) -> Result<Self> {
        let (wire, fd, inbox): (Box<dyn Wire>, OwnedFd, Vec<u8>) = match protocol {
            Protocol::Gateway => {
                let connection = gateway::connect(port)?;
                (Box::new(gateway::Commands), connection.fd, connection.rest)
            }
            Protocol::JetStream => {
                let mut stream = dial(port)?;
                jetstream::connect(&mut stream)?;
                (
                    Box::new(jetstream::Publications::default()),
                    non_blocking(stream)?,
                    Vec::new(),
                )
            }
            Protocol::S2 => {
                let mut stream = dial(port)?;
                s2::connect(&mut stream, port)?;
                (
                    Box::new(s2::AppendSession::default()),
                    non_blocking(stream)?,
                    Vec::new(),
                )
            }
        };
        let poll = Poll::new()?;
        poll.add(&fd, 0, Interest::Read)?;
        Ok(Self {
            wire,
            pid,
            fd,
            poll,
            ready: Vec::new(),
            scratch: vec![0; READ_BYTES],
            inbox,
            unsent: Vec::new(),
            published: 0,
            acknowledged: 0,
        })
    }

    /// Keeps `in_flight` publications in flight, first for `warm_up` and then, measured, for `time`.
    pub fn closed_loop(
        &mut self,
        in_flight: u64,
        warm_up: Duration,
        time: Duration,
    ) -> Result<Acknowledged> {
        self.run(in_flight, warm_up)?;
        let before = self.acknowledged;
        let meter = Meter::start(self.pid)?;
        self.run(in_flight, time)?;
        let cost = meter.stop()?;
        let count = self.acknowledged - before;
        while self.acknowledged < self.published {
            self.wait()?;
        }
        Ok(Acknowledged { count, cost })
    }

    fn run(&mut self, in_flight: u64, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            while self.published - self.acknowledged < in_flight {
                self.wire.publish(self.published, &mut self.unsent);
                self.published += 1;
            }
            self.wait()?;
        }
        Ok(())
    }

    /// Sends what is unsent, and waits until more publications are acknowledged.
    fn wait(&mut self) -> Result<()> {
        let (before, start) = (self.acknowledged, Instant::now());
        while self.acknowledged == before {
            if start.elapsed() > STALL_AFTER {
                bail!(
                    "{} publications were not acknowledged",
                    self.published - self.acknowledged
                );
            }
            self.flush()?;
            let timeout = if self.unsent.is_empty() { 100 } else { 1 };
            self.poll
                .wait(Duration::from_millis(timeout), &mut self.ready)?;
            self.receive()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            let sent = socket::transmit(&self.fd, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        loop {
            let count = match socket::receive(&self.fd, &mut self.scratch)? {
                Received::Bytes(count) => count,
                Received::Nothing => return Ok(()),
                Received::Closed => bail!(
                    "connection closed by the server: {}",
                    String::from_utf8_lossy(&self.inbox)
                ),
            };
            self.inbox
                .extend_from_slice(self.scratch.get(..count).unwrap_or_default());
            let read = self.wire.read(&self.inbox, &mut self.unsent)?;
            self.inbox.drain(..read.used);
            self.acknowledged += read.acknowledged;
            if self.acknowledged > self.published {
                bail!("more acknowledgements than publications");
            }
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("fd", &self.fd)
            .field("published", &self.published)
            .field("acknowledged", &self.acknowledged)
            .finish_non_exhaustive()
    }
}

/// Connects for a handshake, which blocks.
fn dial(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .context("connection refused by the server")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL_AFTER))?;
    Ok(stream)
}

fn non_blocking(stream: TcpStream) -> Result<OwnedFd> {
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

/// Returns the line at the start of `bytes` without its end, and the length with it; `None` if it is not complete.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((bytes.get(..end)?, end + 2))
}
