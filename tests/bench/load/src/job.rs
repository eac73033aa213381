//! The job of a client process and its reports, each as one JSON line.
//!
//! The orchestrator and the client processes share nothing else. A process receives its job as its argument, sends
//! [`Report::Ready`] when its preparation is complete, starts on an empty line of its input, and exits when its input
//! ends.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The channel to which the clients of the recovery rows resubscribe.
pub const RECOVERY_CHANNEL: &str = "recovery";

/// A client library, or one way to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Library {
    /// A loop on tokio-tungstenite that only matches replies by their ids.
    Bare,
    /// The client under test, with calls.
    Steadfast,
    /// The client under test, with publications through its outbox, each with a receipt.
    SteadfastPublish,
    /// The crate `centrifuge-client`.
    Centrifuge,
}

/// The job of one client process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The library that executes the job.
    pub library: Library,
    /// The gateway's port on the loopback interface.
    pub port: u16,
    /// The workload to execute.
    pub workload: Workload,
}

/// A workload with its parameters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Calls over one connection.
    Calls {
        /// Number of calls in flight.
        in_flight: u32,
        /// Warm-up before the process reports that it is ready.
        warm_up_ms: u64,
        /// Duration of the measurement.
        time_ms: u64,
    },
    /// Idle sessions with one subscription each.
    Idle {
        /// Number of sessions.
        sessions: u32,
    },
    /// Sessions with one subscription each that recover after their server was killed.
    Recovery {
        /// Number of sessions.
        sessions: u32,
        /// Number of publications that each session must have received at the end.
        publications: u32,
    },
}

/// A report of a client process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The process has completed its preparation or its final check.
    Ready,
    /// The sessions are open.
    SessionsOpened,
    /// The calls of the measured time are completed.
    CallsCompleted {
        /// Number of completed calls.
        calls: u64,
        /// Duration of the measurement.
        elapsed_ns: u64,
    },
    /// Every session has resumed and has received all publications.
    Recovered {
        /// The time at which each session resumed, by [`now_ns`].
        at_ns: Vec<u64>,
        /// Attempts of each session, including the successful one.
        attempts: Vec<u32>,
    },
}

/// Returns the time of the machine's monotonic clock, which is the same in every process.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = now.tv_sec.saturating_mul(1_000_000_000) + now.tv_nsec;
    u64::try_from(nanos).expect("the monotonic clock counts from the start of the machine")
}
