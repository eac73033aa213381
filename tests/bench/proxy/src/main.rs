//! Measures the proxy without toxics in one run with the direct path and with a bare copy loop.
//!
//! A process of one repeat: it measures every path once, in rotated order, and reports the samples as one line of JSON.
//! The proxy and the copy loop are processes of their own with the same runtime, one thread of tokio.

mod memory;
mod redis;
mod relay;
mod throughput;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use load::relays::{Job, Path, Report, Row, Sample};

use crate::relay::{Kind, Relay};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", kind, upstream] => relay::serve(Kind::parse(kind)?, upstream.parse()?),
        ["measure", job] => {
            let report = measure(&serde_json::from_str(job)?)?;
            let line = serde_json::to_string(&report)?;
            Ok(writeln!(std::io::stdout().lock(), "{line}")?)
        }
        _ => bail!("`bench --only proxy` starts this program"),
    }
}

fn measure(job: &Job) -> Result<Report> {
    let has = |row| job.rows.contains(&row);
    let mut samples = Vec::new();
    let mut skipped = None;
    if has(Row::ProxyStream) || has(Row::ProxyStreams) {
        streams(job, &mut samples)?;
    }
    if has(Row::ProxyRedis) || has(Row::ProxyRedis50) {
        match redis::Server::start()? {
            Some(server) => requests(job, &server, &mut samples)?,
            None => skipped = Some(redis::MISSING.to_owned()),
        }
    }
    if has(Row::ProxyMemory) {
        for (path, kind) in [(Path::Copy, Kind::Copy), (Path::Proxy, Kind::Proxy)] {
            samples.push(Sample {
                row: Row::ProxyMemory,
                path,
                value: memory::run(kind, job.connections)?,
            });
        }
    }
    Ok(Report { samples, skipped })
}

fn streams(job: &Job, samples: &mut Vec<Sample>) -> Result<()> {
    let sink = throughput::Sink::start()?;
    let paths = Paths::start(sink.address())?;
    let time = Duration::from_millis(job.stream_ms);
    for path in rotated(job.repeat)? {
        for (row, connections) in [(Row::ProxyStream, 1), (Row::ProxyStreams, 8)] {
            if job.rows.contains(&row) {
                let value = throughput::run(paths.address(path), &sink, connections, time)?;
                samples.push(Sample { row, path, value });
            }
        }
    }
    Ok(())
}

fn requests(job: &Job, server: &redis::Server, samples: &mut Vec<Sample>) -> Result<()> {
    let paths = Paths::start(server.address())?;
    for path in rotated(job.repeat)? {
        for (row, clients) in [(Row::ProxyRedis, 1), (Row::ProxyRedis50, 50)] {
            if job.rows.contains(&row) {
                let value = redis::run(paths.address(path), clients, job.requests)?;
                samples.push(Sample { row, path, value });
            }
        }
    }
    Ok(())
}

/// All paths in the order of a repeat.
fn rotated(repeat: u32) -> Result<[Path; 3]> {
    let mut paths = Path::ALL;
    paths.rotate_left(usize::try_from(repeat)? % Path::ALL.len());
    Ok(paths)
}

/// The three paths to one server.
struct Paths {
    direct: SocketAddr,
    copy: Relay,
    proxy: Relay,
}

impl Paths {
    fn start(direct: SocketAddr) -> Result<Self> {
        Ok(Self {
            direct,
            copy: Relay::start(Kind::Copy, direct).context("failed to start the copy loop")?,
            proxy: Relay::start(Kind::Proxy, direct).context("failed to start the proxy")?,
        })
    }

    const fn address(&self, path: Path) -> SocketAddr {
        match path {
            Path::Direct => self.direct,
            Path::Copy => self.copy.address(),
            Path::Proxy => self.proxy.address(),
        }
    }
}
