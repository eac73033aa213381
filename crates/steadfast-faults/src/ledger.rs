//! The book of a run: which facts were written down, and what they amount to.
//!
//! [`record`] holds the facts and [`history`] keeps them; [`Ledger::balance`] makes the books: lives of clients, pairs
//! of publications and subscribers, faults and what they ended. The books know no promise; [`crate::check`] compares
//! them with what was asked, and [`identities`] says whether they add up at all.

mod delivery;
mod faults;
pub mod history;
mod identities;
mod incidents;
pub mod record;
mod stalls;
mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::delivery::Messages;
use crate::ledger::history::History;
use crate::ledger::record::{ClientFact, HarnessFact, Phase};
use crate::ledger::timeline::Timeline;
use crate::roster::Client;
use crate::samples::Sample;
use crate::scenario::model::Scenario;
use crate::scenario::plan::Plan;

pub use delivery::{Delivery, Places, Published};
pub use faults::{FaultBook, ServiceBook};
pub use incidents::{End, Group, Incident, Life, Span};
pub use stalls::Stall;

/// The books of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// When each phase began.
    pub phases: BTreeMap<Phase, Instant>,
    /// The books of each client, in the order of the roster.
    pub clients: Vec<ClientBook>,
    /// What became of each planned fault, in the order of the plan.
    pub faults: Vec<FaultBook>,
    /// What processes did.
    pub services: ServiceBook,
    /// What the places of rooms say.
    pub places: Places,
    /// What the harness says about itself.
    pub harness: HarnessBook,
    /// Sums that do not add up, and facts that contradict each other; the run proves nothing unless it is empty.
    pub breaches: Vec<String>,
}

/// The books of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientBook {
    /// Who it is.
    pub client: Client,
    /// Its connections.
    pub life: Life,
    /// What it was handed.
    pub delivery: Delivery,
    /// What it sent.
    pub published: Published,
    /// When its subscription first stood.
    pub subscribed: Option<Instant>,
    /// Times without any success while it was connected.
    pub stalls: Vec<Stall>,
    /// It says that it is connected, and nothing succeeded since all faults were healed.
    pub is_silent: bool,
}

/// What the harness says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HarnessBook {
    /// How much too late its timers fired.
    pub lag: Vec<Sample>,
    /// What failed.
    pub failures: Vec<String>,
    /// What is left of the run.
    pub left_behind: Vec<String>,
    /// Facts that found no room in the history.
    pub dropped: u64,
}

impl Ledger {
    /// Makes the books of a history. The order in which different sources wrote does not matter.
    pub fn balance(scenario: &Scenario, plan: &Plan, history: &History) -> Self {
        let line = Timeline::new(history);
        let roster = plan.roster();
        let mut faults = faults::open(plan.faults(), &line);
        let services = faults::services(&faults, &line);
        let mut messages = Messages::collect(roster, &line);
        let clients: Vec<ClientBook> = roster
            .clients()
            .iter()
            .map(|client| {
                let load = scenario.loads().iter().find(|it| it.name == client.load);
                let ordered = load.is_some_and(|load| load.ordered);
                let stall = scenario.run().stall;
                book(client, ordered, stall, &line, &faults, &mut messages)
            })
            .collect();
        attribute(&mut faults, &clients, &messages);
        let mut ledger = Self {
            phases: line.phases.clone(),
            clients,
            faults,
            services,
            places: messages.places(),
            harness: harness(&line, history),
            breaches: Vec::new(),
        };
        ledger.breaches = identities::breaches(&ledger, &line, &messages);
        ledger
    }

    /// How long the run lasted, from the first phase that is known to its end.
    pub fn lasted(&self) -> Duration {
        let first = self.phases.values().min().copied().unwrap_or_default();
        let last = self.phases.values().max().copied().unwrap_or_default();
        last - first
    }

    /// Incidents of all clients.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.clients.iter().flat_map(|it| &it.life.incidents)
    }
}

fn book(
    client: &Client,
    ordered: bool,
    stall: Duration,
    line: &Timeline<'_>,
    faults: &[FaultBook],
    messages: &mut Messages,
) -> ClientBook {
    let facts = line.of_client(client.id);
    let life = incidents::life(client, facts, faults, line.end());
    let (delivery, subscribed) = delivery::judge(client, ordered, line, messages);
    let stalls = stalls::stalls(client, subscribed, stall, &life, faults, line);
    let published = messages.by_publisher.get(&client.id).copied();
    let connected = match life.group {
        Group::NeverDisconnected | Group::Reconnected => true,
        Group::NeverConnected | Group::GaveUp | Group::DownAtEnd => false,
    };
    let healed = line.begin(Phase::Quiet);
    let succeeded = facts.iter().any(|(at, fact)| {
        let success = matches!(
            fact,
            ClientFact::Acknowledged { .. } | ClientFact::Delivered { .. }
        );
        success && healed.is_none_or(|healed| *at >= healed)
    });
    ClientBook {
        client: client.clone(),
        life,
        delivery,
        published: published.unwrap_or_default(),
        subscribed,
        stalls,
        is_silent: connected && !succeeded,
    }
}

/// Counts for each fault the connections that it ended, and the publications that were under way.
fn attribute(faults: &mut [FaultBook], clients: &[ClientBook], messages: &Messages) {
    for fault in faults {
        let Some(injected) = fault.injected else {
            continue;
        };
        let targets = fault.planned.targets.clone();
        let hit = |book: &&ClientBook| targets.contains(&book.client.instance);
        for book in clients.iter().filter(hit) {
            let own = Some(fault.planned.id);
            let end = book.life.ends.iter().find(|end| end.fault == own);
            fault.ended += u64::from(end.is_some());
            let noticed = end.map_or(injected, |end| end.at);
            let all = messages.of(book.client.id);
            let under_way = all.into_iter().filter(|(_, message)| {
                let sent = message.published.is_some_and(|at| at <= noticed);
                sent && message.answered.is_none_or(|answered| answered > injected)
            });
            fault.in_flight += u64::try_from(under_way.count()).unwrap_or(u64::MAX);
        }
    }
}

fn harness(line: &Timeline<'_>, history: &History) -> HarnessBook {
    let mut book = HarnessBook {
        dropped: history.dropped(),
        ..HarnessBook::default()
    };
    for (_, fact) in &line.harness {
        match fact {
            HarnessFact::Lag { late } => book.lag.push(Sample::time(*late)),
            HarnessFact::Failed(what) => book.failures.push(what.clone()),
            HarnessFact::LeftBehind(what) => book.left_behind.push(what.clone()),
        }
    }
    book
}
