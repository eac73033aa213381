//! The resume storm: many clients of one channel reconnect at once, each with the same number of missed messages.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cost::{Cost, Meter};
use crate::dialect::{Dialect, Inbound, Position, Purpose};
use crate::frame;
use crate::join::{self, CONCURRENCY, Target};
use crate::socket::{self, Received};

/// The channel to which all clients subscribe.
const CHANNEL: &str = "storm";

/// The result of a storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// From the first dial until the last client has received all missed messages.
    pub time: Duration,
    /// Resources used during the storm.
    pub cost: Cost,
}

/// Disconnected clients with the range of messages that they have missed.
#[derive(Clone, Debug)]
pub struct DisconnectedClients {
    clients: usize,
    from: Position,
    high_watermark: u64,
}

/// Subscribes and disconnects `clients`, then publishes `missed` messages and waits for all acknowledgements.
pub fn prepare(target: Target, clients: usize, missed: u64) -> Result<DisconnectedClients> {
    let subscribe = |_| Purpose::Subscribe {
        channel: CHANNEL.to_owned(),
    };
    let opened = join::open_all(target, clients, CONCURRENCY, subscribe)?;
    let from = opened
        .first()
        .map(|first| first.position.clone())
        .unwrap_or_default();
    for connection in opened {
        socket::reset(connection.fd);
    }
    publish(target, CHANNEL, missed)?;
    let high_watermark = from.offset + missed;
    Ok(DisconnectedClients {
        clients,
        from,
        high_watermark,
    })
}

/// Reconnects all clients at once.
/// Every client must recover (`recovered` in the reply) and receive each missed message once and in order.
pub fn resume(target: Target, pid: u32, disconnected: &DisconnectedClients) -> Result<Storm> {
    let resume = |_| Purpose::Resume {
        channel: CHANNEL.to_owned(),
        from: disconnected.from.clone(),
        high_watermark: disconnected.high_watermark,
    };
    let meter = Meter::start(pid)?;
    let start = Instant::now();
    let resumed = join::open_all(target, disconnected.clients, disconnected.clients, resume)?;
    let time = start.elapsed();
    let cost = meter.stop()?;
    for connection in resumed {
        if connection.position.offset != disconnected.high_watermark {
            bail!(
                "client recovered up to offset {} instead of {}",
                connection.position.offset,
                disconnected.high_watermark
            );
        }
        socket::reset(connection.fd);
    }
    Ok(Storm { time, cost })
}

/// Publishes `count` messages and waits until each of them is acknowledged.
pub fn publish(target: Target, channel: &str, count: u64) -> Result<()> {
    let publisher = join::open_all(target, 1, 1, |_| Purpose::Publish)?
        .pop()
        .context("no publisher was connected")?;
    let mut out = Vec::new();
    for sequence in 0..count {
        Dialect::Gateway.publish(channel, sequence, &mut out);
    }
    let mut sent = 0;
    let mut inbox = publisher.rest;
    let mut scratch = vec![0; 64 * 1024];
    let mut acknowledged = 0;
    let start = Instant::now();
    while acknowledged < count {
        sent += socket::transmit(&publisher.fd, out.get(sent..).unwrap_or_default())?;
        match socket::receive(&publisher.fd, &mut scratch)? {
            Received::Bytes(read) => {
                inbox.extend_from_slice(scratch.get(..read).unwrap_or_default());
            }
            Received::Nothing => std::thread::yield_now(),
            Received::Closed => bail!("connection of the publisher closed by the server"),
        }
        let mut used = 0;
        while let Some(frame) = frame::read(inbox.get(used..).unwrap_or_default())? {
            used += frame.wire_len;
            for line in frame
                .payload
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                acknowledged +=
                    u64::from(Dialect::Gateway.inspect(line, channel)? == Inbound::Published);
            }
        }
        inbox.drain(..used);
        if start.elapsed() > Duration::from_secs(10) {
            bail!("only {acknowledged} of {count} publications were acknowledged within 10 s");
        }
    }
    socket::reset(publisher.fd);
    Ok(())
}
