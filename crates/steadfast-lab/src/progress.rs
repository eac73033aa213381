//! How a run is going, in numbers, for the person who waits.

use std::time::Duration;

use steadfast_faults::ledger::record::Phase;

/// Once a second, and at each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The run without faults that goes before, or the run itself.
    pub is_control: bool,
    /// Where it is.
    pub phase: Phase,
    /// Since the start of the baseline.
    pub elapsed: Duration,
    /// From the start of the baseline to the end.
    pub total: Duration,
    /// Clients that are connected and subscribed.
    pub clients_up: usize,
    /// All clients.
    pub clients: usize,
    /// Publications that were acknowledged.
    pub acknowledged: u64,
    /// Publications whose outcome is not known.
    pub unanswered: usize,
    /// Publications that were handed to clients.
    pub delivered: u64,
    /// What happened just now, for example `gateway:1 killed`.
    pub news: Option<String>,
}
