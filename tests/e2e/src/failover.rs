//! The client library with two gateways that share no log: it is on the second one soon after the first has become
//! unavailable, and on the first again after the hold-down, and nothing is lost silently or stored twice.
//!
//! Each gateway is a process on a host of its own, and each [`Fault`] is real: a signal, a route that drops packets, an HTTP
//! server in the place of the gateway. All faults run at once, each with a client and two gateways of its own.

mod fault;
mod ledger;
mod run;
mod traffic;
pub mod unavailable;

use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

pub use self::fault::Fault;
use crate::namespaces::link;

/// Runs every fault; this process must be in namespaces of its own.
///
/// # Errors
///
/// When a client is not where it must be in time, or the ledger does not hold; the message names the fault.
pub fn run(program: &Path) -> Result<()> {
    link::prepare()?;
    let runs: Vec<_> = (0..)
        .step_by(2)
        .zip(Fault::ALL)
        .map(|(number, fault)| {
            let program = program.to_owned();
            let run = thread::spawn(move || run::run(&program, fault, number));
            (fault, run)
        })
        .collect();
    // Every run ends before the first failure is reported, so that no gateway outlives this process.
    let outcomes: Vec<_> = runs
        .into_iter()
        .map(|(fault, run)| (fault, run.join()))
        .collect();
    for (fault, outcome) in outcomes {
        outcome
            .map_err(|panic| anyhow!("panicked: {panic:?}"))
            .flatten()
            .with_context(|| format!("the first gateway {fault}"))?;
    }
    Ok(())
}
