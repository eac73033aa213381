//! The connections of each client, its incidents, and its outcome at the end of the run.
//!
//! An incident begins with an unplanned disconnect and ends with the first success of the application after the
//! subscription is active again. A connection that ends before that belongs to the same incident.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::event::{ClientEvent, LossCause};
use crate::ledger::faults::{self, FaultStats};
use crate::samples::Sample;
use crate::topology::{Client, ClientId, FaultId};

/// The state of a client at the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientOutcome {
    /// It was never connected.
    NeverConnected,
    /// Its connection never ended.
    NeverDisconnected,
    /// Affected, and connected again.
    Reconnected,
    /// Affected, and no longer trying to connect.
    GaveUp,
    /// Affected, and not recovered: still trying, connected without a success, or without further events.
    DownAtEnd,
}

impl ClientOutcome {
    /// Whether the connection of such a client ended at least once.
    pub const fn is_affected(self) -> bool {
        match self {
            Self::NeverConnected => false,
            Self::NeverDisconnected => false,
            Self::Reconnected => true,
            Self::GaveUp => true,
            Self::DownAtEnd => true,
        }
    }
}

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

    /// From the disconnect until connected, with all attempts.
    pub fn dial(&self) -> Sample {
        self.since(self.disconnect.at, self.connected)
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
        let longer = Sample {
            is_censored: true,
            ..Sample::time(self.observed_until - from)
        };
        to.map_or(longer, |to| Sample::time(to - from))
    }
}

/// From the start to the end of a connection, as the client reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInterval {
    /// When the client connected.
    pub from: Instant,
    /// When the client noticed the end, if it did.
    pub to: Option<Instant>,
}

/// The connections of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Its state at the end of the run.
    pub outcome: ClientOutcome,
    /// Established connections, in order.
    pub intervals: Vec<ConnectionInterval>,
    /// All connection attempts.
    pub attempts: u64,
    /// Ends of connections that it had not closed.
    pub disconnects: Vec<Disconnect>,
    /// The incidents that followed the disconnects.
    pub incidents: Vec<Incident>,
    /// Events that cannot follow each other, for example two connections at a time; the first five.
    pub contradictions: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum ClientState {
    NotYetConnected,
    Up {
        connected: Instant,
    },
    Down,
    /// Connected again, and nothing has succeeded yet.
    Recovering {
        connected: Instant,
        is_subscribed: bool,
    },
    GaveUp,
}

struct ConnectionTracker<'a> {
    client: &'a Client,
    faults: &'a [FaultStats],
    observed_until: Instant,
    state: ClientState,
    stats: ConnectionStats,
}

/// Reconstructs a client's connections from its events, in order of time.
pub(super) fn reconstruct(
    client: &Client,
    events: &[(Instant, &ClientEvent)],
    faults: &[FaultStats],
    observed_until: Instant,
) -> ConnectionStats {
    let mut tracker = ConnectionTracker {
        client,
        faults,
        observed_until,
        state: ClientState::NotYetConnected,
        stats: ConnectionStats {
            outcome: ClientOutcome::NeverConnected,
            intervals: Vec::new(),
            attempts: 0,
            disconnects: Vec::new(),
            incidents: Vec::new(),
            contradictions: Vec::new(),
        },
    };
    for (at, event) in events {
        tracker.read(*at, event);
    }
    tracker.stats.outcome = tracker.outcome();
    tracker.stats
}

impl ConnectionTracker<'_> {
    fn read(&mut self, at: Instant, event: &ClientEvent) {
        match event {
            ClientEvent::AttemptFailed => self.on_attempt_failed(at),
            ClientEvent::Connected => self.on_connected(at),
            ClientEvent::ConnectionLost(cause) => self.on_connection_lost(at, *cause),
            ClientEvent::GaveUp { code } => self.on_gave_up(at, *code),
            ClientEvent::Subscribed(_) => self.on_subscribed(at),
            ClientEvent::Acknowledged { .. } | ClientEvent::Delivered { .. } => self.on_success(at),
            ClientEvent::Published { .. }
            | ClientEvent::Resent { .. }
            | ClientEvent::Rejected { .. }
            | ClientEvent::Unsent => {}
        }
    }

    fn on_attempt_failed(&mut self, at: Instant) {
        match self.state {
            ClientState::NotYetConnected | ClientState::Down => self.count_attempt(),
            ClientState::Up { .. } | ClientState::Recovering { .. } | ClientState::GaveUp => {
                self.contradict(at, "attempt failed while none was in progress");
            }
        }
    }

    fn on_connected(&mut self, at: Instant) {
        match self.state {
            ClientState::NotYetConnected => {
                self.count_attempt();
                self.stats
                    .intervals
                    .push(ConnectionInterval { from: at, to: None });
                self.state = ClientState::Up { connected: at };
            }
            ClientState::Down => {
                self.count_attempt();
                self.stats
                    .intervals
                    .push(ConnectionInterval { from: at, to: None });
                if let Some(incident) = self.stats.incidents.last_mut() {
                    incident.connected = Some(at);
                }
                self.state = ClientState::Recovering {
                    connected: at,
                    is_subscribed: false,
                };
            }
            ClientState::Up { .. } | ClientState::Recovering { .. } | ClientState::GaveUp => {
                self.contradict(at, "connected while already connected or after giving up");
            }
        }
    }

    fn on_connection_lost(&mut self, at: Instant, cause: LossCause) {
        match self.state {
            ClientState::Up { connected } => {
                self.begin_incident(at, cause, connected);
                self.state = ClientState::Down;
            }
            ClientState::Recovering { connected, .. } => {
                self.record_disconnect(at, cause, connected);
                if let Some(incident) = self.stats.incidents.last_mut() {
                    incident.connected = None;
                }
                self.state = ClientState::Down;
            }
            ClientState::NotYetConnected | ClientState::Down | ClientState::GaveUp => {
                self.contradict(at, "disconnected while not connected");
            }
        }
    }

    fn on_gave_up(&mut self, at: Instant, code: Option<u32>) {
        let cause = code.map_or(LossCause::Unknown, LossCause::Code);
        match self.state {
            ClientState::Up { connected } => self.begin_incident(at, cause, connected),
            ClientState::Recovering { connected, .. } => {
                self.record_disconnect(at, cause, connected);
            }
            ClientState::NotYetConnected | ClientState::Down => {}
            ClientState::GaveUp => self.contradict(at, "gave up twice"),
        }
        if let Some(incident) = self.stats.incidents.last_mut() {
            incident.has_given_up = true;
        }
        self.state = ClientState::GaveUp;
    }

    fn on_subscribed(&mut self, at: Instant) {
        match &mut self.state {
            ClientState::Recovering { is_subscribed, .. } => *is_subscribed = true,
            ClientState::Up { .. } => {}
            ClientState::NotYetConnected | ClientState::Down | ClientState::GaveUp => {
                self.contradict(at, "subscribed while not connected");
            }
        }
    }

    fn on_success(&mut self, at: Instant) {
        if let ClientState::Recovering {
            connected,
            is_subscribed: true,
        } = self.state
        {
            if let Some(incident) = self.stats.incidents.last_mut() {
                incident.recovered = Some(at);
            }
            self.state = ClientState::Up { connected };
        }
    }

    fn begin_incident(&mut self, at: Instant, cause: LossCause, connected: Instant) {
        let disconnect = self.record_disconnect(at, cause, connected);
        let fault = self
            .faults
            .iter()
            .find(|fault| Some(fault.planned.id) == disconnect.fault);
        self.stats.incidents.push(Incident {
            client: self.client.id,
            disconnect,
            injected: fault.and_then(|fault| fault.injected),
            healed: fault.and_then(|fault| fault.healed),
            attempts: 0,
            connected: None,
            recovered: None,
            has_given_up: false,
            observed_until: self.observed_until,
        });
    }

    fn record_disconnect(
        &mut self,
        at: Instant,
        cause: LossCause,
        connected: Instant,
    ) -> Disconnect {
        let fault = faults::attributed(self.faults, self.client, connected, at, cause);
        let disconnect = Disconnect {
            at,
            cause,
            fault: fault.map(|fault| fault.planned.id),
        };
        self.stats.disconnects.push(disconnect);
        if let Some(interval) = self.stats.intervals.last_mut() {
            interval.to = Some(at);
        }
        disconnect
    }

    fn count_attempt(&mut self) {
        self.stats.attempts += 1;
        if let Some(incident) = self.stats.incidents.last_mut() {
            incident.attempts += 1;
        }
    }

    fn contradict(&mut self, at: Instant, what: &str) {
        /// Enough to diagnose a driver.
        const KEPT: usize = 5;
        if self.stats.contradictions.len() < KEPT {
            let elapsed = Duration::from_nanos(at.as_nanos());
            let text = format!("{} at {elapsed:?}: {what}", self.client.name);
            self.stats.contradictions.push(text);
        }
    }

    fn outcome(&self) -> ClientOutcome {
        let is_affected = !self.stats.incidents.is_empty();
        match self.state {
            ClientState::NotYetConnected => ClientOutcome::NeverConnected,
            ClientState::Up { .. } if is_affected => ClientOutcome::Reconnected,
            ClientState::Up { .. } => ClientOutcome::NeverDisconnected,
            ClientState::GaveUp if is_affected => ClientOutcome::GaveUp,
            ClientState::GaveUp => ClientOutcome::NeverConnected,
            ClientState::Down | ClientState::Recovering { .. } => ClientOutcome::DownAtEnd,
        }
    }
}
