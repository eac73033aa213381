//! Opens many connections concurrently, either to keep them or repeatedly to measure the rate.
//!
//! A fixed number of attempts is in progress on one edge-triggered epoll.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::attempt::{Attempt, Connection};
use crate::dialect::{Dialect, Purpose};
use crate::poll::{Interest, Poll};
use crate::socket;

/// Number of concurrent attempts, as documented with the results.
pub const CONCURRENCY: usize = 64;

/// A run fails if no connection becomes live for this long.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// The server to which connections are opened.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The server's port on the loopback interface.
    pub port: u16,
    /// The protocol above WebSocket.
    pub dialect: Dialect,
}

/// The result of a measured run of joins.
#[derive(Clone, Copy, Debug)]
pub struct Joins {
    /// Number of connections that became live.
    pub count: u32,
    /// Duration of the run.
    pub elapsed: Duration,
}

struct Joiner {
    target: Target,
    poll: Poll,
    slots: Vec<Option<(usize, Attempt)>>,
    free: Vec<usize>,
    ready: Vec<usize>,
    scratch: Vec<u8>,
    progress_at: Instant,
}

impl Joiner {
    fn new(target: Target, concurrency: usize) -> Result<Self> {
        Ok(Self {
            target,
            poll: Poll::new()?,
            slots: (0..concurrency).map(|_| None).collect(),
            free: (0..concurrency).collect(),
            ready: Vec::new(),
            scratch: vec![0; 64 * 1024],
            progress_at: Instant::now(),
        })
    }

    fn has_free_slot(&self) -> bool {
        !self.free.is_empty()
    }

    fn start_attempt(&mut self, number: usize, purpose: Purpose) -> Result<()> {
        let slot = self.free.pop().context("no free slot for an attempt")?;
        let attempt = Attempt::dial(self.target.port, number, self.target.dialect, purpose)?;
        self.poll.add(attempt.fd(), slot, Interest::ReadWrite)?;
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = Some((number, attempt));
        }
        Ok(())
    }

    /// Waits once and passes each connection that became live to `on_live`, with its number.
    fn poll_once(
        &mut self,
        mut on_live: impl FnMut(usize, Connection) -> Result<()>,
    ) -> Result<()> {
        self.poll
            .wait(Duration::from_millis(100), &mut self.ready)?;
        for slot in self.ready.iter().copied() {
            let Some(entry) = self.slots.get_mut(slot) else {
                continue;
            };
            let Some((_, attempt)) = entry else { continue };
            if !attempt.advance(self.target.port, &mut self.scratch)? {
                continue;
            }
            if let Some((number, attempt)) = entry.take() {
                let opened = attempt.into_connection();
                self.poll.delete(&opened.fd)?;
                self.free.push(slot);
                self.progress_at = Instant::now();
                on_live(number, opened)?;
            }
        }
        if self.progress_at.elapsed() > STALL_AFTER {
            bail!("no connection became live for {} s", STALL_AFTER.as_secs());
        }
        Ok(())
    }
}

/// Opens `count` connections, `concurrency` at a time, and keeps them.
pub fn open_all(
    target: Target,
    count: usize,
    concurrency: usize,
    purpose_of: impl Fn(usize) -> Purpose,
) -> Result<Vec<Connection>> {
    let mut joiner = Joiner::new(target, concurrency)?;
    let mut opened: Vec<Connection> = Vec::with_capacity(count);
    let mut started = 0;
    while opened.len() < count {
        while started < count && joiner.has_free_slot() {
            joiner.start_attempt(started, purpose_of(started))?;
            started += 1;
        }
        joiner.poll_once(|_, connection| {
            opened.push(connection);
            Ok(())
        })?;
    }
    Ok(opened)
}

/// Opens connections for `time` and resets each as soon as it is live.
pub fn churn(
    target: Target,
    time: Duration,
    purpose_of: impl Fn(usize) -> Purpose,
) -> Result<Joins> {
    let mut joiner = Joiner::new(target, CONCURRENCY)?;
    let mut started = 0;
    let mut count = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        while joiner.has_free_slot() {
            joiner.start_attempt(started, purpose_of(started))?;
            started += 1;
        }
        joiner.poll_once(|_, connection| {
            count += 1;
            socket::reset(connection.fd);
            Ok(())
        })?;
    }
    let elapsed = start.elapsed();
    for (_, attempt) in joiner.slots.iter_mut().filter_map(Option::take) {
        socket::reset(attempt.into_connection().fd);
    }
    Ok(Joins { count, elapsed })
}
