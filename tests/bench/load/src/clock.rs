//! What a run costs: the generator's own CPU time, a server process's CPU time and memory, and the rest of the machine.
//!
//! Reads `/proc` only; the orchestrator brackets each run with it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

/// The CPU time that the calling thread has used.
#[must_use]
pub fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The CPU time that the threads of the process `pid` have used, in nanoseconds as the scheduler counts them.
/// The ticks of `/proc/PID/stat` are 10 ms apart, too coarse for a run of a third of a second.
pub fn process_cpu(pid: u32) -> Result<Duration> {
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).context("the server's process is gone")?;
    let mut total = Duration::ZERO;
    for thread in threads {
        // A thread that ends between the listing and the reading has no time to tell any more.
        let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let nanos = stat.split_ascii_whitespace().next().unwrap_or_default();
        total += Duration::from_nanos(nanos.parse().context("schedstat is no number")?);
    }
    Ok(total)
}

/// The resident memory of the process `pid` in bytes.
pub fn process_rss(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .context("the server's memory cannot be read")?;
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Rss:"))
        .ok_or_else(|| anyhow!("smaps_rollup has no Rss line"))?;
    let kib: u64 = line
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| anyhow!("unexpected Rss line: {line}"))?;
    Ok(kib * 1024)
}

/// The busy time of all cores since the machine started, idle and waiting for the disk left out.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    let all: u64 = fields.iter().take(8).sum();
    ticks_to_time(all.saturating_sub(idle))
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
}

/// What one run has cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// How long the run took.
    pub elapsed: Duration,
    /// The generator's share of its core, 0 to 1.
    pub generator_share: f64,
    /// The server's CPU time.
    pub server_cpu: Duration,
    /// The server's share of its core, 0 to 1.
    pub server_share: f64,
    /// What everything else on the machine used, in cores.
    pub others_share: f64,
}

/// The readings at a run's start.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    at: Instant,
    own: Duration,
    server: Duration,
    machine: Duration,
}

impl Meter {
    /// Reads all clocks for a run against the process `pid`.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            server: process_cpu(pid)?,
            machine: machine_busy(),
            own: own_cpu(),
            at: Instant::now(),
        })
    }

    /// Reads them again and gives the differences.
    pub fn stop(&self) -> Result<Cost> {
        let elapsed = self.at.elapsed();
        let own = own_cpu().saturating_sub(self.own);
        let server = process_cpu(self.pid)?.saturating_sub(self.server);
        let machine = machine_busy().saturating_sub(self.machine);
        let share = |time: Duration| time.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        Ok(Cost {
            elapsed,
            generator_share: share(own),
            server_cpu: server,
            server_share: share(server),
            others_share: share(machine.saturating_sub(own).saturating_sub(server)),
        })
    }
}
