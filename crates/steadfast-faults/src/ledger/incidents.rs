//! Incidents: what follows the unplanned end of a connection, until the client has recovered.
//!
//! An incident begins with an unplanned disconnect and ends with the first success of the application after the
//! subscription is active again. A connection that ends before that belongs to the same incident.

use steadfast_machine::Instant;

use crate::ledger::event::LossCause;
use crate::samples::Sample;
use crate::topology::{ClientId, FaultId};

/// The end of a connection that the client had not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// When the client noticed it.
    pub at: Instant,
    /// How the client noticed it.
    pub cause: LossCause,
    /// The fault to which it is attributed.
    pub fault: Option<FaultId>,
}

/// From the end of a connection to the first success after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The client that was disconnected.
    pub client: ClientId,
    /// The first disconnect of the incident.
    pub disconnect: Disconnect,
    /// When its fault was injected, if there is one.
    pub injected: Option<Instant>,
    /// When its fault was healed, if it was.
    pub healed: Option<Instant>,
    /// Connection attempts, the successful one included.
    pub attempts: u64,
    /// When the transport of the connection on which it recovered was open, if the driver reports that.
    pub opened: Option<Instant>,
    /// When the connection on which it recovered was established.
    pub connected: Option<Instant>,
    /// When the application had its first success.
    pub recovered: Option<Instant>,
    /// Whether the client gave up.
    pub has_given_up: bool,
    /// The end of the observation.
    pub observed_until: Instant,
}

impl Incident {
    /// From the fault until the client noticed; `None` when it is not attributed to a fault.
    pub fn detect(&self) -> Option<Sample> {
        self.injected
            .map(|injected| Sample::time(self.disconnect.at - injected))
    }

    /// From the disconnect until the transport is open, with all attempts; until connected if the driver does not
    /// report that.
    pub fn dial(&self) -> Sample {
        self.since(self.disconnect.at, self.opened.or(self.connected))
    }

    /// From the open transport until connected: authentication and whatever else comes before the server accepts the
    /// client. `None` if the driver does not report when the transport is open.
    pub fn login(&self) -> Option<Sample> {
        self.opened.map(|opened| self.since(opened, self.connected))
    }

    /// From connected until the first success; `None` if it never connected.
    pub fn resume(&self) -> Option<Sample> {
        self.connected
            .map(|connected| self.since(connected, self.recovered))
    }

    /// From the fault, or from the disconnect if no fault is known, until the first success.
    pub fn total(&self) -> Sample {
        self.since(self.injected.unwrap_or(self.disconnect.at), self.recovered)
    }

    /// From the end of the fault until the first success; zero if it was earlier.
    pub fn after_heal(&self) -> Option<Sample> {
        self.healed.map(|healed| self.since(healed, self.recovered))
    }

    /// A duration that had not ended at the end of the observation is censored.
    fn since(&self, from: Instant, to: Option<Instant>) -> Sample {
        Sample::between(from, to, self.observed_until)
    }
}
