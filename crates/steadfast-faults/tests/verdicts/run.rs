//! A healthy run: the event records that a healthy system and harness would write for a plan.
//!
//! Tests corrupt them and check the verdict. Gateways keep everything they acknowledged. While one is down or unreachable
//! its clients wait, then resend unacknowledged publications and send those that became due in the meantime.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, MessageId,
    ProcessEvent, ProcessExit, RequestOutcome, RunEvent, RunPhase, Subscribed,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::ledger::{ClientOutcome, ClientStats, Ledger};
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::{BlockMode, FaultAction, LinkFault, Scenario, Traffic};
use steadfast_faults::scenario::plan::{Plan, PlannedFault};
use steadfast_faults::topology::{ChannelId, Client, ClientActivity, ClientId};
use steadfast_faults::verdict::{Evaluation, evaluate};
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const EPOCH: &str = "epoch";

/// The start of the baseline.
const BASELINE: Duration = Duration::from_secs(1);
/// From the injection until clients notice that their connection ended.
const DETECT: Duration = Duration::from_millis(5);
/// From the injection until clients notice that nothing arrives any more.
const DETECT_SILENCE: Duration = Duration::from_secs(3);
/// What a gateway that terminates closes its connections with.
const SHUTDOWN: u32 = 3001;
/// From the heal until a client is subscribed again.
const RESUBSCRIBE: Duration = Duration::from_millis(25);

/// A run and its event records.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) plan: Plan,
    pub(crate) records: Vec<EventRecord>,
    pub(crate) control: Option<Vec<EventRecord>>,
}

/// The shipped scenario `gateway-kill` with its short profile.
pub(crate) fn healthy() -> Run {
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    healthy_of("gateway-kill", text, &[])
}

/// A shipped scenario with its short profile and these parameters.
pub(crate) fn healthy_of(name: &str, text: &str, params: &[(&str, &str)]) -> Run {
    let params = params.iter();
    let options = ScenarioOptions {
        profiles: vec!["short".to_owned()],
        params: params
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let scenario = Scenario::parse(&format!("{name}.toml"), text, &options).unwrap();
    let plan = Plan::new(&scenario, 7).unwrap();
    Run {
        records: event_records(&scenario, &plan, true),
        control: Some(event_records(&scenario, &plan.without_faults(), true)),
        scenario,
        plan,
    }
}

/// A healthy run in which one client never received one publication of the baseline.
pub(crate) fn with_a_lost_message() -> Run {
    let mut run = healthy();
    run.lose_early_message();
    run
}

impl Run {
    /// Removes the delivery of [`Self::early_message`], and returns the client that should have received it.
    pub(crate) fn lose_early_message(&mut self) -> ClientId {
        let (reader, lost) = self.early_message();
        self.retain_events(
            reader,
            |_, event| !matches!(event, ClientEvent::Delivered { message, .. } if *message == Some(lost)),
        );
        reader
    }

    /// Replaces what the clients noticed by the control run, so that no client noticed a fault.
    pub(crate) fn let_no_client_notice(&mut self) {
        let is_supervised = |record: &EventRecord| {
            matches!(
                record.event,
                RunEvent::Fault { .. } | RunEvent::Process { .. }
            )
        };
        self.records.retain(is_supervised);
        let undisturbed = self.control.clone().unwrap().into_iter();
        self.records
            .extend(undisturbed.filter(|record| !matches!(record.event, RunEvent::Process { .. })));
    }

    /// The same run without publications in flight when a gateway is killed.
    pub(crate) fn with_nothing_in_flight(mut self) -> Self {
        self.records = event_records(&self.scenario, &self.plan, false);
        self
    }

    /// Evaluates the same records with another scenario, and with its short profile if it has one.
    pub(crate) fn use_scenario(&mut self, name: &str, text: &str) {
        let has_profile = text.contains("[profile.short]");
        let profiles = has_profile.then(|| "short".to_owned());
        let options = ScenarioOptions {
            profiles: profiles.into_iter().collect(),
            params: Vec::new(),
        };
        self.scenario = Scenario::parse(&format!("{name}.toml"), text, &options).unwrap();
    }

    pub(crate) fn ledger(&self) -> Ledger {
        reconcile(&self.scenario, &self.plan, &self.records)
    }

    pub(crate) fn evaluate(&self) -> Evaluation {
        let control = self
            .control
            .as_ref()
            .map(|records| reconcile(&self.scenario, &self.plan.without_faults(), records));
        evaluate(&self.scenario, &self.ledger(), control.as_ref())
    }

    pub(crate) fn push(&mut self, at: Instant, event: RunEvent) {
        self.records.push(EventRecord { at, event });
    }

    pub(crate) fn begin(&self, phase: RunPhase) -> Instant {
        begin(&self.scenario, phase)
    }

    /// Changes or removes events of one client.
    pub(crate) fn retain_events(
        &mut self,
        whom: ClientId,
        mut keep: impl FnMut(&mut Instant, &mut ClientEvent) -> bool,
    ) {
        self.records.retain_mut(|record| {
            if let RunEvent::Client { client, event } = &mut record.event
                && *client == whom
            {
                return keep(&mut record.at, event);
            }
            true
        });
    }

    /// Removes all later events of a client, and the deliveries of publications that it no longer sends.
    pub(crate) fn silence(&mut self, whom: ClientId, after: Instant) {
        self.retain_events(whom, |at, _| *at <= after);
        let published = self.records.iter().filter(|record| {
            let of_client = matches!(&record.event, RunEvent::Client { client, event }
                if *client == whom && matches!(event, ClientEvent::Published { .. }));
            of_client
        });
        let last = u64::try_from(published.count()).unwrap();
        self.records.retain(|record| {
            let is_unsent = matches!(&record.event, RunEvent::Client { event, .. }
                if matches!(event, ClientEvent::Delivered { message: Some(message), .. }
                    if message.publisher == whom && message.sequence > last));
            !is_unsent
        });
    }

    /// Ends all clients of a gateway with its first kill, and returns the next kill of it: its step and occurrence.
    pub(crate) fn cut_off_before_a_later_kill(&mut self) -> String {
        let faults = self.plan.faults().to_vec();
        let mut pairs = faults.iter().enumerate().filter_map(|(index, first)| {
            let mut later = faults.iter().skip(index + 1);
            Some((first, later.find(|it| it.targets == first.targets)?))
        });
        let (first, later) = pairs.next().unwrap();
        let lost = begin(&self.scenario, RunPhase::Steps) + first.at + DETECT;
        let topology = self.plan.topology().clone();
        for client in topology.clients() {
            if first.targets.contains(&client.instance) {
                self.silence(client.id, lost);
            }
        }
        format!("{} {}", later.step, later.occurrence)
    }

    /// Keeps only the checks with these ids.
    pub(crate) fn use_checks(&mut self, ids: &[&str]) {
        let text = include_str!("../../../../scenarios/gateway-kill.toml");
        let (head, checks) = text.split_once("[[check]]").unwrap();
        let kept = checks.split("[[check]]").filter(|check| {
            ids.iter()
                .any(|id| check.contains(&format!("id = \"{id}\"")))
        });
        let kept: Vec<&str> = kept.collect();
        let text = format!("{head}[[check]]{}", kept.join("[[check]]"));
        self.use_scenario("gateway-kill", &text);
    }

    /// A client whose gateway is never killed.
    pub(crate) fn unaffected(&self) -> ClientId {
        let ledger = self.ledger();
        let mut clients = ledger.clients.iter();
        let unaffected =
            clients.find(|stats| stats.connections.outcome == ClientOutcome::NeverDisconnected);
        unaffected.unwrap().client.id
    }

    /// A client that no fault affects, or if there is none, any.
    pub(crate) fn unaffected_or_any(&self) -> ClientId {
        let ledger = self.ledger();
        let clients = ledger.clients.iter();
        let is_unaffected = |stats: &&ClientStats| {
            let faults = self.plan.faults();
            stats.client.activity != ClientActivity::Idle
                && faults.iter().all(|fault| !fault.hits(&stats.client))
        };
        let unaffected = clients.clone().find(is_unaffected);
        let any = clients.map(|stats| stats.client.id).next();
        unaffected.map(|stats| stats.client.id).or(any).unwrap()
    }

    /// A client of the first load whose gateway is killed, and when it notices that.
    pub(crate) fn victim_of_first_load(&self) -> (ClientId, Instant) {
        let clients = self.plan.topology().clients();
        let of_first = |id: ClientId| {
            let found = clients.iter().find(|it| it.id == id);
            let first = clients.first().unwrap();
            found.is_some_and(|it| it.load == first.load)
        };
        self.losses().find(|(id, _)| of_first(*id)).unwrap()
    }

    /// A client whose gateway is killed, and when it notices that.
    pub(crate) fn victim(&self) -> (ClientId, Instant) {
        self.losses().next().unwrap()
    }

    /// Each end of a connection, in the order of the records.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (ClientId, Instant)> {
        self.records.iter().filter_map(|record| {
            if let RunEvent::Client { client, event } = &record.event
                && matches!(event, ClientEvent::ConnectionLost(_))
            {
                return Some((*client, record.at));
            }
            None
        })
    }

    /// A publication of the baseline and a client that received it.
    pub(crate) fn early_message(&self) -> (ClientId, MessageId) {
        let found = self.records.iter().find_map(|record| {
            if let RunEvent::Client { client, event } = &record.event
                && let ClientEvent::Delivered { message, .. } = event
            {
                return message.map(|message| (*client, message));
            }
            None
        });
        found.unwrap()
    }
}

/// Delays everything that a client received in a period to the end of the period.
pub(crate) fn hold_back(
    records: &mut [EventRecord],
    whom: ClientId,
    from: Instant,
    until: Instant,
) {
    for record in records {
        let is_received = matches!(
            &record.event,
            RunEvent::Client { client, event: ClientEvent::Acknowledged { .. } | ClientEvent::Delivered { .. } }
                if *client == whom
        );
        if is_received && (from..until).contains(&record.at) {
            record.at = until;
        }
    }
}

fn reconcile(scenario: &Scenario, plan: &Plan, records: &[EventRecord]) -> Ledger {
    let mut log = EventLog::new(1_000_000);
    for record in records {
        log.push(record.clone());
    }
    Ledger::reconcile(scenario, plan, &log)
}

fn begin(scenario: &Scenario, phase: RunPhase) -> Instant {
    if phase == RunPhase::Connect {
        return Instant::START;
    }
    Instant::START + BASELINE + scenario.run().begins(phase)
}

/// What a fault does to the traffic of a client.
#[derive(Clone, Copy, Debug)]
struct Outage {
    from: Instant,
    /// The heal, or the end of a fault that has no duration.
    to: Instant,
    /// After which time the client notices, and how; `None`: its connection stays, and traffic waits for the heal.
    loss: Option<(Duration, LossCause)>,
}

impl Outage {
    /// When the client stops to send.
    fn noticed(&self) -> Instant {
        self.loss.map_or(self.to, |(after, _)| self.from + after)
    }

    /// Whether what is sent at this instant is neither acknowledged nor delivered before the heal.
    fn covers(&self, at: Instant) -> bool {
        at + 2 * MILLI > self.from && at < self.to + RESUBSCRIBE
    }
}

/// A publication that was sent, and when it was stored.
#[derive(Clone, Copy, Debug)]
struct Sent {
    channel: ChannelId,
    id: MessageId,
    stored: Instant,
}

fn event_records(scenario: &Scenario, plan: &Plan, in_flight: bool) -> Vec<EventRecord> {
    let mut records = Vec::new();
    for phase in RunPhase::ALL {
        push(
            &mut records,
            begin(scenario, phase),
            RunEvent::PhaseBegan(phase),
        );
    }
    let end = begin(scenario, RunPhase::End);
    let mut at = Instant::START;
    while at < end {
        push(
            &mut records,
            at,
            RunEvent::Harness(HarnessEvent::Lag { late: MILLI }),
        );
        at = at + 10 * MILLI;
    }
    processes(scenario, plan, &mut records);
    let mut sent = Vec::new();
    for client in plan.topology().clients() {
        let outages = outages(scenario, plan, client);
        connections(client, &outages, &mut records);
        if traffic_of(scenario, client) == Traffic::Requests {
            requests(scenario, plan, client, &outages, &mut records);
            continue;
        }
        publications(scenario, plan, client, in_flight, &mut records, &mut sent);
    }
    deliveries(plan, sent, &mut records);
    effect_logs(scenario, plan, &mut records);
    records.sort_by_key(|record| record.at);
    records
}

fn push(records: &mut Vec<EventRecord>, at: Instant, event: RunEvent) {
    records.push(EventRecord { at, event });
}

/// When a fault is injected and healed.
fn period(scenario: &Scenario, fault: &PlannedFault) -> (Instant, Instant) {
    let steps = begin(scenario, RunPhase::Steps);
    (steps + fault.at, steps + fault.heal_at)
}

fn outages(scenario: &Scenario, plan: &Plan, client: &Client) -> Vec<Outage> {
    let hit = plan.faults().iter().filter(|fault| is_hit(fault, client));
    let outages = hit.filter_map(|fault| {
        let (from, to) = period(scenario, fault);
        let loss = match &fault.action {
            FaultAction::Kill => Some((DETECT, LossCause::Fin)),
            FaultAction::Term { .. } => Some((DETECT, LossCause::Code(SHUTDOWN))),
            FaultAction::Pause => None,
            FaultAction::Link(LinkFault::Reset) => Some((DETECT, LossCause::Reset)),
            FaultAction::Link(LinkFault::Down) => {
                (client.id.0 % 4 < 2).then_some((Duration::from_secs(1), LossCause::Timeout))
            }
            FaultAction::Link(LinkFault::Block(block)) if block.mode == BlockMode::Reject => {
                Some((DETECT, LossCause::Reset))
            }
            FaultAction::Link(LinkFault::Block(_) | LinkFault::Freeze { .. }) => {
                Some((DETECT_SILENCE, LossCause::Timeout))
            }
            FaultAction::Link(
                LinkFault::Latency { .. } | LinkFault::Bandwidth { .. } | LinkFault::Toxic(_),
            ) => return None,
        };
        Some(Outage { from, to, loss })
    });
    outages.collect()
}

/// A load balancer distributes its clients equally: the fault of one of two instances hits every other client.
fn is_hit(fault: &PlannedFault, client: &Client) -> bool {
    let is_target = fault.targets.contains(&client.instance);
    fault.hits(client) && (is_target || client.id.0.is_multiple_of(2))
}

fn processes(scenario: &Scenario, plan: &Plan, records: &mut Vec<EventRecord>) {
    let mut of_process = |at, instance, event| {
        push(records, at, RunEvent::Process { instance, event });
    };
    for instance in plan.topology().instances() {
        of_process(Instant::START, instance.id, ProcessEvent::Started);
        of_process(Instant::START + MILLI, instance.id, ProcessEvent::Ready);
    }
    let of_processes = plan.faults().iter();
    for fault in of_processes.filter(|it| it.action.ends_process()) {
        let (from, to) = period(scenario, fault);
        for target in &fault.targets {
            of_process(
                from + MILLI,
                *target,
                ProcessEvent::Exited(ProcessExit::Signal(9)),
            );
            of_process(to, *target, ProcessEvent::Started);
            of_process(to + MILLI, *target, ProcessEvent::Ready);
        }
    }
    for fault in plan.faults() {
        let (from, to) = period(scenario, fault);
        let mut of_fault = |at, event| {
            let fault = fault.id;
            push(records, at, RunEvent::Fault { fault, event });
        };
        of_fault(from, FaultEvent::Injected);
        of_fault(from + 2 * MILLI, FaultEvent::Confirmed(String::new()));
        of_fault(to + MILLI, FaultEvent::Healed);
    }
}

fn connections(client: &Client, outages: &[Outage], records: &mut Vec<EventRecord>) {
    let mut of_client = |at, event| {
        let client = client.id;
        push(records, at, RunEvent::Client { client, event });
    };
    let subscribed = |recovering| {
        ClientEvent::Subscribed(Subscribed {
            position: position(0),
            was_recovering: recovering,
            recovered: recovering,
        })
    };
    of_client(Instant::START + 10 * MILLI, ClientEvent::Connected);
    of_client(Instant::START + 15 * MILLI, subscribed(false));
    for outage in outages {
        let Some((_, cause)) = outage.loss else {
            continue;
        };
        of_client(outage.noticed(), ClientEvent::ConnectionLost(cause));
        let failed = outage.noticed() + 95 * MILLI;
        if failed < outage.to {
            of_client(failed, ClientEvent::AttemptFailed);
        }
        of_client(outage.to + 20 * MILLI, ClientEvent::Connected);
        of_client(outage.to + RESUBSCRIBE, subscribed(true));
    }
}

fn traffic_of(scenario: &Scenario, client: &Client) -> Traffic {
    let mut loads = scenario.loads().iter();
    let load = loads.find(|load| load.name == client.load);
    load.map_or(Traffic::Publications, |load| load.traffic)
}

/// What is in flight when a connection is lost is executed, and its outcome is unknown; nothing is sent before the heal.
fn requests(
    scenario: &Scenario,
    plan: &Plan,
    client: &Client,
    outages: &[Outage],
    records: &mut Vec<EventRecord>,
) {
    let baseline = begin(scenario, RunPhase::Baseline);
    let Some(schedule) = plan.publish_schedule(scenario, client.id) else {
        return;
    };
    let mut due: Vec<Instant> = schedule.map(|after| baseline + after).collect();
    due.extend(outages.iter().map(|outage| outage.from.before(MILLI)));
    due.sort();
    for (intended, sequence) in due.into_iter().zip(1_u64..) {
        let mut of_client = |at, event| {
            let client = client.id;
            push(records, at, RunEvent::Client { client, event });
        };
        let outage = outages
            .iter()
            .find(|it| it.loss.is_some() && it.covers(intended));
        let (outcome, settled) = match outage {
            Some(outage) if intended < outage.noticed() => (RequestOutcome::Lost, outage.noticed()),
            Some(_) => (RequestOutcome::NotSent, intended),
            None => (RequestOutcome::Ok, intended + 2 * MILLI),
        };
        of_client(intended, ClientEvent::Requested { sequence, intended });
        of_client(settled, ClientEvent::Settled { sequence, outcome });
        if outcome != RequestOutcome::NotSent {
            let request = MessageId {
                publisher: client.id,
                sequence,
            };
            let executed = EffectEvent::Executed { request, count: 1 };
            push(records, end_of(scenario), RunEvent::Effects(executed));
        }
    }
}

fn end_of(scenario: &Scenario) -> Instant {
    begin(scenario, RunPhase::End) + Duration::from_secs(1)
}

fn effect_logs(scenario: &Scenario, plan: &Plan, records: &mut Vec<EventRecord>) {
    for instance in plan.topology().instances() {
        let mut services = scenario.services().iter();
        if services.any(|it| it.name == instance.service && it.effects.is_some()) {
            let read = EffectEvent::Read {
                instance: instance.id,
                lines: 1,
                foreign: 0,
                is_torn: false,
            };
            push(records, end_of(scenario), RunEvent::Effects(read));
        }
    }
}

fn publications(
    scenario: &Scenario,
    plan: &Plan,
    client: &Client,
    in_flight: bool,
    records: &mut Vec<EventRecord>,
    sent: &mut Vec<Sent>,
) {
    let outages = outages(scenario, plan, client);
    let baseline = begin(scenario, RunPhase::Baseline);
    let Some(schedule) = plan.publish_schedule(scenario, client.id) else {
        return;
    };
    let mut due: Vec<Instant> = schedule.map(|after| baseline + after).collect();
    if in_flight {
        due.extend(outages.iter().map(|outage| outage.from.before(MILLI)));
    } else {
        let near = |at: Instant, it: &Outage| at + 2 * MILLI > it.from && at < it.noticed();
        due.retain(|at| !outages.iter().any(|outage| near(*at, outage)));
    }
    due.sort();
    let mut sent_after: BTreeMap<Instant, u64> = BTreeMap::new();
    for (due, sequence) in due.into_iter().zip(1_u64..) {
        let mut of_client = |at, event| {
            let client = client.id;
            push(records, at, RunEvent::Client { client, event });
        };
        let outage = outages.iter().find(|it| it.covers(due));
        let stored = match outage {
            None => {
                of_client(due, ClientEvent::Published { sequence });
                due + MILLI
            }
            Some(outage) => {
                let resubscribed = outage.to + RESUBSCRIBE;
                let number = sent_after.entry(resubscribed).or_default();
                *number += 1;
                // One after another, in the order in which they became due.
                let again = resubscribed + Duration::from_micros(*number);
                if outage.loss.is_none() {
                    of_client(due, ClientEvent::Published { sequence });
                } else if due < outage.noticed() {
                    of_client(due, ClientEvent::Published { sequence });
                    of_client(again, ClientEvent::Resent { sequence });
                } else {
                    of_client(again, ClientEvent::Published { sequence });
                }
                again + MILLI
            }
        };
        let id = MessageId {
            publisher: client.id,
            sequence,
        };
        let channel = client.channel;
        sent.push(Sent {
            channel,
            id,
            stored,
        });
    }
}

fn deliveries(plan: &Plan, mut sent: Vec<Sent>, records: &mut Vec<EventRecord>) {
    sent.sort_by_key(|it| (it.stored, it.id));
    let mut offsets: BTreeMap<ChannelId, u64> = BTreeMap::new();
    for it in sent {
        let offset = offsets.entry(it.channel).or_default();
        *offset += 1;
        let acknowledged = ClientEvent::Acknowledged {
            sequence: it.id.sequence,
            position: Some(position(*offset)),
            is_duplicate: false,
        };
        let at = it.stored + MILLI;
        let client = it.id.publisher;
        push(
            records,
            at,
            RunEvent::Client {
                client,
                event: acknowledged,
            },
        );
        let clients = plan.topology().clients().iter();
        let readers = clients.filter(|reader| reader.channel == it.channel);
        for reader in readers.filter(|reader| reader.activity != ClientActivity::Idle) {
            let event = ClientEvent::Delivered {
                message: Some(it.id),
                offset: *offset,
            };
            let client = reader.id;
            push(records, at, RunEvent::Client { client, event });
        }
    }
}

fn position(offset: u64) -> Position {
    Position {
        epoch: EPOCH.to_owned(),
        offset,
    }
}

/// Subtracts from an instant, which `Instant` does not offer, for events just before a fault.
pub(crate) trait Before {
    fn before(self, time: Duration) -> Self;
}

impl Before for Instant {
    fn before(self, time: Duration) -> Self {
        Self::START + (self - Self::START).saturating_sub(time)
    }
}
