//! Measures the bystander rows: the same bystanders before and during each disturbance, on a gateway with one shard, so
//! that all clients share an event loop.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use load::cost;
use load::disturbance;
use load::fanout::{Fanout, OpenLoop};

use super::plan::{Plan, Row};
use super::results::{Results, Sample};
use crate::measure::count;
use crate::paths::Paths;
use crate::servers::RunningServer;

/// Measures all rows of the plan; each row has a new process.
pub(crate) fn run(plan: &Plan, paths: &Paths, machine: String) -> Result<Results> {
    let mut samples = Vec::new();
    for repeat in 0..plan.repeats {
        for row in plan.rows.iter().copied() {
            crate::print_progress(&format!(
                "repeat {} of {}: bystanders, {}\n",
                repeat + 1,
                plan.repeats,
                row.name()
            ))?;
            let sample = measure(row, repeat, plan, paths);
            samples.push(sample.with_context(|| format!("failed to measure {}", row.name()))?);
        }
    }
    Ok(Results {
        machine,
        repeats: plan.repeats,
        bystanders: plan.bystanders,
        samples,
    })
}

fn measure(row: Row, repeat: u32, plan: &Plan, paths: &Paths) -> Result<Sample> {
    let (server, log, disturbance) = row.setting();
    let running = RunningServer::start_with_log(server, paths, log)?;
    let (target, pid) = (running.target, running.pid());
    let mut bystanders = Fanout::connect(target, pid, plan.bystanders)?;
    let quiet = bystanders.open_loop(plan.interval, plan.warm_up, plan.time)?;
    let before = cost::process_rss(pid)?;
    let (disturbed, done) = disturbance::during(disturbance, target, || {
        bystanders.open_loop(plan.interval, row.settle(), plan.time)
    })?;
    let memory = cost::process_peak_rss(pid)?.saturating_sub(before);
    Ok(Sample {
        row,
        repeat,
        quiet_ms: p99_ms(&quiet)?,
        disturbed_ms: p99_ms(&disturbed)?,
        events_per_second: per_second(done.events, done.elapsed),
        rejected_per_second: per_second(done.rejected, done.elapsed),
        memory_bytes: count(memory),
        server_share: disturbed.cost.server_share,
        lines_dropped: lines_dropped(target.port)?,
    })
}

fn p99_ms(open_loop: &OpenLoop) -> Result<f64> {
    let samples = open_loop.latencies.len();
    if samples < 100 {
        bail!("{samples} samples are too few for a 99th percentile");
    }
    let latency = open_loop.latencies.get(samples * 99 / 100);
    Ok(latency.copied().unwrap_or_default().as_secs_f64() * 1000.0)
}

fn per_second(events: u64, elapsed: Duration) -> f64 {
    count(events) / elapsed.as_secs_f64().max(1e-9)
}

/// Returns how many log lines the gateway has dropped. Fails if it is not ready.
fn lines_dropped(port: u16) -> Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    if !response.starts_with("HTTP/1.1 200 ") {
        bail!("not ready after the disturbance: {response}");
    }
    let words = response.split(" log lines dropped").next();
    let count = words.and_then(|text| text.split_whitespace().next_back());
    let is_reported = response.contains(" log lines dropped");
    count
        .filter(|_| is_reported)
        .map_or(Ok(0), str::parse)
        .context("invalid number of dropped lines")
}
