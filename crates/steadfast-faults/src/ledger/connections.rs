//! The connections of each client, its incidents, and its outcome at the end of the run.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::event::{ClientEvent, LossCause};
use crate::ledger::faults::{self, FaultStats};
use crate::ledger::incidents::{Disconnect, Incident};
use crate::samples::Sample;
use crate::topology::{Client, ClientActivity};

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

/// From the start to the end of a connection, as the client reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInterval {
    /// When the client connected.
    pub from: Instant,
    /// When the client noticed the end, if it did.
    pub to: Option<Instant>,
}

/// An attempt after the first connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// When it began.
    pub began: Instant,
    /// The time until connected; censored if it was in progress at the end.
    pub duration: Sample,
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
    /// When each attempt after the first disconnect began, in order; when it ended, if the driver does not report that.
    pub retries: Vec<Instant>,
    /// The time from the request to connect until it was first connected, with all attempts; `None` if it was never
    /// requested.
    pub first_connect: Option<Sample>,
    /// Each further attempt that led to a connection, or was in progress at the end; only of drivers that report when an
    /// attempt begins.
    pub reconnects: Vec<Reconnect>,
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
    /// When the client was requested to connect.
    opened: Option<Instant>,
    /// When the attempt that is in progress began.
    attempting: Option<Instant>,
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
        opened: None,
        attempting: None,
        stats: ConnectionStats {
            outcome: ClientOutcome::NeverConnected,
            intervals: Vec::new(),
            attempts: 0,
            retries: Vec::new(),
            first_connect: None,
            reconnects: Vec::new(),
            disconnects: Vec::new(),
            incidents: Vec::new(),
            contradictions: Vec::new(),
        },
    };
    for (at, event) in events {
        tracker.read(*at, event);
    }
    tracker.finish()
}

impl ConnectionTracker<'_> {
    fn read(&mut self, at: Instant, event: &ClientEvent) {
        if event.is_success() {
            self.on_success(at);
        }
        match event {
            ClientEvent::Opened => self.opened = self.opened.or(Some(at)),
            ClientEvent::Attempting => self.attempting = Some(at),
            ClientEvent::TransportOpened => self.on_transport_opened(at),
            ClientEvent::AttemptFailed => self.on_attempt_failed(at),
            ClientEvent::Connected => self.on_connected(at),
            ClientEvent::ConnectionLost(cause) => self.on_connection_lost(at, *cause),
            ClientEvent::GaveUp { code } => self.on_gave_up(at, *code),
            ClientEvent::Subscribed(_) => self.on_subscribed(at),
            ClientEvent::Published { .. }
            | ClientEvent::Resent { .. }
            | ClientEvent::Acknowledged { .. }
            | ClientEvent::Rejected { .. }
            | ClientEvent::Unsent
            | ClientEvent::Delivered { .. }
            | ClientEvent::Received { .. }
            | ClientEvent::Requested { .. }
            | ClientEvent::RequestedAgain { .. }
            | ClientEvent::Settled { .. } => {}
        }
    }

    fn on_transport_opened(&mut self, at: Instant) {
        match self.state {
            ClientState::NotYetConnected => {}
            ClientState::Down => {
                if let Some(incident) = self.stats.incidents.last_mut() {
                    incident.opened = Some(at);
                }
            }
            ClientState::Up { .. } | ClientState::Recovering { .. } | ClientState::GaveUp => {
                self.contradict(at, "transport opened while connected or after giving up");
            }
        }
    }

    fn on_attempt_failed(&mut self, at: Instant) {
        let began = self.attempting.take().unwrap_or(at);
        if let Some(incident) = self.stats.incidents.last_mut() {
            incident.opened = incident.opened.filter(|_| incident.connected.is_some());
        }
        match self.state {
            ClientState::NotYetConnected | ClientState::Down => self.count_attempt(began),
            ClientState::Up { .. } | ClientState::Recovering { .. } | ClientState::GaveUp => {
                self.contradict(at, "attempt failed while none was in progress");
            }
        }
    }

    fn on_connected(&mut self, at: Instant) {
        match self.state {
            ClientState::NotYetConnected => {
                self.count_attempt(at);
                self.attempting = None;
                self.stats.first_connect = self.opened.map(|opened| Sample::time(at - opened));
                self.stats
                    .intervals
                    .push(ConnectionInterval { from: at, to: None });
                self.state = ClientState::Up { connected: at };
            }
            ClientState::Down => {
                let attempting = self.attempting.take();
                self.count_attempt(attempting.unwrap_or(at));
                self.stats
                    .reconnects
                    .extend(attempting.map(|began| Reconnect {
                        began,
                        duration: Sample::time(at - began),
                    }));
                self.stats
                    .intervals
                    .push(ConnectionInterval { from: at, to: None });
                if let Some(incident) = self.stats.incidents.last_mut() {
                    incident.connected = Some(at);
                }
                self.state = ClientState::Recovering {
                    connected: at,
                    // The others are ready as soon as they are connected.
                    is_subscribed: !self.client.kind.is_library(),
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
                    incident.opened = None;
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
            ClientState::Recovering { is_subscribed, .. } => {
                *is_subscribed = true;
                // Nothing else is to come.
                if self.client.activity == ClientActivity::Idle {
                    self.on_success(at);
                }
            }
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
            opened: None,
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

    fn count_attempt(&mut self, began: Instant) {
        self.stats.attempts += 1;
        if let Some(incident) = self.stats.incidents.last_mut() {
            incident.attempts += 1;
            self.stats.retries.push(began);
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

    fn finish(mut self) -> ConnectionStats {
        self.stats.outcome = self.outcome();
        let end = self.observed_until;
        let is_new = self.stats.intervals.is_empty();
        if is_new {
            let opened = self.opened;
            self.stats.first_connect = opened.map(|opened| Sample::between(opened, None, end));
        } else if let Some(began) = self.attempting {
            self.stats.reconnects.push(Reconnect {
                began,
                duration: Sample::between(began, None, end),
            });
        }
        self.stats
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
