//! What clients do to a gateway while the latency of its other clients is measured: the bystanders.
//!
//! A disturbance has a thread of its own with the lowest priority, so that the thread that measures is never delayed by
//! it. It continues until it is stopped, and checks only what it counts.

mod flood;
mod refusals;
mod silent;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::join::Target;

/// The increment of the nice value of a disturbing thread, which is the highest one.
const LOWEST_PRIORITY: i32 = 19;

/// Longest wait of a disturbance before it checks whether it is stopped.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// A kind of disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Upgrade requests of a web page that may not connect, each on a connection of its own.
    Refusals {
        /// Requests per second.
        per_second: u32,
    },
    /// Subscribers that read nothing of a channel with 200 publications of 2 KB per second. A subscriber that the
    /// gateway disconnects connects again.
    SilentReaders {
        /// Number of subscribers.
        count: usize,
    },
    /// Clients that join and leave a channel with listeners, as fast as they receive replies.
    JoinsAndLeaves,
    /// Clients that publish 60 KB to a channel each, as fast as they receive acknowledgements.
    LargePublications,
}

/// What a disturbance has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Refused requests, publications to silent readers, or commands with a reply.
    pub events: u64,
    /// Disconnected silent readers, or commands whose reply was an error.
    pub rejected: u64,
    /// Duration of the disturbance.
    pub elapsed: Duration,
}

/// Disturbs the gateway from another thread while `measure` runs.
pub fn during<T>(
    disturbance: Disturbance,
    target: Target,
    measure: impl FnOnce() -> Result<T>,
) -> Result<(T, Done)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| {
            rustix::process::nice(LOWEST_PRIORITY)?;
            let start = Instant::now();
            let done = match disturbance {
                Disturbance::Refusals { per_second } => refusals::run(target, per_second, &stop),
                Disturbance::SilentReaders { count } => silent::run(target, count, &stop),
                Disturbance::JoinsAndLeaves => flood::joins_and_leaves(target, &stop),
                Disturbance::LargePublications => flood::large_publications(target, &stop),
            }?;
            Ok(Done {
                elapsed: start.elapsed(),
                ..done
            })
        });
        let measured = measure();
        stop.store(true, Ordering::Relaxed);
        let done: Result<Done> = disturbing
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the disturbing thread panicked")));
        // A failed disturbance explains a failed measurement.
        let done = done?;
        Ok((measured?, done))
    })
}

/// Returns `true` once the measurement is complete.
fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
