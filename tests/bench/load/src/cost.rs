//! The resources that a run uses: CPU time of the generator, CPU time and memory of a server, and CPU time of all other
//! processes.
//!
//! Reads only `/proc` and the thread's clock, at the start and at the end of each run.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Returns the CPU time of all threads of process `pid`, which the scheduler counts in nanoseconds.
/// The ticks of `/proc/PID/stat` are 10 ms long, which is too coarse for a run of a third of a second.
pub fn process_cpu(pid: u32) -> Result<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("server process not found")?;
    let mut total = Duration::ZERO;
    for thread in threads {
        // The CPU time of a thread that exits between the listing and the reading is not available any more.
        let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let nanos = stat.split_ascii_whitespace().next().unwrap_or_default();
        total += Duration::from_nanos(nanos.parse().context("invalid number in schedstat")?);
    }
    Ok(total)
}

/// Returns the resident memory of process `pid` in bytes.
pub fn process_rss(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .context("failed to read the memory use of the server")?;
    kib_in_line(&rollup, "Rss:")
}

/// Returns the maximum of the resident memory of process `pid` since its start, in bytes.
pub fn process_peak_rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .context("failed to read the memory use of the server")?;
    kib_in_line(&status, "VmHWM:")
}

/// Returns the bytes of the line that begins with `name` and has a number of KiB.
fn kib_in_line(text: &str, name: &str) -> Result<u64> {
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .ok_or_else(|| anyhow!("no line {name}"))?;
    let kib: u64 = line
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| anyhow!("invalid line: {line}"))?;
    Ok(kib * 1024)
}

/// Returns the busy time of all cores since boot, without idle time and I/O wait.
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

/// The resources that one run used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Duration of the run.
    pub elapsed: Duration,
    /// CPU use of the generator as a share of its core, from 0 to 1.
    pub generator_share: f64,
    /// CPU time of the server.
    pub server_cpu: Duration,
    /// CPU use of the server as a share of its core, from 0 to 1.
    pub server_share: f64,
    /// CPU use of all other processes on the machine, in cores.
    pub others_share: f64,
}

impl Cost {
    /// Subtracts CPU time in which the generator found nothing to do from its share.
    #[must_use]
    pub fn without_idle(mut self, idle: Duration) -> Self {
        let idle_share = idle.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9);
        self.generator_share = (self.generator_share - idle_share).max(0.0);
        self
    }
}

/// The readings at the start of a run.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    at: Instant,
    own: Duration,
    server: Duration,
    machine: Duration,
}

impl Meter {
    /// Reads all clocks at the start of a run against process `pid`.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            server: process_cpu(pid)?,
            machine: machine_busy(),
            own: thread_cpu(),
            at: Instant::now(),
        })
    }

    /// Reads all clocks again and returns the differences.
    pub fn stop(&self) -> Result<Cost> {
        let elapsed = self.at.elapsed();
        let own = thread_cpu().saturating_sub(self.own);
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
