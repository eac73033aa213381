//! What a client process is told to do and what it says, each as one JSON line.
//!
//! The orchestrator and the client processes share nothing else. A process gets its order as its argument, says
//! [`Word::Ready`] when everything stands, begins with an empty line of its input, and ends when its input ends.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The channel that clients come back to.
pub const RECOVERY_CHANNEL: &str = "recovery";

/// A client library, or a way to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Library {
    /// A loop on tokio-tungstenite that matches replies by their ids and does nothing else.
    Bare,
    /// The client under test, by its calls.
    Steadfast,
    /// The same with publications, which wait in its outbox and have a receipt.
    SteadfastPublish,
    /// `centrifuge-client` of the Rust registry.
    Centrifuge,
}

/// The whole order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Who does it.
    pub library: Library,
    /// The gateway's port on the loopback.
    pub port: u16,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Calls over one connection.
    Calls {
        /// Calls that are unanswered at a time.
        in_flight: u32,
        /// Before the process is ready.
        warm_up_ms: u64,
        /// Measured.
        time_ms: u64,
    },
    /// Sessions of one subscription each that do nothing.
    Idle {
        /// How many.
        sessions: u32,
    },
    /// Sessions of one subscription each that come back after their server was killed.
    Recovery {
        /// How many.
        sessions: u32,
        /// Publications that each of them must have received in the end.
        publications: u32,
    },
}

/// What the process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Everything stands.
    Ready,
    /// The sessions are open.
    Opened,
    /// So many calls were answered.
    Called {
        /// How many.
        calls: u64,
        /// In this time.
        elapsed_ns: u64,
    },
    /// Every session is back and has everything.
    Back {
        /// When each session stood again, by [`now_ns`].
        at_ns: Vec<u64>,
        /// Attempts of each session, the one that succeeded included.
        attempts: Vec<u32>,
    },
}

/// The monotonic clock of the machine, the same in every process.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = now.tv_sec.saturating_mul(1_000_000_000) + now.tv_nsec;
    u64::try_from(nanos).unwrap_or_default()
}
