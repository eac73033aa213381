//! Idle connections that only answer pings: what keeping them costs the server.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::clock::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::opening::Opened;
use crate::poll::{Poll, Writable};
use crate::socket::{self, Received};

/// The channel of this row.
const CHANNEL: &str = "ping";

/// What a run of pings gave.
#[derive(Clone, Copy, Debug)]
pub struct Pings {
    /// Pings that came and were answered.
    pub answered: u64,
    /// What it cost.
    pub cost: Cost,
}

/// Connects `clients` and answers every ping for `settle` and then, measured, for `time`.
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
    let mut crowd = Crowd::new(join::open_all(target, clients, CONCURRENCY, subscribe)?)?;
    crowd.answer_for(settle)?;
    let meter = Meter::start(pid)?;
    let answered = crowd.answer_for(time)?;
    let cost = meter.stop()?;
    for connection in crowd.connections {
        socket::reset(connection.fd);
    }
    Ok(Pings { answered, cost })
}

struct Crowd {
    connections: Vec<Opened>,
    poll: Poll,
    ready: Vec<usize>,
    pong: Vec<u8>,
}

impl Crowd {
    fn new(connections: Vec<Opened>) -> Result<Self> {
        let poll = Poll::new()?;
        for (number, connection) in connections.iter().enumerate() {
            poll.add(&connection.fd, number, Writable::Ignored)?;
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

    fn answer_for(&mut self, time: Duration) -> Result<u64> {
        let start = Instant::now();
        let mut answered = 0;
        let mut ready = std::mem::take(&mut self.ready);
        while start.elapsed() < time {
            self.poll.wait(Duration::from_millis(100), &mut ready)?;
            for number in ready.iter().copied() {
                answered += self.answer(number)?;
            }
        }
        self.ready = ready;
        Ok(answered)
    }

    fn answer(&mut self, number: usize) -> Result<u64> {
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
            Received::Closed => bail!("the server closed an idle connection"),
        }
        let mut pings = 0;
        let mut used = 0;
        while let Some(frame) = frame::read(connection.rest.get(used..).unwrap_or_default())? {
            used += frame.wire_len;
            match Dialect::Gateway.inspect(frame.payload, CHANNEL)? {
                Inbound::Ping => pings += 1,
                other => bail!("{other:?} at an idle connection"),
            }
            if socket::transmit(&connection.fd, &self.pong)? < self.pong.len() {
                bail!("a pong did not fit into an idle socket");
            }
        }
        connection.rest.drain(..used);
        Ok(pings)
    }
}
