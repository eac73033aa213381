//! All events of a run, and what its systems share.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::dialect::truenas::LOGIN_BUDGET;
use steadfast_core::io::{Attempt, CallId};
use steadfast_core::login_budget::LoginBudget;
use steadfast_faults::link::{Direction, LinkFault};
use steadfast_machine::{Generator, Instant, Seed};

use super::counts::{Count, Counts};
use super::ledger::Ledger;
use super::planted_bug::PlantedBug;
use super::settings::RunSettings;
use crate::clock::Clock;
use crate::ids::ConnectionId;

/// What happens at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A stream has bytes to read, or space for more.
    StreamReady {
        connection: ConnectionId,
        direction: Direction,
    },
    /// The network closes or resets a connection.
    LoseConnection,
    /// A fault hits a connection.
    Inject { fault: LinkFault },
    /// The fault of a connection ends.
    Heal { connection: ConnectionId },
    /// The process of the server is killed.
    Kill,
    /// The process is started again after a kill.
    Start,
    /// The process of the server stops for this time, with its connections open.
    Suspend { time: Duration },
    /// The process continues after its suspension.
    Continue,
    /// The server forgets all sessions.
    Expire,
    /// The server closes all connections.
    Terminate,
    /// Something is due at the server.
    ServerTick,
    /// Something concerns a session.
    Session { session: usize, event: SessionInput },
    /// The run checks whether its next phase begins.
    Check,
}

/// What concerns a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum SessionInput {
    /// The application opens it.
    Open,
    /// Its deadline has passed.
    Tick,
    /// A dial that waited for its login may begin.
    DialPermitted { attempt: Attempt },
    /// The server responds to a dial.
    DialCompleted { attempt: Attempt },
    /// The application makes its next call.
    Call,
    /// The application gives a call up.
    Withdraw { id: CallId },
    /// The application replaces the connection.
    Migrate,
}

/// What the systems of a run share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: RunSettings,
    pub(super) planted_bug: Option<PlantedBug>,
    pub(super) clock: Clock<Event>,
    pub(super) generator: Generator,
    pub(super) ledger: Ledger,
    pub(super) counts: Counts,
    /// The logins of each process, by its address.
    budgets: BTreeMap<usize, LoginBudget>,
    /// When a fault last began or ended.
    pub(super) last_fault_at: Instant,
}

impl Context {
    pub(super) fn new(seed: u64, planted_bug: Option<PlantedBug>) -> Self {
        let mut generator = Seed::new(seed).generator();
        let settings = RunSettings::draw(&mut generator);
        let mut counts = Counts::default();
        counts.add(Count::Seeds);
        Self {
            settings,
            planted_bug,
            clock: Clock::new(),
            generator,
            ledger: Ledger::default(),
            counts,
            budgets: BTreeMap::new(),
            last_fault_at: Instant::START,
        }
    }

    pub(super) const fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn between_millis(&mut self, low: u64, high: u64) -> Duration {
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        self.generator.between(low, high)
    }

    pub(super) fn schedule_session(&mut self, at: Instant, session: usize, event: SessionInput) {
        self.clock
            .schedule_at(at, Event::Session { session, event });
    }

    /// Returns the address of a session: the number of its process.
    pub(super) const fn address_of(&self, session: usize) -> usize {
        if self.settings.is_one_process {
            0
        } else {
            session
        }
    }

    /// Returns the logins of the process of a session.
    pub(super) fn budget_of(&mut self, session: usize) -> &mut LoginBudget {
        let address = self.address_of(session);
        let budget = self.budgets.entry(address);
        budget.or_insert_with(|| LoginBudget::new(LOGIN_BUDGET))
    }

    /// Whether faults may still begin.
    pub(super) fn may_inject_faults(&self) -> bool {
        self.now() < Instant::START + self.settings.fault_time
    }

    /// A fault begins or ends.
    pub(super) const fn record_fault(&mut self) {
        self.last_fault_at = self.clock.now();
    }
}
