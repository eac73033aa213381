//! The resume storm: many clients of one channel come back at once, each with the same number of messages missed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clock::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Purpose, Standing};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::socket::{self, Received};

/// The channel of this row.
const CHANNEL: &str = "storm";

/// What a storm gave.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// From the first dial until the last client had everything that it missed.
    pub time: Duration,
    /// What it cost.
    pub cost: Cost,
}

/// Clients that have gone, and what they have missed since.
#[derive(Clone, Debug)]
pub struct Absent {
    clients: usize,
    from: Standing,
    top: u64,
}

/// Lets `clients` subscribe and go, and publishes `missed` messages; all of them are acknowledged.
pub fn prepare(target: Target, clients: usize, missed: u64) -> Result<Absent> {
    let subscribe = |_| Purpose::Subscribe {
        channel: CHANNEL.to_owned(),
    };
    let opened = join::open_all(target, clients, CONCURRENCY, subscribe)?;
    let from = opened
        .first()
        .map(|first| first.at.clone())
        .unwrap_or_default();
    for connection in opened {
        socket::reset(connection.fd);
    }
    publish(target, CHANNEL, missed)?;
    let top = from.offset + missed;
    Ok(Absent { clients, from, top })
}

/// Brings all of them back at once.
/// Every client must be told `recovered` and receive each missed message once and in order.
pub fn resume(target: Target, pid: u32, absent: &Absent) -> Result<Storm> {
    let resume = |_| Purpose::Resume {
        channel: CHANNEL.to_owned(),
        from: absent.from.clone(),
        top: absent.top,
    };
    let meter = Meter::start(pid)?;
    let start = Instant::now();
    let resumed = join::open_all(target, absent.clients, absent.clients, resume)?;
    let time = start.elapsed();
    let cost = meter.stop()?;
    for connection in resumed {
        if connection.at.offset != absent.top {
            bail!(
                "a client stands at {} instead of {}",
                connection.at.offset,
                absent.top
            );
        }
        socket::reset(connection.fd);
    }
    Ok(Storm { time, cost })
}

/// Publishes `count` messages and waits until each is acknowledged.
pub fn publish(target: Target, channel: &str, count: u64) -> Result<()> {
    let publisher = join::open_all(target, 1, 1, |_| Purpose::Publish)?
        .pop()
        .context("no publisher")?;
    let mut out = Vec::new();
    for sequence in 0..count {
        Dialect::Gateway.publish(channel, sequence, &mut out);
    }
    let mut sent = 0;
    let mut inbox = publisher.rest;
    let mut scratch = vec![0; 64 * 1024];
    let mut accepted = 0;
    let start = Instant::now();
    while accepted < count {
        sent += socket::transmit(&publisher.fd, out.get(sent..).unwrap_or_default())?;
        match socket::receive(&publisher.fd, &mut scratch)? {
            Received::Bytes(read) => {
                inbox.extend_from_slice(scratch.get(..read).unwrap_or_default());
            }
            Received::Nothing => std::thread::yield_now(),
            Received::Closed => bail!("the server closed the publisher"),
        }
        let mut used = 0;
        while let Some(frame) = frame::read(inbox.get(used..).unwrap_or_default())? {
            used += frame.wire_len;
            for line in frame
                .payload
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                accepted +=
                    u64::from(Dialect::Gateway.inspect(line, channel)? == Inbound::Published);
            }
        }
        inbox.drain(..used);
        if start.elapsed() > Duration::from_secs(10) {
            bail!("{accepted} of {count} publications were acknowledged");
        }
    }
    socket::reset(publisher.fd);
    Ok(())
}
