//! The plan of the proxy rows: rows, repeats and durations.

use load::relays::{Job, Row};

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<Row>,
    pub(crate) repeats: u32,
    stream_ms: u64,
    requests: u32,
    /// Number of open connections in the memory row.
    pub(crate) connections: u32,
}

impl Plan {
    /// Returns the plan of the documented results.
    pub(crate) fn full() -> Self {
        Self {
            rows: Row::ALL.to_vec(),
            repeats: 5,
            stream_ms: 2_000,
            requests: 40_000,
            connections: 5_000,
        }
    }

    /// Returns a plan of a few seconds, which detects failures and large regressions.
    pub(crate) fn smoke() -> Self {
        Self {
            repeats: 1,
            stream_ms: 200,
            requests: 2_000,
            connections: 300,
            ..Self::full()
        }
    }

    /// Returns what the process measures in a repeat.
    pub(crate) fn job(&self, repeat: u32) -> Job {
        Job {
            rows: self.rows.clone(),
            repeat,
            stream_ms: self.stream_ms,
            requests: self.requests,
            connections: self.connections,
        }
    }
}
