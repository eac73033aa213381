//! Many connections brought up at once: for good, or over and over to measure the rate.
//!
//! Keeps a fixed number of attempts under way on one epoll, edge-triggered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::dialect::{Dialect, Purpose};
use crate::opening::{Opened, Opening};
use crate::poll::{Poll, Writable};
use crate::socket;

/// How many attempts are under way at once, as the table says.
pub const CONCURRENCY: usize = 64;

/// A run in which nothing becomes live for so long has failed.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// Where the connections go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The server's port on the loopback.
    pub port: u16,
    /// What it speaks.
    pub dialect: Dialect,
}

/// What a measured run of joins gave.
#[derive(Clone, Copy, Debug)]
pub struct Joins {
    /// Connections that went all the way.
    pub count: u32,
    /// In this time.
    pub elapsed: Duration,
}

struct Joiner {
    target: Target,
    poll: Poll,
    slots: Vec<Option<(usize, Opening)>>,
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

    fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    fn begin(&mut self, number: usize, purpose: Purpose) -> Result<()> {
        let slot = self.free.pop().context("no free slot")?;
        let opening = Opening::dial(self.target.port, number, self.target.dialect, purpose)?;
        self.poll.add(opening.fd(), slot, Writable::Told)?;
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some((number, opening));
        }
        Ok(())
    }

    /// Waits once and hands each connection that became live to `on_live`, with its number.
    fn turn(&mut self, mut on_live: impl FnMut(usize, Opened) -> Result<()>) -> Result<()> {
        self.poll
            .wait(Duration::from_millis(100), &mut self.ready)?;
        for slot in self.ready.iter().copied() {
            let Some(place) = self.slots.get_mut(slot) else {
                continue;
            };
            let Some((_, opening)) = place else { continue };
            if !opening.advance(self.target.port, &mut self.scratch)? {
                continue;
            }
            if let Some((number, opening)) = place.take() {
                let opened = opening.into_opened();
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
) -> Result<Vec<Opened>> {
    let mut joiner = Joiner::new(target, concurrency)?;
    let mut opened: Vec<Opened> = Vec::with_capacity(count);
    let mut begun = 0;
    while opened.len() < count {
        while begun < count && joiner.has_room() {
            joiner.begin(begun, purpose_of(begun))?;
            begun += 1;
        }
        joiner.turn(|_, connection| {
            opened.push(connection);
            Ok(())
        })?;
    }
    Ok(opened)
}

/// Opens connections for `time`, each reset as soon as it is live.
pub fn churn(
    target: Target,
    time: Duration,
    purpose_of: impl Fn(usize) -> Purpose,
) -> Result<Joins> {
    let mut joiner = Joiner::new(target, CONCURRENCY)?;
    let mut begun = 0;
    let mut count = 0;
    let start = Instant::now();
    while start.elapsed() < time {
        while joiner.has_room() {
            joiner.begin(begun, purpose_of(begun))?;
            begun += 1;
        }
        joiner.turn(|_, connection| {
            count += 1;
            socket::reset(connection.fd);
            Ok(())
        })?;
    }
    let elapsed = start.elapsed();
    for (_, opening) in joiner.slots.iter_mut().filter_map(Option::take) {
        socket::reset(opening.into_opened().fd);
    }
    Ok(Joins { count, elapsed })
}
