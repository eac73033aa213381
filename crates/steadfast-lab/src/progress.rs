//! The progress of a run in numbers, for display.

use std::time::Duration;

use steadfast_faults::ledger::event::RunPhase;

/// A progress report: one each second, and one at each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// True during the control run without faults, which precedes the run itself.
    pub is_control: bool,
    /// The current phase of the run.
    pub phase: RunPhase,
    /// What the baseline waits for, for example `gateway:1`; empty from its start on.
    pub waiting_for: String,
    /// The time since the start of the baseline.
    pub elapsed: Duration,
    /// The time from the start of the baseline to the end of the run.
    pub total: Duration,
    /// The planned time until the end of this run, and of the run after a control run.
    pub remaining: Duration,
    /// Clients that are connected and subscribed.
    pub clients_up: usize,
    /// All clients of the run.
    pub clients: usize,
    /// Publications that the gateway acknowledged.
    pub acknowledged: u64,
    /// Publications without an outcome yet, sent or queued.
    pub pending: usize,
    /// Publications that were delivered to clients.
    pub delivered: u64,
    /// All planned faults of this run.
    pub faults: usize,
    /// Faults whose effect is undone, and those without an effect.
    pub faults_healed: usize,
    /// The faults that are in effect, for example `proc.kill gateway:1`.
    pub faults_active: Vec<String>,
    /// What just happened, for example `kill gateway:1`.
    pub event: Option<String>,
}
