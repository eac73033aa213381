//! Load over kills and restarts: clients publish, the gateway dies in mid-flight and comes back, and the ledger judges.
//!
//! The clients resume by themselves; the harness only repeats keyed publications whose answers were lost, with the same
//! key. A kill counts only if answers were outstanding that never came. Called by the binary and by the tests.

mod run;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use self::run::Run;
use crate::binaries;
use crate::driver::Kind;
use crate::gateway::Gateway;
use crate::peers::Peers;
use crate::verdict::Verdict;

/// How much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kills that count.
    pub cycles: u32,
    /// Clients of each kind.
    pub clients: usize,
    /// Channels; each client publishes to one and reads two.
    pub channels: usize,
    /// Load with everyone connected, before each kill and after the last restart.
    pub load: Duration,
    /// How long the end may take: repeats answered, all subscribers at the top.
    pub settle: Duration,
    /// A kill counts only if answers were outstanding that never came; else it is tried again.
    pub in_flight_only: bool,
    /// With fewer acknowledged publications the run proves nothing.
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
            // A third of what the load comes to: a busy machine skips ticks.
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

    /// Two kills, for a broken twin: its promise breaks at the first, and waiting for it to settle is idle.
    pub fn twin() -> Self {
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
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
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

/// Runs the plan against this program and judges. The run's folder is kept when a promise was broken.
///
/// # Errors
///
/// When the run itself could not be carried out: something did not start, or the clients did not come back.
pub fn run(program: PathBuf, name: &str, plan: &Plan) -> Result<Verdict> {
    let mut gateway = Gateway::new(program, binaries::scratch(name)?)?;
    // Built before the clock starts.
    let peers = Peers::start()?;
    gateway.start()?;
    let mut run = Run::new(gateway, peers, plan.clone());
    run.gather()?;
    for kill in 0..plan.cycles {
        let mut counts = false;
        for attempt in 0..run::ATTEMPTS_PER_KILL {
            run.load()?;
            counts = run.kill_and_restart(kill, attempt)?;
            if counts {
                break;
            }
        }
        anyhow::ensure!(counts, "no answers were outstanding at kill {}", kill + 1);
    }
    run.load()?;
    let (verdict, gateway) = run.finish()?;
    if verdict.holds() {
        gateway.clean_up()?;
    }
    Ok(verdict)
}
