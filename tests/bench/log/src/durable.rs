//! Durable records per second: 64 writers with 64 records in flight each, and the time from request to acknowledgement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::args::Args;
use crate::engine::{Engine, EngineKind, Record};

const WRITERS: u16 = 64;
const IN_FLIGHT: usize = 64;
const PAYLOAD_BYTES: usize = 256;

/// Warm-up before the measurement, as a share of the measured time.
const WARM_UP: f64 = 0.25;

/// The result of one run of one engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DurableRun {
    pub(crate) engine: EngineKind,
    pub(crate) repeat: usize,
    pub(crate) records_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

pub(crate) fn run(args: &Args) -> Result<Vec<DurableRun>> {
    let mut runs = Vec::new();
    for repeat in 0..args.repeats {
        let order = EngineKind::ALL
            .iter()
            .cycle()
            .skip(repeat)
            .take(EngineKind::ALL.len());
        for engine in order {
            let directory = tempfile::tempdir_in(&args.directory)?;
            let mut opened = engine.open(directory.path())?;
            let run = measure(opened.as_mut(), args.seconds).with_context(|| engine.name())?;
            runs.push(DurableRun {
                engine: *engine,
                repeat,
                ..run
            });
        }
    }
    Ok(runs)
}

/// The writers' payloads and, per writer, the time at which each record in flight was requested.
struct Writers {
    payloads: Bytes,
    next: usize,
    requested_at: Vec<VecDeque<Instant>>,
}

impl Writers {
    fn new() -> Self {
        let noise: Vec<u8> = (0..1_u32 << 20)
            .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        let requested_at = (0..WRITERS)
            .map(|_| VecDeque::with_capacity(IN_FLIGHT))
            .collect();
        Self {
            payloads: Bytes::from(noise),
            next: 0,
            requested_at,
        }
    }

    fn next_record(&mut self, writer: u16, now: Instant) -> Record {
        if let Some(requested_at) = self.requested_at.get_mut(usize::from(writer)) {
            requested_at.push_back(now);
        }
        self.next = (self.next + 97) % (self.payloads.len() - PAYLOAD_BYTES);
        Record {
            writer,
            payload: self.payloads.slice(self.next..self.next + PAYLOAD_BYTES),
        }
    }

    fn latency(&mut self, writer: u16, now: Instant) -> Result<Duration> {
        let requested_at = self
            .requested_at
            .get_mut(usize::from(writer))
            .and_then(VecDeque::pop_front);
        Ok(now - requested_at.context("acknowledgement without a record in flight")?)
    }
}

fn measure(engine: &mut dyn Engine, seconds: Duration) -> Result<DurableRun> {
    let mut writers = Writers::new();
    let mut durable = Vec::new();
    let mut latencies = Vec::new();
    let counting = Instant::now() + seconds.mul_f64(WARM_UP);
    let end = counting + seconds;
    let first = (0..WRITERS).flat_map(|writer| std::iter::repeat_n(writer, IN_FLIGHT));
    let start = Instant::now();
    let mut batch: Vec<Record> = first
        .map(|writer| writers.next_record(writer, start))
        .collect();
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
            let latency = writers.latency(*writer, now)?;
            if now >= counting && now < end {
                latencies.push(latency);
            }
            if now < end {
                batch.push(writers.next_record(*writer, now));
            }
        }
        in_flight += batch.len();
    }
    summary(latencies, seconds)
}

fn summary(mut latencies: Vec<Duration>, seconds: Duration) -> Result<DurableRun> {
    latencies.sort_unstable();
    let count = u32::try_from(latencies.len())?;
    let at = |share: usize| {
        latencies
            .get(latencies.len() * share / 100)
            .copied()
            .context("no record became durable")
    };
    Ok(DurableRun {
        engine: EngineKind::Floor,
        repeat: 0,
        records_per_second: f64::from(count) / seconds.as_secs_f64(),
        p50: at(50)?,
        p99: at(99)?,
    })
}
