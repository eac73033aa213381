//! One run from its empty folder to its end: everyone is started, the agenda is worked off, facts are written down.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use steadfast::clock::Clock;
use steadfast_faults::ledger::history::History;
use steadfast_faults::ledger::record::{
    ClientFact, Fact, FaultFact, HarnessFact, MessageId, Phase, ProcessFact, Record,
};
use steadfast_faults::roster::{ClientId, ClientKind, FaultId, InstanceId};
use steadfast_faults::scenario::model::{Action, Scenario};
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::scenario::schedule::Schedule;
use steadfast_machine::Instant;

use super::agenda::{Agenda, Due};
use super::clients::{self, Client, Clients};
use super::inbox::{MESSAGES_MAX, Message, Source};
use super::{FaultsMode, Setup};
use crate::driver::line::{Event, Line};
use crate::driver::{self, Driver};
use crate::error::LabError;
use crate::progress::Progress;
use crate::service::{self, Order, Service, free_port};

/// Facts of one run; about a gigabyte of memory, and far more than an hour of 50 clients.
const FACTS_MAX: usize = 8_000_000;
/// Between two looks at the harness's own lag.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two words to the person who waits.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a fault waits for a publication that it can meet under way.
const STRIKE_WITHIN: Duration = Duration::from_secs(1);
/// The pause before a publication is repeated whose answer was lost or temporary.
const REPEAT_AFTER: Duration = Duration::from_millis(100);

/// A run under way.
pub(super) struct Stage<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    faults: FaultsMode,
    /// Makes keys of this run unlike those of any other.
    name: String,
    clock: Clock,
    inbox: Receiver<Message>,
    services: Vec<Service>,
    drivers: BTreeMap<ClientKind, Driver>,
    clients: Clients,
    schedules: BTreeMap<ClientId, Schedule>,
    /// When each client publishes next.
    next_publish: BTreeMap<ClientId, Instant>,
    /// Publications under way by the id of their call.
    calls: BTreeMap<u64, (ClientId, u64)>,
    next_call: u64,
    agenda: Agenda,
    history: History,
    phase: Phase,
    /// The start of the baseline.
    origin: Instant,
    ready: Vec<InstanceId>,
    acknowledged: u64,
    delivered: u64,
    news: Option<String>,
    /// The last words of drivers and services, for the message when someone is not ready.
    said: String,
}

impl<'a> Stage<'a> {
    /// Starts services and drivers; nobody connects yet.
    pub(super) fn set(
        scenario: &'a Scenario,
        plan: &'a Plan,
        setup: &Setup,
    ) -> Result<Self, LabError> {
        let clock = Clock::start();
        let (sender, inbox) = sync_channel(MESSAGES_MAX);
        let mut ports = Vec::new();
        let mut services = Vec::new();
        for instance in plan.roster().instances() {
            let port = free_port(&ports)?;
            ports.push(port);
            let name = instance.to_string();
            let setup = service::Setup {
                id: instance.id,
                folder: setup.folder.join(name.replace(':', "-")),
                name,
                program: setup.gateway.clone(),
                launcher: setup.launcher.clone(),
                port,
            };
            services.push(Service::new(setup, clock, sender.clone())?);
        }
        let clients = seat(scenario, plan);
        let mut drivers = BTreeMap::new();
        for kind in clients.kinds() {
            let command = setup.drivers.get(&kind);
            let command = command.ok_or(LabError::DriverMissing(kind))?;
            drivers.insert(kind, Driver::start(kind, command, clock, sender.clone())?);
        }
        Ok(Self {
            scenario,
            plan,
            faults: setup.faults,
            name: format!("{:x}-{:x}", std::process::id(), Clock::wall().as_millis()),
            clock,
            inbox,
            services,
            drivers,
            clients,
            schedules: BTreeMap::new(),
            next_publish: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 1,
            agenda: Agenda::default(),
            history: History::new(FACTS_MAX),
            phase: Phase::Connect,
            origin: Instant::START,
            ready: Vec::new(),
            acknowledged: 0,
            delivered: 0,
            news: None,
            said: String::new(),
        })
    }

    /// Plays it to its end.
    pub(super) fn play(mut self, watch: &mut dyn FnMut(&Progress)) -> Result<History, LabError> {
        self.write(self.clock.now(), Fact::Began(Phase::Connect));
        self.gather()?;
        self.fill_agenda();
        while self.phase != Phase::End {
            self.hear(self.agenda.next_at());
            let now = self.clock.now();
            while let Some((planned, due)) = self.agenda.take(now) {
                self.carry_out(planned, due, watch);
                if self.phase == Phase::End {
                    break;
                }
            }
        }
        self.close();
        Ok(self.history)
    }

    /// Starts the services, then connects and subscribes everyone.
    fn gather(&mut self) -> Result<(), LabError> {
        let limit = self.scenario.run().ready_timeout;
        let deadline = self.clock.now() + limit;
        for service in &self.services {
            service.order(Order::Start);
        }
        while self.ready.len() < self.services.len() {
            self.wait_for_ready(deadline, limit, "services")?;
        }
        let seats: Vec<(String, String, ClientKind, InstanceId)> = self
            .plan
            .roster()
            .clients()
            .iter()
            .zip(self.clients.all())
            .map(|(seat, client)| {
                (
                    client.name.clone(),
                    client.channel.clone(),
                    client.kind,
                    seat.instance,
                )
            })
            .collect();
        for (name, channel, kind, instance) in seats {
            let place = usize::try_from(instance.0).unwrap_or(usize::MAX);
            let url = self
                .services
                .get(place)
                .map(Service::url)
                .unwrap_or_default();
            self.command(kind, driver::open(&name, &url));
            self.command(kind, driver::subscribe(&name, &channel));
        }
        while let Some(first) = self.clients.missing().first() {
            let missing = (*first).to_owned();
            self.wait_for_ready(deadline, limit, &missing)?;
        }
        Ok(())
    }

    fn wait_for_ready(
        &mut self,
        deadline: Instant,
        limit: Duration,
        missing: &str,
    ) -> Result<(), LabError> {
        let now = self.clock.now();
        if now >= deadline || self.has_failed() {
            return Err(LabError::NotReady {
                seconds: limit.as_secs(),
                missing: format!("{missing}; {}", self.said),
            });
        }
        self.hear(Some((now + LOOK_EVERY).min(deadline)));
        Ok(())
    }

    fn has_failed(&self) -> bool {
        let failed = |record: &Record| matches!(record.fact, Fact::Harness(HarnessFact::Failed(_)));
        self.history.records().iter().any(failed)
    }

    fn fill_agenda(&mut self) {
        self.origin = self.clock.now();
        let run = self.scenario.run();
        for phase in Phase::ALL {
            if phase != Phase::Connect {
                self.agenda
                    .add(self.origin + run.begins(phase), Due::Begin(phase));
            }
        }
        let steps = self.origin + run.begins(Phase::Steps);
        for fault in self.plan.faults() {
            self.agenda.add(steps + fault.at, Due::Inject(fault.id));
            self.agenda.add(steps + fault.heal_at, Due::Heal(fault.id));
        }
        let ids: Vec<ClientId> = self.clients.all().iter().map(|client| client.id).collect();
        for id in ids {
            if let Some(schedule) = self.plan.schedule(self.scenario, id) {
                self.schedules.insert(id, schedule);
                self.plan_next(id);
            }
        }
        self.agenda.add(self.origin, Due::Look);
        self.agenda.add(self.origin, Due::Tell);
    }

    fn plan_next(&mut self, client: ClientId) {
        let next = self.schedules.get_mut(&client).and_then(Iterator::next);
        if let Some(after) = next {
            let at = self.origin + after;
            self.next_publish.insert(client, at);
            self.agenda.add(at, Due::Publish(client));
        } else {
            self.next_publish.remove(&client);
        }
    }

    /// Takes everything that comes until then.
    fn hear(&mut self, until: Option<Instant>) {
        loop {
            let now = self.clock.now();
            let wait = until.map_or(LOOK_EVERY, |until| until.saturating_since(now));
            match self.inbox.recv_timeout(wait) {
                Ok(message) => self.on_message(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            if until.is_some_and(|until| self.clock.now() >= until) {
                return;
            }
        }
    }

    fn carry_out(&mut self, planned: Instant, due: Due, watch: &mut dyn FnMut(&Progress)) {
        let now = self.clock.now();
        match due {
            Due::Begin(phase) => {
                self.phase = phase;
                self.write(now, Fact::Began(phase));
                self.tell(watch);
            }
            Due::Inject(fault) => self.aim(now, fault),
            Due::Strike(fault) => self.inject(fault),
            Due::Heal(fault) => self.heal(fault),
            Due::Publish(client) => {
                self.plan_next(client);
                let unsent = self.clients.get_mut(client).and_then(Client::intend);
                if let Some(what) = unsent {
                    self.write(now, Fact::Client { client, what });
                }
                self.send_open(client);
            }
            Due::Repeat(client) => self.send_open(client),
            Due::Look => self.look(planned, now),
            Due::Tell => {
                self.tell(watch);
                self.agenda.add(planned.max(now) + TELL_EVERY, Due::Tell);
            }
        }
        if self.news.is_some() {
            self.tell(watch);
        }
    }

    /// Every look that was due counts, those that a stall swallowed too: else one long stall would be one sample among
    /// thousands.
    fn look(&mut self, planned: Instant, now: Instant) {
        let mut due = planned;
        while due <= now {
            let late = now.saturating_since(due);
            self.write(now, Fact::Harness(HarnessFact::Lag { late }));
            due = due + LOOK_EVERY;
        }
        self.agenda.add(due, Due::Look);
    }

    /// A fault strikes right behind the next publication of a client of its target: only then does the run show what
    /// becomes of what was under way.
    fn aim(&mut self, now: Instant, id: FaultId) {
        let roster = self.plan.roster();
        let fault = self.plan.faults().iter().find(|fault| fault.id == id);
        let targets = fault
            .map(|fault| fault.targets.as_slice())
            .unwrap_or_default();
        let hits = |client: &ClientId| {
            let seat = roster.client(*client);
            seat.is_some_and(|seat| targets.contains(&seat.instance))
        };
        let next = self.next_publish.iter().filter(|(client, _)| hits(client));
        let next = next.map(|(_, at)| *at).min();
        let at = next.filter(|at| *at <= now + STRIKE_WITHIN).unwrap_or(now);
        self.agenda.add(at, Due::Strike(id));
    }

    fn inject(&mut self, id: FaultId) {
        let Some(fault) = self.plan.faults().iter().find(|fault| fault.id == id) else {
            return;
        };
        let order = match fault.action {
            Action::Kill => Order::Kill(id),
            Action::Term { grace } => Order::Term(id, grace),
            Action::Pause => Order::Pause(id),
        };
        let targets = fault.targets.clone();
        self.news = Some(format!("{} {}", fault.action.name(), self.names(&targets)));
        match self.faults {
            FaultsMode::Real => self.order(&targets, order),
            FaultsMode::Placebo => {
                let now = self.clock.now();
                let what = FaultFact::Injected;
                self.write(now, Fact::Fault { fault: id, what });
            }
        }
    }

    fn heal(&mut self, id: FaultId) {
        let Some(fault) = self.plan.faults().iter().find(|fault| fault.id == id) else {
            return;
        };
        match self.faults {
            FaultsMode::Real => self.order(&fault.targets, Order::Heal(id)),
            FaultsMode::Placebo => {
                let now = self.clock.now();
                let what = FaultFact::Healed;
                self.write(now, Fact::Fault { fault: id, what });
            }
        }
    }

    fn order(&self, targets: &[InstanceId], order: Order) {
        for target in targets {
            let place = usize::try_from(target.0).unwrap_or(usize::MAX);
            if let Some(service) = self.services.get(place) {
                service.order(order);
            }
        }
    }

    fn names(&self, targets: &[InstanceId]) -> String {
        let roster = self.plan.roster();
        let names = targets.iter().filter_map(|id| roster.instance(*id));
        let names: Vec<String> = names.map(ToString::to_string).collect();
        names.join(", ")
    }

    /// Sends what this client may send now.
    fn send_open(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let Some(sending) = client.next_sending() else {
                return;
            };
            let sequence = sending.sequence;
            let (name, channel, kind) = (client.name.clone(), client.channel.clone(), client.kind);
            let message = MessageId {
                publisher: id,
                sequence,
            };
            let data = clients::payload(message, self.payload_bytes(id));
            let key = clients::key(&self.name, message);
            let what = if sending.is_repeat {
                ClientFact::Repeated { sequence }
            } else {
                ClientFact::Published { sequence }
            };
            self.write(self.clock.now(), Fact::Client { client: id, what });
            let call = self.command(kind, driver::publish(&name, &channel, &key, &data));
            self.calls.insert(call, (id, sequence));
        }
    }

    fn payload_bytes(&self, id: ClientId) -> u32 {
        let load = self.plan.roster().client(id).map(|seat| seat.load.as_str());
        let loads = self.scenario.loads().iter();
        loads
            .filter(|it| Some(it.name.as_str()) == load)
            .map(|it| it.send.payload_bytes)
            .next()
            .unwrap_or_default()
    }

    /// Gives a command its id and sends it.
    fn command(&mut self, kind: ClientKind, mut command: serde_json::Value) -> u64 {
        let id = self.next_call;
        self.next_call += 1;
        if let Some(fields) = command.as_object_mut() {
            fields.insert("id".to_owned(), id.into());
        }
        let sent = self
            .drivers
            .get_mut(&kind)
            .map(|driver| driver.send(&command));
        if let Some(Err(error)) = sent {
            self.fail(format!("the driver of `{}` clients: {error}", kind.name()));
        }
        id
    }

    fn on_message(&mut self, message: Message) {
        let Message { at, source } = message;
        match source {
            Source::Fact(fact) => {
                if let Fact::Process {
                    instance,
                    what: ProcessFact::Ready,
                } = fact
                {
                    self.ready.push(instance);
                }
                self.write(at, fact);
            }
            Source::Failure(what) => self.fail(what),
            Source::Driver(kind, line) => self.on_line(at, kind, line),
        }
    }

    fn on_line(&mut self, at: Instant, kind: ClientKind, line: Line) {
        match line {
            Line::Ready => {}
            Line::Answer { id, outcome } => {
                let Some((client, sequence)) = self.calls.remove(&id) else {
                    if let Err(error) = outcome {
                        self.said = format!("a `{}` client said {error:?}", kind.name());
                    }
                    return;
                };
                let owner = self.clients.get_mut(client);
                let what = owner.and_then(|owner| owner.answered(sequence, &outcome));
                if let Some(what) = what {
                    self.acknowledged += u64::from(matches!(what, ClientFact::Acknowledged { .. }));
                    self.write(at, Fact::Client { client, what });
                    self.send_open(client);
                } else {
                    self.agenda
                        .add(self.clock.now() + REPEAT_AFTER, Due::Repeat(client));
                }
            }
            Line::Event(event) => self.on_event(at, &event),
            Line::Strange(text) => {
                self.said = format!("the driver of `{}` clients said: {text}", kind.name());
            }
            Line::Ended => self.fail(format!("the driver of `{}` clients ended", kind.name())),
        }
    }

    fn on_event(&mut self, at: Instant, event: &Event) {
        let Some(client) = self.clients.named_mut(&event.client) else {
            return;
        };
        let id = client.id;
        let fact = client.on_event(&event.what);
        let is_up = client.is_up();
        if let Some(what) = fact {
            self.delivered += u64::from(matches!(what, ClientFact::Delivered { .. }));
            let may_send = is_up && matches!(what, ClientFact::Subscribed(_));
            self.write(at, Fact::Client { client: id, what });
            if may_send {
                self.send_open(id);
            }
        }
    }

    fn fail(&mut self, what: String) {
        self.said.clone_from(&what);
        self.write(self.clock.now(), Fact::Harness(HarnessFact::Failed(what)));
    }

    fn write(&mut self, at: Instant, fact: Fact) {
        self.history.push(Record { at, fact });
    }

    fn tell(&mut self, watch: &mut dyn FnMut(&Progress)) {
        let clients = self.clients.all();
        watch(&Progress {
            is_control: false,
            phase: self.phase,
            elapsed: self.clock.now().saturating_since(self.origin),
            total: self.scenario.run().total(),
            clients_up: clients.iter().filter(|client| client.is_up()).count(),
            clients: clients.len(),
            acknowledged: self.acknowledged,
            unanswered: clients.iter().map(Client::unanswered).sum(),
            delivered: self.delivered,
            news: self.news.take(),
        });
    }

    /// Lets the clients go before the services, so that their end is theirs.
    fn close(&mut self) {
        let names: Vec<(ClientKind, String)> = self
            .clients
            .all()
            .iter()
            .map(|client| (client.kind, client.name.clone()))
            .collect();
        for (kind, name) in names {
            self.command(kind, driver::close(&name));
        }
        self.drivers.clear();
        self.services.clear();
    }
}

fn seat(scenario: &Scenario, plan: &Plan) -> Clients {
    let mut clients = Clients::default();
    for seat in plan.roster().clients() {
        let room = plan.roster().room(seat.room);
        let channel = room.map(|room| room.name.clone()).unwrap_or_default();
        let load = scenario.loads().iter().find(|load| load.name == seat.load);
        let queue_len_max = load.map_or(0, |load| load.send.queue_len_max);
        clients.add(Client::new(seat, channel, queue_len_max));
    }
    clients
}
