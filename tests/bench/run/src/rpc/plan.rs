//! The plan of the rows of JSON-RPC: rows, repeats and durations.

use std::path::Path;

use load::rpc::{Job, Row};

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) repeats: u32,
    /// Number of calls in flight in the row of the rate.
    pub(crate) in_flight: u32,
    /// Number of calls of which the latency is measured.
    pub(crate) latencies: u32,
    warm_up_ms: u64,
    time_ms: u64,
}

impl Plan {
    /// Returns the plan of the documented results.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 5,
            in_flight: 64,
            latencies: 5_000,
            warm_up_ms: 300,
            time_ms: 2_000,
        }
    }

    /// Returns a plan of a few seconds, which detects failures and large regressions.
    pub(crate) fn smoke() -> Self {
        Self {
            repeats: 1,
            latencies: 500,
            warm_up_ms: 100,
            time_ms: 300,
            ..Self::full()
        }
    }

    /// Returns what the process measures in a repeat.
    pub(crate) fn job(&self, repeat: u32, steadfast: &Path) -> Job {
        Job {
            rows: self.rows.clone(),
            repeat,
            in_flight: self.in_flight,
            warm_up_ms: self.warm_up_ms,
            time_ms: self.time_ms,
            latencies: self.latencies,
            steadfast: steadfast.to_owned(),
        }
    }
}
