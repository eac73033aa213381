//! Durable records a second: 64 writers with 64 in flight each, and the time from asking to the acknowledgement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::args::Args;
use crate::engine::{Engine, Item, Kind};

const WRITERS: u16 = 64;
const IN_FLIGHT: usize = 64;
const PAYLOAD_BYTES: usize = 256;

/// Share of the measured time that passes before counting begins.
const WARM_UP: f64 = 0.25;

/// One run of one engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) engine: Kind,
    pub(crate) repeat: usize,
    pub(crate) records_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn run(args: &Args) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for repeat in 0..args.repeats {
        let order = Kind::ALL.iter().cycle().skip(repeat).take(Kind::ALL.len());
        for engine in order {
            let directory = tempfile::tempdir_in(&args.directory)?;
            let mut opened = engine.open(directory.path())?;
            let run = measure(opened.as_mut(), args.seconds).with_context(|| engine.name())?;
            runs.push(Run {
                engine: *engine,
                repeat,
                ..run
            });
        }
    }
    Ok(runs)
}

/// What the writers know: the payloads, and when each record in flight was asked for.
struct Writers {
    payloads: Bytes,
    next: usize,
    asked: Vec<VecDeque<Instant>>,
}

impl Writers {
    fn new() -> Self {
        let noise: Vec<u8> = (0..1_u32 << 20)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        let asked = (0..WRITERS)
            .map(|_| VecDeque::with_capacity(IN_FLIGHT))
            .collect();
        Self {
            payloads: Bytes::from(noise),
            next: 0,
            asked,
        }
    }

    fn ask(&mut self, writer: u16, now: Instant) -> Item {
        if let Some(asked) = self.asked.get_mut(usize::from(writer)) {
            asked.push_back(now);
        }
        self.next = (self.next + 97) % (self.payloads.len() - PAYLOAD_BYTES);
        Item {
            writer,
            payload: self.payloads.slice(self.next..self.next + PAYLOAD_BYTES),
        }
    }

    fn waited(&mut self, writer: u16, now: Instant) -> Result<Duration> {
        let asked = self
            .asked
            .get_mut(usize::from(writer))
            .and_then(VecDeque::pop_front);
        Ok(now - asked.context("an acknowledgement of nothing")?)
    }
}

fn measure(engine: &mut dyn Engine, seconds: Duration) -> Result<Run> {
    let mut writers = Writers::new();
    let mut durable = Vec::new();
    let mut waits = Vec::new();
    let counting = Instant::now() + seconds.mul_f64(WARM_UP);
    let end = counting + seconds;
    let first = (0..WRITERS).flat_map(|writer| std::iter::repeat_n(writer, IN_FLIGHT));
    let start = Instant::now();
    let mut batch: Vec<Item> = first.map(|writer| writers.ask(writer, start)).collect();
    let mut in_flight = batch.len();
    while in_flight > 0 {
        if !batch.is_empty() {
            engine.submit(std::mem::take(&mut batch))?;
        }
        durable.clear();
        engine.acknowledged(&mut durable)?;
        let now = Instant::now();
        in_flight -= durable.len();
        for writer in &durable {
            let wait = writers.waited(*writer, now)?;
            if now >= counting && now < end {
                waits.push(wait);
            }
            if now < end {
                batch.push(writers.ask(*writer, now));
            }
        }
        in_flight += batch.len();
    }
    summary(waits, seconds)
}

fn summary(mut waits: Vec<Duration>, seconds: Duration) -> Result<Run> {
    waits.sort_unstable();
    let count = u32::try_from(waits.len())?;
    let at = |share: usize| {
        waits
            .get(waits.len() * share / 100)
            .copied()
            .context("nothing was durable")
    };
    Ok(Run {
        engine: Kind::Floor,
        repeat: 0,
        records_per_second: f64::from(count) / seconds.as_secs_f64(),
        p50: at(50)?,
        p99: at(99)?,
    })
}
