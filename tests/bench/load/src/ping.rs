//! Idle connections that only reply to pings, to measure their cost at the server.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::attempt::Connection;
use crate::cost::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// The channel to which all connections subscribe.
const CHANNEL: &str = "ping";

/// The result of a run with pings.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    /// Number of pings that were received and replied to with a pong.
    pub pongs: u64,
    /// Resources used during the run.
    pub cost: Cost,
}

/// Connects `clients` and replies to every ping, first for `settle` and then, measured, for `time`.
pub fn run(
    target: Target,
    pid: u32,
    clients: usize,
    settle: Duration,
    time: Duration,
) -> Result<Pings> {
    let subscribe = |_| Purpose::Subscribe {
        channel: CHANNEL.to_owned(),
    };
    let mut idle = IdleConnections::new(join::open_all(target, clients, CONCURRENCY, subscribe)?)?;
    idle.send_pongs_for(settle)?;
    let meter = Meter::start(pid)?;
    let pongs = idle.send_pongs_for(time)?;
    let cost = meter.stop()?;
    for connection in idle.connections {
        socket::reset(connection.fd);
    }
    Ok(Pings { pongs, cost })
}

struct IdleConnections {
    connections: Vec<Connection>,
    poll: Poll,
    ready: Vec<usize>,
    pong: Vec<u8>,
}

impl IdleConnections {
    fn new(connections: Vec<Connection>) -> Result<Self> {
        let poll = Poll::new()?;
        for (number, connection) in connections.iter().enumerate() {
            poll.add(&connection.fd, number, Interest::Read)?;
        }
        let mut pong = Vec::new();
        Dialect::Gateway.pong(&mut pong);
        Ok(Self {
            connections,
            poll,
            ready: Vec::new(),
            pong,
        })
    }

    fn send_pongs_for(&mut self, time: Duration) -> Result<u64> {
        let start = Instant::now();
        let mut pongs = 0;
        let mut ready = std::mem::take(&mut self.ready);
        while start.elapsed() < time {
            self.poll.wait(Duration::from_millis(100), &mut ready)?;
            for number in ready.iter().copied() {
                pongs += self.send_pongs(number)?;
            }
        }
        self.ready = ready;
        Ok(pongs)
    }

    fn send_pongs(&mut self, number: usize) -> Result<u64> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(0);
        };
        let mut scratch = [0; 256];
        match socket::receive(&connection.fd, &mut scratch)? {
            Received::Bytes(count) => {
                connection
                    .rest
                    .extend_from_slice(scratch.get(..count).unwrap_or_default());
            }
            Received::Nothing => return Ok(0),
            Received::Closed => bail!("idle connection closed by the server"),
        }
        let mut pings = 0;
        let mut used = 0;
        while let Some(frame) = frame::read(connection.rest.get(used..).unwrap_or_default())? {
            used += frame.wire_len;
            match Dialect::Gateway.inspect(frame.payload, CHANNEL)? {
                Inbound::Ping => pings += 1,
                other => bail!("unexpected {other:?} on an idle connection"),
            }
            if socket::transmit(&connection.fd, &self.pong)? < self.pong.len() {
                bail!("the socket did not accept a pong in one write");
            }
        }
        connection.rest.drain(..used);
        Ok(pings)
    }
}
