//! Lives of clients: which connections they had, how each end was survived, and which group each client belongs to.
//!
//! An incident begins with the end of a connection that the client had not asked for, and ends with the first success of
//! the application on a subscription that stands again. A connection that ends before that belongs to the same incident.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::faults::{self, FaultBook};
use crate::ledger::record::{ClientFact, LossCause};
use crate::roster::{Client, ClientId, FaultId};
use crate::samples::Sample;

/// Where a client stands at the end of the run; each is in exactly one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// It was never connected.
    NeverConnected,
    /// Its connection never ended.
    NeverDisconnected,
    /// Affected, and back.
    Reconnected,
    /// Affected, and does not try any more.
    GaveUp,
    /// Affected, and still trying or not heard of.
    DownAtEnd,
}

impl Group {
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

/// The end of a connection that the client had not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When the client learnt of it.
    pub at: Instant,
    /// How.
    pub cause: LossCause,
    /// What explains it.
    pub fault: Option<FaultId>,
}

/// From the end of a connection to the first success after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Whose.
    pub client: ClientId,
    /// The first end in it.
    pub end: End,
    /// When that fault took effect, if there is one.
    pub injected: Option<Instant>,
    /// When that fault was healed, if it was.
    pub healed: Option<Instant>,
    /// Attempts to connect, the successful one included.
    pub attempts: u64,
    /// When the connection on which it recovered stood.
    pub connected: Option<Instant>,
    /// When the first success of the application came.
    pub recovered: Option<Instant>,
    /// The client gave up.
    pub gave_up: bool,
    /// Until when the run was watched.
    pub watched_until: Instant,
}

impl Incident {
    /// From the fault until the client knows; nothing without a fault that explains it.
    pub fn detect(&self) -> Option<Sample> {
        self.injected
            .map(|injected| Sample::time(self.end.at - injected))
    }

    /// From knowing until connected, with all attempts and waits.
    pub fn dial(&self) -> Sample {
        self.since(self.end.at, self.connected)
    }

    /// From connected until the first success; nothing if it never connected.
    pub fn resume(&self) -> Option<Sample> {
        self.connected
            .map(|connected| self.since(connected, self.recovered))
    }

    /// From the fault, or from knowing when no fault explains it, until the first success.
    pub fn total(&self) -> Sample {
        self.since(self.injected.unwrap_or(self.end.at), self.recovered)
    }

    /// From the fault's heal until the first success; zero when that came first.
    pub fn after_heal(&self) -> Option<Sample> {
        self.healed.map(|healed| self.since(healed, self.recovered))
    }

    /// What had not happened when the run ended took longer than the run lasted.
    fn since(&self, from: Instant, to: Option<Instant>) -> Sample {
        let longer = Sample {
            censored: true,
            ..Sample::time(self.watched_until - from)
        };
        to.map_or(longer, |to| Sample::time(to - from))
    }
}

/// From the start to the end of a connection, as the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it was connected.
    pub from: Instant,
    /// When it learnt that the connection had ended, if it did.
    pub to: Option<Instant>,
}

/// A client's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its group.
    pub group: Group,
    /// Connections that stood, in order.
    pub connections: Vec<Span>,
    /// Attempts to connect.
    pub attempts: u64,
    /// Ends of connections that it had not asked for.
    pub ends: Vec<End>,
    /// What followed them.
    pub incidents: Vec<Incident>,
    /// Facts that cannot follow each other, for example two connections at a time; the first few words of each.
    pub contradictions: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Never,
    Up {
        connected: Instant,
    },
    Down,
    /// Connected again, and nothing has succeeded yet.
    Back {
        connected: Instant,
        subscribed: bool,
    },
    GaveUp,
}

struct Reader<'a> {
    client: &'a Client,
    faults: &'a [FaultBook],
    watched_until: Instant,
    state: State,
    life: Life,
}

/// Reads a client's facts, in order of time.
pub(super) fn life(
    client: &Client,
    facts: &[(Instant, &ClientFact)],
    faults: &[FaultBook],
    watched_until: Instant,
) -> Life {
    let mut reader = Reader {
        client,
        faults,
        watched_until,
        state: State::Never,
        life: Life {
            group: Group::NeverConnected,
            connections: Vec::new(),
            attempts: 0,
            ends: Vec::new(),
            incidents: Vec::new(),
            contradictions: Vec::new(),
        },
    };
    for (at, fact) in facts {
        reader.read(*at, fact);
    }
    reader.life.group = reader.group();
    reader.life
}

impl Reader<'_> {
    fn read(&mut self, at: Instant, fact: &ClientFact) {
        match fact {
            ClientFact::AttemptFailed => self.on_attempt_failed(at),
            ClientFact::Connected => self.on_connected(at),
            ClientFact::Lost(cause) => self.on_lost(at, *cause),
            ClientFact::GaveUp { code } => self.on_gave_up(at, *code),
            ClientFact::Subscribed(_) => self.on_subscribed(at),
            ClientFact::Acknowledged { .. } | ClientFact::Delivered { .. } => self.on_success(at),
            ClientFact::Published { .. }
            | ClientFact::Repeated { .. }
            | ClientFact::Refused { .. }
            | ClientFact::Unsent => {}
        }
    }

    fn on_attempt_failed(&mut self, at: Instant) {
        match self.state {
            State::Never | State::Down => self.count_attempt(),
            State::Up { .. } | State::Back { .. } | State::GaveUp => {
                self.contradict(at, "a failed attempt while none was under way");
            }
        }
    }

    fn on_connected(&mut self, at: Instant) {
        match self.state {
            State::Never => {
                self.count_attempt();
                self.life.connections.push(Span { from: at, to: None });
                self.state = State::Up { connected: at };
            }
            State::Down => {
                self.count_attempt();
                self.life.connections.push(Span { from: at, to: None });
                if let Some(incident) = self.life.incidents.last_mut() {
                    incident.connected = Some(at);
                }
                self.state = State::Back {
                    connected: at,
                    subscribed: false,
                };
            }
            State::Up { .. } | State::Back { .. } | State::GaveUp => {
                self.contradict(at, "a connection while there was one, or after giving up");
            }
        }
    }

    fn on_lost(&mut self, at: Instant, cause: LossCause) {
        match self.state {
            State::Up { connected } => {
                self.begin_incident(at, cause, connected);
                self.state = State::Down;
            }
            State::Back { connected, .. } => {
                self.count_end(at, cause, connected);
                if let Some(incident) = self.life.incidents.last_mut() {
                    incident.connected = None;
                }
                self.state = State::Down;
            }
            State::Never | State::Down | State::GaveUp => {
                self.contradict(at, "the end of a connection that there was not");
            }
        }
    }

    fn on_gave_up(&mut self, at: Instant, code: Option<u32>) {
        let cause = code.map_or(LossCause::Untold, LossCause::Code);
        match self.state {
            State::Up { connected } => self.begin_incident(at, cause, connected),
            State::Back { connected, .. } => {
                self.count_end(at, cause, connected);
            }
            State::Never | State::Down => {}
            State::GaveUp => self.contradict(at, "it gave up twice"),
        }
        if let Some(incident) = self.life.incidents.last_mut() {
            incident.gave_up = true;
        }
        self.state = State::GaveUp;
    }

    fn on_subscribed(&mut self, at: Instant) {
        match &mut self.state {
            State::Back { subscribed, .. } => *subscribed = true,
            State::Up { .. } => {}
            State::Never | State::Down | State::GaveUp => {
                self.contradict(at, "a subscription without a connection");
            }
        }
    }

    fn on_success(&mut self, at: Instant) {
        if let State::Back {
            connected,
            subscribed: true,
        } = self.state
        {
            if let Some(incident) = self.life.incidents.last_mut() {
                incident.recovered = Some(at);
            }
            self.state = State::Up { connected };
        }
    }

    fn begin_incident(&mut self, at: Instant, cause: LossCause, connected: Instant) {
        let end = self.count_end(at, cause, connected);
        let fault = self
            .faults
            .iter()
            .find(|fault| Some(fault.planned.id) == end.fault);
        self.life.incidents.push(Incident {
            client: self.client.id,
            end,
            injected: fault.and_then(|fault| fault.injected),
            healed: fault.and_then(|fault| fault.healed),
            attempts: 0,
            connected: None,
            recovered: None,
            gave_up: false,
            watched_until: self.watched_until,
        });
    }

    fn count_end(&mut self, at: Instant, cause: LossCause, connected: Instant) -> End {
        let fault = faults::explaining(self.faults, self.client.instance, connected, at);
        let end = End {
            at,
            cause,
            fault: fault.map(|fault| fault.planned.id),
        };
        self.life.ends.push(end);
        if let Some(span) = self.life.connections.last_mut() {
            span.to = Some(at);
        }
        end
    }

    fn count_attempt(&mut self) {
        self.life.attempts += 1;
        if let Some(incident) = self.life.incidents.last_mut() {
            incident.attempts += 1;
        }
    }

    fn contradict(&mut self, at: Instant, what: &str) {
        /// Enough to see what is wrong with a driver.
        const KEPT: usize = 5;
        if self.life.contradictions.len() < KEPT {
            let after = Duration::from_nanos(at.as_nanos());
            let told = format!("{} at {after:?}: {what}", self.client.name);
            self.life.contradictions.push(told);
        }
    }

    fn group(&self) -> Group {
        let affected = !self.life.incidents.is_empty();
        match self.state {
            State::Never => Group::NeverConnected,
            State::Up { .. } if affected => Group::Reconnected,
            State::Up { .. } => Group::NeverDisconnected,
            State::GaveUp if affected => Group::GaveUp,
            State::GaveUp => Group::NeverConnected,
            State::Down | State::Back { .. } => Group::DownAtEnd,
        }
    }
}
