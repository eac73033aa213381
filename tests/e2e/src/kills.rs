//! Load over kills and restarts: clients publish, the gateway is killed with publications in flight and restarted, and
//! the ledger is evaluated.
//!
//! The clients resume automatically; the harness only repeats idempotent publications whose acknowledgements were lost,
//! with the same key. A kill counts only if acknowledgements were lost. The binary and the tests call this module.

mod run;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use self::run::Run;
use crate::binaries;
use crate::driver::ClientKind;
use crate::gateway::Gateway;
use crate::third_party::Drivers;
use crate::verdict::Verdict;

/// The amount of load and the number of kills.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kills that count.
    pub cycles: u32,
    /// Clients of each kind.
    pub clients: usize,
    /// Channels; each client publishes to one and reads two.
    pub channels: usize,
    /// Duration of the load with all clients connected, before each kill and after the last restart.
    pub load: Duration,
    /// Maximum time at the end of a run until all repeats are acknowledged and all subscribers at the high watermark.
    pub settle: Duration,
    /// If true, a kill counts only if acknowledgements of idempotent publications were lost; otherwise it is repeated.
    pub in_flight_only: bool,
    /// Minimum number of acknowledged publications; with fewer, the run proves nothing.
    pub acknowledged_min: u64,
}

impl Plan {
    /// Three kills in about fifteen seconds, for every run of the tests.
    pub fn short() -> Self {
        Self {
            cycles: 3,
            clients: 5,
            channels: 2,
            load: Duration::from_secs(2),
            settle: Duration::from_secs(30),
            in_flight_only: true,
            // A third of the nominal load: a busy machine skips ticks.
            acknowledged_min: 500,
        }
    }

    /// Ten kills and more than 20,000 acknowledged publications, in about a minute and a half.
    pub fn long() -> Self {
        Self {
            cycles: 10,
            clients: 10,
            channels: 4,
            load: Duration::from_millis(5500),
            settle: Duration::from_mins(1),
            in_flight_only: true,
            acknowledged_min: 20_000,
        }
    }

    /// Two kills, for a known-bad build: its bug is visible at the first kill, and the run may never settle.
    pub fn known_bad() -> Self {
        Self {
            cycles: 2,
            clients: 4,
            channels: 2,
            load: Duration::from_millis(1500),
            settle: Duration::from_secs(3),
            in_flight_only: false,
            acknowledged_min: 200,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = ClientKind::ALL
            .iter()
            .map(|kind| kind.name_prefix())
            .collect();
        write!(
            out,
            "{} kills, {} clients of each kind ({}), {} channels, each client {} messages a second of {} bytes",
            self.cycles,
            self.clients,
            kinds.join(", "),
            self.channels,
            run::MESSAGES_PER_SECOND,
            run::PAYLOAD_BYTES,
        )
    }
}

/// Runs the plan against this program and evaluates it. The run's folder is kept when a guarantee was violated.
///
/// # Errors
///
/// When the run itself failed: a process did not start, or the clients did not reconnect.
pub fn run(program: PathBuf, name: &str, plan: &Plan) -> Result<Verdict> {
    let mut gateway = Gateway::new(program, binaries::scratch(name)?)?;
    // The drivers are built before the gateway starts.
    let drivers = Drivers::start()?;
    gateway.start()?;
    let mut run = Run::new(gateway, drivers, plan.clone());
    run.connect_all()?;
    for kill in 0..plan.cycles {
        let mut counts = false;
        for attempt in 0..run::ATTEMPTS_PER_KILL {
            run.load()?;
            counts = run.kill_and_restart(kill, attempt)?;
            if counts {
                break;
            }
        }
        anyhow::ensure!(counts, "no acknowledgements were lost at kill {}", kill + 1);
    }
    run.load()?;
    let (verdict, mut gateway) = run.finish()?;
    if verdict.holds() {
        gateway.clean_up()?;
    }
    Ok(verdict)
}
