//! A run as it should be: the facts that a healthy system and a healthy harness would write for a plan.
//!
//! Tests spoil them and look at the verdict. Gateways keep everything they acknowledged; while one is down its clients
//! wait, then repeat what was not answered and send what became due meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_faults::ledger::history::History;
use steadfast_faults::ledger::record::{
    ClientFact, Exit, Fact, FaultFact, HarnessFact, LossCause, MessageId, Phase, ProcessFact,
    Record, Subscribed,
};
use steadfast_faults::ledger::{Group, Ledger};
use steadfast_faults::roster::{Client, ClientId, RoomId};
use steadfast_faults::scenario::Choice;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::{Plan, PlannedFault};
use steadfast_faults::verdict::{Judgement, judge};
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const EPOCH: &str = "epoch";

/// When the baseline begins.
const BASELINE: Duration = Duration::from_secs(1);
/// From the act until clients know.
const DETECT: Duration = Duration::from_millis(5);
/// From the heal until a client is subscribed again.
const RETURN: Duration = Duration::from_millis(25);

/// A run and what is written about it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) plan: Plan,
    pub(crate) records: Vec<Record>,
    pub(crate) control: Option<Vec<Record>>,
}

/// The shipped kill of a gateway in its short form.
pub(crate) fn healthy() -> Run {
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    let choice = Choice {
        profiles: vec!["short".to_owned()],
        params: Vec::new(),
    };
    let scenario = Scenario::parse("gateway-kill.toml", text, &choice).unwrap();
    let plan = Plan::new(&scenario, 7).unwrap();
    Run {
        records: facts(&scenario, &plan, true),
        control: Some(facts(&scenario, &plan.without_faults(), true)),
        scenario,
        plan,
    }
}

impl Run {
    /// The same with no publication under way when a gateway is killed.
    pub(crate) fn with_nothing_in_flight(mut self) -> Self {
        self.records = facts(&self.scenario, &self.plan, false);
        self
    }

    pub(crate) fn ledger(&self) -> Ledger {
        balance(&self.scenario, &self.plan, &self.records)
    }

    pub(crate) fn judge(&self) -> Judgement {
        let control = self
            .control
            .as_ref()
            .map(|records| balance(&self.scenario, &self.plan.without_faults(), records));
        judge(&self.scenario, &self.ledger(), control.as_ref())
    }

    pub(crate) fn push(&mut self, at: Instant, fact: Fact) {
        self.records.push(Record { at, fact });
    }

    pub(crate) fn begin(&self, phase: Phase) -> Instant {
        begin(&self.scenario, phase)
    }

    /// Changes or removes facts of one client.
    pub(crate) fn retain_of(
        &mut self,
        whom: ClientId,
        mut keep: impl FnMut(Instant, &mut ClientFact) -> bool,
    ) {
        self.records.retain_mut(|record| {
            if let Fact::Client { client, what } = &mut record.fact
                && *client == whom
            {
                return keep(record.at, what);
            }
            true
        });
    }

    /// Nothing is heard of a client any more, and so nobody is handed what it would have published.
    pub(crate) fn silence(&mut self, whom: ClientId, after: Instant) {
        self.retain_of(whom, |at, _| at <= after);
        let published = self.records.iter().filter(|record| {
            let of_client = matches!(&record.fact, Fact::Client { client, what }
                if *client == whom && matches!(what, ClientFact::Published { .. }));
            of_client
        });
        let last = u64::try_from(published.count()).unwrap();
        self.records.retain(|record| {
            let never = matches!(&record.fact, Fact::Client { what, .. }
                if matches!(what, ClientFact::Delivered { message: Some(message), .. }
                    if message.publisher == whom && message.sequence > last));
            !never
        });
    }

    /// A client whose gateway is never killed.
    pub(crate) fn spared(&self) -> ClientId {
        let ledger = self.ledger();
        let mut books = ledger.clients.iter();
        let spared = books.find(|book| book.life.group == Group::NeverDisconnected);
        spared.unwrap().client.id
    }

    /// A client whose gateway is killed, and when it learns of it.
    pub(crate) fn victim(&self) -> (ClientId, Instant) {
        let lost = self.records.iter().find_map(|record| {
            if let Fact::Client { client, what } = &record.fact
                && matches!(what, ClientFact::Lost(_))
            {
                return Some((*client, record.at));
            }
            None
        });
        lost.unwrap()
    }

    /// A publication that everyone of its room was handed during the baseline.
    pub(crate) fn early_message(&self) -> (ClientId, MessageId) {
        let found = self.records.iter().find_map(|record| {
            if let Fact::Client { client, what } = &record.fact
                && let ClientFact::Delivered { message, .. } = what
            {
                return message.map(|message| (*client, message));
            }
            None
        });
        found.unwrap()
    }
}

/// Whatever a client got in this time reaches it at the end of it.
pub(crate) fn hold_back(records: &mut [Record], whom: ClientId, from: Instant, until: Instant) {
    for record in records {
        let reaches = matches!(
            &record.fact,
            Fact::Client { client, what: ClientFact::Acknowledged { .. } | ClientFact::Delivered { .. } }
                if *client == whom
        );
        if reaches && (from..until).contains(&record.at) {
            record.at = until;
        }
    }
}

fn balance(scenario: &Scenario, plan: &Plan, records: &[Record]) -> Ledger {
    let mut history = History::new(1_000_000);
    for record in records {
        history.push(record.clone());
    }
    Ledger::balance(scenario, plan, &history)
}

fn begin(scenario: &Scenario, phase: Phase) -> Instant {
    if phase == Phase::Connect {
        return Instant::START;
    }
    Instant::START + BASELINE + scenario.run().begins(phase)
}

/// A fault in the run's time.
#[derive(Clone, Copy, Debug)]
struct Outage {
    from: Instant,
    to: Instant,
}

/// A publication on its way to the log.
#[derive(Clone, Copy, Debug)]
struct Sent {
    room: RoomId,
    id: MessageId,
    stored: Instant,
}

fn facts(scenario: &Scenario, plan: &Plan, in_flight: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for phase in Phase::ALL {
        push(&mut records, begin(scenario, phase), Fact::Began(phase));
    }
    let end = begin(scenario, Phase::End);
    let mut at = Instant::START;
    while at < end {
        push(
            &mut records,
            at,
            Fact::Harness(HarnessFact::Lag { late: MILLI }),
        );
        at = at + 10 * MILLI;
    }
    processes(scenario, plan, &mut records);
    let mut sent = Vec::new();
    for client in plan.roster().clients() {
        let outages = outages(scenario, plan, client);
        connections(client, &outages, &mut records);
        publications(scenario, plan, client, in_flight, &mut records, &mut sent);
    }
    deliveries(plan, sent, &mut records);
    records.sort_by_key(|record| record.at);
    records
}

fn push(records: &mut Vec<Record>, at: Instant, fact: Fact) {
    records.push(Record { at, fact });
}

fn outage(scenario: &Scenario, fault: &PlannedFault) -> Outage {
    let steps = begin(scenario, Phase::Steps);
    Outage {
        from: steps + fault.at,
        to: steps + fault.heal_at,
    }
}

fn outages(scenario: &Scenario, plan: &Plan, client: &Client) -> Vec<Outage> {
    let hits = |fault: &&PlannedFault| fault.targets.contains(&client.instance);
    let faults = plan.faults().iter().filter(hits);
    faults.map(|fault| outage(scenario, fault)).collect()
}

fn processes(scenario: &Scenario, plan: &Plan, records: &mut Vec<Record>) {
    let mut of_process = |at, instance, what| {
        push(records, at, Fact::Process { instance, what });
    };
    for instance in plan.roster().instances() {
        of_process(Instant::START, instance.id, ProcessFact::Started);
        of_process(Instant::START + MILLI, instance.id, ProcessFact::Ready);
    }
    for fault in plan.faults() {
        let Outage { from, to } = outage(scenario, fault);
        for target in &fault.targets {
            of_process(from + MILLI, *target, ProcessFact::Exited(Exit::Signal(9)));
            of_process(to, *target, ProcessFact::Started);
            of_process(to + MILLI, *target, ProcessFact::Ready);
        }
    }
    for fault in plan.faults() {
        let Outage { from, to } = outage(scenario, fault);
        let mut of_fault = |at, what| {
            let fault = fault.id;
            push(records, at, Fact::Fault { fault, what });
        };
        of_fault(from, FaultFact::Injected);
        of_fault(from + 2 * MILLI, FaultFact::Confirmed);
        of_fault(to + MILLI, FaultFact::Healed);
    }
}

fn connections(client: &Client, outages: &[Outage], records: &mut Vec<Record>) {
    let mut of_client = |at, what| {
        let client = client.id;
        push(records, at, Fact::Client { client, what });
    };
    let subscribed = |recovering| {
        ClientFact::Subscribed(Subscribed {
            position: position(0),
            was_recovering: recovering,
            recovered: recovering,
        })
    };
    of_client(Instant::START + 10 * MILLI, ClientFact::Connected);
    of_client(Instant::START + 15 * MILLI, subscribed(false));
    for outage in outages {
        of_client(outage.from + DETECT, ClientFact::Lost(LossCause::Fin));
        of_client(outage.from + 100 * MILLI, ClientFact::AttemptFailed);
        of_client(outage.to + 20 * MILLI, ClientFact::Connected);
        of_client(outage.to + RETURN, subscribed(true));
    }
}

fn publications(
    scenario: &Scenario,
    plan: &Plan,
    client: &Client,
    in_flight: bool,
    records: &mut Vec<Record>,
    sent: &mut Vec<Sent>,
) {
    let outages = outages(scenario, plan, client);
    let baseline = begin(scenario, Phase::Baseline);
    let schedule = plan.schedule(scenario, client.id).unwrap();
    let mut due: Vec<Instant> = schedule.map(|after| baseline + after).collect();
    if in_flight {
        due.extend(outages.iter().map(|outage| outage.from.before(MILLI)));
    } else {
        let near = |at: Instant, it: &Outage| at + 2 * MILLI > it.from && at < it.from + DETECT;
        due.retain(|at| !outages.iter().any(|outage| near(*at, outage)));
    }
    due.sort();
    let mut back_at: BTreeMap<Instant, u64> = BTreeMap::new();
    for (due, sequence) in due.into_iter().zip(1_u64..) {
        let mut of_client = |at, what| {
            let client = client.id;
            push(records, at, Fact::Client { client, what });
        };
        let outage = outages
            .iter()
            .find(|it| due + 2 * MILLI > it.from && due < it.to + RETURN);
        let stored = match outage {
            None => {
                of_client(due, ClientFact::Published { sequence });
                due + MILLI
            }
            Some(outage) => {
                let back = outage.to + RETURN;
                let place = back_at.entry(back).or_default();
                *place += 1;
                // One after the other, in the order in which they became due.
                let again = back + Duration::from_micros(*place);
                if due < outage.from + DETECT {
                    of_client(due, ClientFact::Published { sequence });
                    of_client(again, ClientFact::Repeated { sequence });
                } else {
                    of_client(again, ClientFact::Published { sequence });
                }
                again + MILLI
            }
        };
        let id = MessageId {
            publisher: client.id,
            sequence,
        };
        let room = client.room;
        sent.push(Sent { room, id, stored });
    }
}

fn deliveries(plan: &Plan, mut sent: Vec<Sent>, records: &mut Vec<Record>) {
    sent.sort_by_key(|it| (it.stored, it.id));
    let mut tops: BTreeMap<RoomId, u64> = BTreeMap::new();
    for it in sent {
        let top = tops.entry(it.room).or_default();
        *top += 1;
        let acknowledged = ClientFact::Acknowledged {
            sequence: it.id.sequence,
            position: Some(position(*top)),
            duplicate: false,
        };
        let at = it.stored + MILLI;
        let client = it.id.publisher;
        push(
            records,
            at,
            Fact::Client {
                client,
                what: acknowledged,
            },
        );
        let roster = plan.roster().clients().iter();
        for reader in roster.filter(|reader| reader.room == it.room) {
            let what = ClientFact::Delivered {
                message: Some(it.id),
                offset: *top,
            };
            let client = reader.id;
            push(records, at, Fact::Client { client, what });
        }
    }
}

fn position(offset: u64) -> Position {
    Position {
        epoch: EPOCH.to_owned(),
        offset,
    }
}

/// Instants only go forwards; tests of what happened just before go back.
trait Before {
    fn before(self, time: Duration) -> Self;
}

impl Before for Instant {
    fn before(self, time: Duration) -> Self {
        Self::START + (self - Self::START).saturating_sub(time)
    }
}
