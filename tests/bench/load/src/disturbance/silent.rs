//! Subscribers that read nothing, and the publisher of their channel.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::sockopt;

use super::{Done, WAIT_MAX, is_stopped};
use crate::attempt::Connection;
use crate::dialect::{Dialect, Purpose};
use crate::frame;
use crate::join::{self, Target};
use crate::poll::{Interest, Poll};
use crate::socket::{self, Received};

/// The channel of the silent readers.
const CHANNEL: &str = "silent";

/// 200 publications per second.
const INTERVAL: Duration = Duration::from_millis(5);

/// Length of each publication's data in bytes.
const DATA_BYTES: usize = 2_000;

/// Publishes until it is stopped. Replaces the subscribers that the gateway has disconnected.
pub(super) fn run(target: Target, count: usize, stop: &AtomicBool) -> Result<Done> {
    let mut poll = Poll::new()?;
    let mut ready = Vec::new();
    let mut readers: Vec<Option<Connection>> = (0..count).map(|_| None).collect();
    let publisher = join::open_all(target, 1, 1, |_| Purpose::Publish)?
        .pop()
        .context("one publisher was connected")?;
    poll.add(&publisher.fd, count, Interest::Read)?;
    let (mut due, mut unsent, mut done) = (Instant::now(), Vec::new(), Done::default());
    while !is_stopped(stop) {
        if due <= Instant::now() {
            connect_one(target, &mut readers, &poll)?;
            let data = "x".repeat(DATA_BYTES);
            let text = format!(
                "{{\"publish\":{{\"channel\":\"{CHANNEL}\",\"data\":\"{data}\"}},\"id\":2}}"
            );
            frame::write(&mut unsent, frame::TEXT, text.as_bytes());
            done.events += 1;
            // A publication that is late delays the next ones: a burst would be another disturbance.
            due = Instant::now().max(due + INTERVAL);
        }
        let sent = socket::transmit(&publisher.fd, &unsent)?;
        unsent.drain(..sent);
        let wait = due.saturating_duration_since(Instant::now()).min(WAIT_MAX);
        poll.wait(wait, &mut ready)?;
        for number in ready.iter().copied() {
            if number == count {
                discard(&publisher)?;
            } else if let Some(slot) = readers.get_mut(number)
                && let Some(reader) = slot
                && sockopt::socket_error(&reader.fd)?.is_err()
            {
                *slot = None;
                done.rejected += 1;
            }
        }
    }
    for reader in readers.into_iter().flatten() {
        socket::reset(reader.fd);
    }
    Ok(done)
}

/// Connects one of the subscribers that are missing: one for each publication, so that they do not all fall back, and
/// connect again, at the same time.
fn connect_one(target: Target, readers: &mut [Option<Connection>], poll: &Poll) -> Result<()> {
    let Some(number) = readers.iter().position(Option::is_none) else {
        return Ok(());
    };
    let subscribe = |_| Purpose::Subscribe {
        channel: CHANNEL.to_owned(),
    };
    let connection = join::open_all(target, 1, 1, subscribe)?
        .pop()
        .context("one subscriber was connected")?;
    poll.add(&connection.fd, number, Interest::Read)?;
    if let Some(slot) = readers.get_mut(number) {
        *slot = Some(connection);
    }
    Ok(())
}

/// Reads the acknowledgements, and replies to pings.
fn discard(publisher: &Connection) -> Result<()> {
    let mut scratch = [0; 16 * 1024];
    while let Received::Bytes(count) = socket::receive(&publisher.fd, &mut scratch)? {
        let read = scratch.get(..count).unwrap_or_default();
        if read.windows(4).any(|bytes| bytes == b"\x81\x02{}") {
            let mut pong = Vec::new();
            Dialect::Gateway.pong(&mut pong);
            socket::transmit(&publisher.fd, &pong)?;
        }
    }
    Ok(())
}
