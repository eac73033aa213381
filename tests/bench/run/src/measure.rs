//! Measures the rows of the plan once for one server: the samples of one repeat.

use std::time::Duration;

use anyhow::{Context, Result};
use load::cost::{self, Cost, Meter};
use load::dialect::Purpose;
use load::fanout::Fanout;
use load::join::{self, CONCURRENCY};
use load::publish::Publisher;
use load::{ping, socket, storm};

use crate::paths::Paths;
use crate::plan::{Plan, Row};
use crate::results::{Sample, Samples};
use crate::servers::{PingInterval, RunningServer, Server};

/// Maximum CPU use of other processes, in cores, for a valid run.
pub(crate) const NOISE_MAX: f64 = 0.15;

/// Number of samples for which an open loop is planned, enough for a 99th percentile.
const LATENCY_SAMPLES: f64 = 120.0;

/// Measures the wire size of the gateway's publication push, so that all servers send frames of the same size.
pub(crate) fn probe(paths: &Paths) -> Result<usize> {
    let gateway = RunningServer::start(Server::GatewayMemory, paths, 0, PingInterval::Default)?;
    let mut fanout = Fanout::connect(gateway.target, gateway.pid(), 1)?;
    fanout.closed_loop(64, Duration::ZERO, Duration::from_millis(300))?;
    Ok(fanout.frame_len())
}

/// The first pings are spread over half an interval; then two full intervals of two seconds are measured.
const PING_SETTLE: Duration = Duration::from_secs(2);
const PING_TIME: Duration = Duration::from_secs(4);

/// 10,000 connections, each pinged every 25 s.
const PINGS_PER_SECOND: f64 = 400.0;

/// Header size of an unmasked frame with a payload of 126 to 65,535 bytes.
const FRAME_HEAD_BYTES: usize = 4;

/// Measures one server, which sends frames of `frame_bytes`. Each group of rows has a new server process.
pub(crate) fn server(
    server: Server,
    repeat: u32,
    plan: &Plan,
    paths: &Paths,
    frame_bytes: usize,
) -> Result<Samples> {
    let plain_bytes = frame_bytes
        .checked_sub(FRAME_HEAD_BYTES)
        .context("invalid frame size: must be at least 4 bytes")?;
    let run = Run {
        server,
        repeat,
        plan,
        paths,
        plain_bytes,
    };
    let mut samples = run.fanout()?;
    for row in [
        Row::IdleShared,
        Row::IdleOwn,
        Row::Join,
        Row::Storm,
        Row::StormKilled,
        Row::Ping,
        Row::Durable1,
        Row::Durable32,
        Row::Durable64,
    ] {
        if plan.rows.contains(&row) && row.is_applicable_to(server) {
            samples.push(run.repeat_if_disturbed(|| run.measure_row(row))?);
        }
    }
    Ok(samples)
}

struct Run<'a> {
    server: Server,
    repeat: u32,
    plan: &'a Plan,
    paths: &'a Paths,
    plain_bytes: usize,
}

impl Run<'_> {
    fn start(&self) -> Result<RunningServer> {
        RunningServer::start(
            self.server,
            self.paths,
            self.plain_bytes,
            PingInterval::Default,
        )
    }

    /// Repeats a measurement that other processes disturbed, and returns the last sample.
    fn repeat_if_disturbed(&self, mut measure: impl FnMut() -> Result<Sample>) -> Result<Sample> {
        let mut sample = measure()?;
        for _ in 0..self.plan.noise_retries {
            if sample.others_share <= NOISE_MAX {
                break;
            }
            sample = measure()?;
        }
        Ok(sample)
    }

    fn sample(&self, row: Row, value: f64, cost: &Cost) -> Sample {
        Sample {
            row,
            server: self.server,
            repeat: self.repeat,
            value,
            generator_share: cost.generator_share,
            server_share: cost.server_share,
            others_share: cost.others_share,
            ..Sample::default()
        }
    }

    /// Measures the rows that share one set of subscribers.
    fn fanout(&self) -> Result<Samples> {
        let plan = self.plan;
        let mut samples = Samples::new();
        if !plan.rows.iter().any(|row| {
            row.is_applicable_to(self.server) && (row.in_flight().is_some() || *row == Row::Latency)
        }) {
            return Ok(samples);
        }
        let running = self.start()?;
        let mut fanout = Fanout::connect(running.target, running.pid(), plan.subscribers)?;
        for row in plan.rows.iter().copied() {
            if let Some(in_flight) = row.in_flight() {
                samples.push(
                    self.repeat_if_disturbed(|| self.closed_loop(&mut fanout, row, in_flight))?,
                );
            }
        }
        if plan.rows.contains(&Row::Latency) {
            let rate = match samples.iter().find(|sample| sample.row == Row::Fanout1) {
                Some(sample) => sample.value,
                None => self.closed_loop(&mut fanout, Row::Fanout1, 1)?.value,
            };
            samples.push(self.repeat_if_disturbed(|| self.latency(&mut fanout, rate))?);
        }
        Ok(samples)
    }

    fn closed_loop(&self, fanout: &mut Fanout, row: Row, in_flight: u64) -> Result<Sample> {
        let closed_loop = fanout.closed_loop(in_flight, self.plan.warm_up, self.plan.time)?;
        let deliveries = count(closed_loop.deliveries);
        let mut sample = self.sample(
            row,
            deliveries / closed_loop.cost.elapsed.as_secs_f64(),
            &closed_loop.cost,
        );
        sample.per_read = deliveries / count(closed_loop.reads).max(1.0);
        Ok(sample)
    }

    fn latency(&self, fanout: &mut Fanout, deliveries_per_second: f64) -> Result<Sample> {
        let interval =
            Duration::from_secs_f64(2.0 * f64::from(self.plan.subscribers) / deliveries_per_second);
        let time = interval.mul_f64(LATENCY_SAMPLES).max(self.plan.time);
        let open_loop = fanout.open_loop(interval, self.plan.warm_up, time)?;
        let at = |numerator: usize, denominator: usize| {
            let index = (open_loop.latencies.len() * numerator / denominator)
                .min(open_loop.latencies.len().saturating_sub(1));
            open_loop
                .latencies
                .get(index)
                .copied()
                .unwrap_or_default()
                .as_secs_f64()
                * 1000.0
        };
        // Below 100 samples there is no 99th percentile, so the maximum is used.
        let high = if open_loop.latencies.len() < 100 {
            at(1, 1)
        } else {
            at(99, 100)
        };
        let mut sample = self.sample(Row::Latency, high, &open_loop.cost);
        sample.median_ms = at(1, 2);
        sample.samples = open_loop.latencies.len();
        Ok(sample)
    }

    fn measure_row(&self, row: Row) -> Result<Sample> {
        match row {
            Row::IdleShared => self.idle(row, |_| "idle".to_owned()),
            Row::IdleOwn => self.idle(row, |number| format!("idle-{number}")),
            Row::Join => self.join(),
            Row::Storm => self.storm(row, |_| Ok(())),
            Row::StormKilled => self.storm(row, |running| running.kill_and_restart(self.paths)),
            Row::Ping => self.ping(),
            Row::Durable1 | Row::Durable32 | Row::Durable64 => self.durable(row),
            Row::Fanout1 | Row::Fanout32 | Row::Fanout64 | Row::Latency => {
                anyhow::bail!("the fan-out rows are measured together")
            }
        }
    }

    fn idle(&self, row: Row, channel_of: impl Fn(usize) -> String) -> Result<Sample> {
        let running = self.start()?;
        let meter = Meter::start(running.pid())?;
        let empty = cost::process_rss(running.pid())?;
        let subscribe = |number| Purpose::Subscribe {
            channel: channel_of(number),
        };
        let connections = join::open_all(
            running.target,
            usize::try_from(self.plan.idle)?,
            CONCURRENCY,
            subscribe,
        )?;
        std::thread::sleep(Duration::from_millis(300));
        let full = cost::process_rss(running.pid())?;
        let cost = meter.stop()?;
        for connection in connections {
            socket::reset(connection.fd);
        }
        let mut sample = self.sample(
            row,
            count(full.saturating_sub(empty)) / f64::from(self.plan.idle),
            &cost,
        );
        sample.empty_bytes = empty;
        Ok(sample)
    }

    fn join(&self) -> Result<Sample> {
        let running = self.start()?;
        let subscribe = |_| Purpose::Subscribe {
            channel: "join".to_owned(),
        };
        join::churn(running.target, self.plan.join_warm_up, subscribe)?;
        let meter = Meter::start(running.pid())?;
        let joins = join::churn(running.target, self.plan.time, subscribe)?;
        let cost = meter.stop()?;
        let joined = f64::from(joins.count);
        let mut sample = self.sample(
            Row::Join,
            joined / cost.server_cpu.as_secs_f64().max(0.01),
            &cost,
        );
        sample.seen_per_second = joined / joins.elapsed.as_secs_f64();
        Ok(sample)
    }

    /// Calls `between` after the clients have disconnected and before they reconnect.
    fn storm(
        &self,
        row: Row,
        between: impl Fn(&mut RunningServer) -> Result<()>,
    ) -> Result<Sample> {
        let mut running = self.start()?;
        let (clients, missed) = self.plan.storm;
        let disconnected =
            storm::prepare(running.target, usize::try_from(clients)?, u64::from(missed))?;
        between(&mut running)?;
        let storm = storm::resume(running.target, running.pid(), &disconnected)?;
        let mut sample = self.sample(row, storm.time.as_secs_f64(), &storm.cost);
        sample.cpu_us_per_client = storm.cost.server_cpu.as_secs_f64() * 1e6 / f64::from(clients);
        Ok(sample)
    }

    fn durable(&self, row: Row) -> Result<Sample> {
        let running = self.start()?;
        let (protocol, in_flight) =
            self.server.protocol().zip(row.unacknowledged()).context(
                "a row of acknowledged publications, and a server that acknowledges them",
            )?;
        let mut publisher = Publisher::connect(protocol, running.target.port, running.pid())?;
        let acknowledged = publisher.closed_loop(in_flight, self.plan.warm_up, self.plan.time)?;
        let rate = count(acknowledged.count) / acknowledged.cost.elapsed.as_secs_f64();
        Ok(self.sample(row, rate, &acknowledged.cost))
    }

    fn ping(&self) -> Result<Sample> {
        let running = RunningServer::start(
            self.server,
            self.paths,
            self.plain_bytes,
            PingInterval::Short,
        )?;
        let clients = usize::try_from(self.plan.idle)?;
        let pings = ping::run(
            running.target,
            running.pid(),
            clients,
            PING_SETTLE,
            PING_TIME,
        )?;
        let cpu = pings.cost.server_cpu.as_secs_f64() / count(pings.pongs).max(1.0);
        let mut sample = self.sample(Row::Ping, cpu * PINGS_PER_SECOND * 100.0, &pings.cost);
        sample.cpu_us_per_client = cpu * 1e6;
        Ok(sample)
    }
}

/// Converts a count to a floating-point number.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "all counts here are far below 2^53"
)]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}
