//! The cores of the machine: servers run on the first one, and what drives them on the second.

use std::fs;

use anyhow::Result;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the servers.
pub const SERVER_CORE: usize = 0;
/// The core of the generator and of the clients.
pub const GENERATOR_CORE: usize = 1;

/// Pins this thread, and the processes that it starts afterwards, to one core. Does nothing if the core does not exist.
pub fn pin(core: usize) -> Result<()> {
    if core >= machine_cores()? {
        return Ok(());
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Returns the number of cores of the machine, independent of this process's CPU affinity.
pub fn machine_cores() -> Result<usize> {
    let stat = fs::read_to_string("/proc/stat")?;
    Ok(stat
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count())
}
