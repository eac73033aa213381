//! One run, from an empty directory to its end: starts services and clients, executes the schedule, records events.

mod drivers;
mod evidence;
mod messages;
mod requests;
mod startup;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::ledger::event::{
    ClientEvent, EventRecord, FaultEvent, HarnessEvent, MessageId, RunEvent, RunPhase,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::scenario::model::{FaultAction, LinkFault, Load, Scenario};
use steadfast_faults::scenario::plan::{Plan, PlannedFault};
use steadfast_faults::scenario::publish_schedule::PublishSchedule;
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_machine::Instant;

use super::clients::{self, Client, Clients};
use super::fault_parts::FaultParts;
use super::inbox::{HarnessMessage, MESSAGES_MAX, MessagePayload};
use super::schedule::{DueAction, RunSchedule};
use super::streams::Streams;
use super::{EVENTS_MAX, RunSetup};
use crate::backend::processes::Folders;
use crate::backend::{self, Backend};
use crate::driver::{Driver, DriverId, commands};
use crate::effects;
use crate::error::LabError;
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::progress::Progress;

/// Interval at which the lag of the harness is measured.
const LAG_SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// Interval of progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time that a fault is delayed to hit a publication in flight.
const ARM_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay before a publication is resent after a lost reply or a temporary error.
const RESEND_DELAY: Duration = Duration::from_millis(100);

/// A run in progress.
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    /// Makes the idempotency keys of this run unique.
    key_prefix: String,
    clock: Clock,
    inbox: Receiver<HarnessMessage>,
    backend: Box<dyn Backend>,
    /// By their ids.
    drivers: Vec<Driver>,
    clients: Clients,
    streams: Streams,
    publish_schedules: BTreeMap<ClientId, PublishSchedule>,
    next_publish: BTreeMap<ClientId, Instant>,
    /// Client and sequence number of publications and requests in flight, by command id.
    calls: BTreeMap<u64, (ClientId, u64)>,
    next_command_id: u64,
    schedule: RunSchedule,
    history: EventLog,
    phase: RunPhase,
    baseline_start: Instant,
    ready: Vec<InstanceId>,
    /// Drivers that read commands.
    ready_drivers: BTreeSet<DriverId>,
    acknowledged: u64,
    delivered: u64,
    progress_event: Option<String>,
    /// Faults that were injected; true once they are over.
    faults: BTreeMap<FaultId, bool>,
    /// The parts of the faults that were injected.
    parts: BTreeMap<FaultId, FaultParts>,
    /// The first failure of the harness.
    failure: Option<String>,
    /// Drivers whose end or failure is recorded; each command to one of them may fail too.
    failed_drivers: BTreeSet<DriverId>,
    /// The last message of a driver, for the error when a client is not ready in time.
    last_message: String,
    /// Faults that select their targets by role, with the targets that were found.
    resolved: BTreeMap<FaultId, PlannedFault>,
    /// What the operator should know and what does not change the result.
    notices: Vec<String>,
    /// Where faults are written before they are injected.
    journal: Option<Journal>,
    /// Ends the run early.
    interrupt: Interrupt,
}

impl<'a> Run<'a> {
    /// Creates the services and starts the drivers; no client connects yet.
    pub(super) fn start(
        scenario: &'a Scenario,
        plan: &'a Plan,
        setup: &RunSetup,
    ) -> Result<Self, LabError> {
        let clock = Clock::start();
        let (sender, inbox) = sync_channel(MESSAGES_MAX);
        let kept = kept(&setup.folder, scenario.name());
        let folders = Folders {
            run: &setup.folder,
            kept: &kept,
        };
        let backend = backend::assemble(scenario, plan, setup, folders, clock, &sender)?;
        let (drivers, clients) = drivers::start(scenario, plan, setup, clock, &sender)?;
        Ok(Self {
            scenario,
            plan,
            key_prefix: format!("{:x}-{:x}", std::process::id(), Clock::wall().as_millis()),
            clock,
            inbox,
            backend,
            drivers,
            clients,
            streams: Streams::default(),
            publish_schedules: BTreeMap::new(),
            next_publish: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_command_id: 1,
            schedule: RunSchedule::default(),
            history: EventLog::new(EVENTS_MAX),
            phase: RunPhase::Connect,
            baseline_start: Instant::START,
            ready: Vec::new(),
            ready_drivers: BTreeSet::new(),
            acknowledged: 0,
            delivered: 0,
            progress_event: None,
            faults: BTreeMap::new(),
            parts: BTreeMap::new(),
            failure: None,
            failed_drivers: BTreeSet::new(),
            last_message: String::new(),
            resolved: BTreeMap::new(),
            notices: Vec::new(),
            journal: setup.journal.clone(),
            interrupt: setup.interrupt.clone(),
        })
    }

    /// Executes the schedule to its end and returns the history.
    pub(super) fn execute(
        mut self,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<(EventLog, Vec<String>), LabError> {
        self.record(self.clock.now(), RunEvent::PhaseBegan(RunPhase::Connect));
        self.start_participants(watch)?;
        self.fill_schedule();
        while self.phase != RunPhase::End {
            if self.interrupt.is_requested() {
                self.heal_all();
                self.close();
                return Err(LabError::Interrupted);
            }
            self.receive_until(self.schedule.next_at());
            let now = self.clock.now();
            while let Some((planned, due)) = self.schedule.take(now) {
                self.perform(planned, due, watch);
                if self.phase == RunPhase::End {
                    break;
                }
            }
        }
        self.close();
        Ok((self.history, self.notices))
    }

    fn fill_schedule(&mut self) {
        self.baseline_start = self.clock.now();
        let run = self.scenario.run();
        for phase in RunPhase::ALL {
            if phase != RunPhase::Connect {
                self.schedule.add(
                    self.baseline_start + run.begins(phase),
                    DueAction::Begin(phase),
                );
            }
        }
        let steps = self.baseline_start + run.begins(RunPhase::Steps);
        for fault in self.plan.faults() {
            self.schedule
                .add(steps + fault.at, DueAction::Arm(fault.id));
            if !fault.action.is_instantaneous() {
                self.schedule
                    .add(steps + fault.heal_at, DueAction::Heal(fault.id));
            }
        }
        let ids: Vec<ClientId> = self.clients.all().iter().map(|client| client.id).collect();
        for id in ids {
            if let Some(times) = self.plan.publish_schedule(self.scenario, id) {
                self.publish_schedules.insert(id, times);
                self.plan_next(id);
            }
        }
        self.schedule.add(self.baseline_start, DueAction::SampleLag);
        self.schedule
            .add(self.baseline_start, DueAction::ReportProgress);
    }

    fn plan_next(&mut self, client: ClientId) {
        let next = self
            .publish_schedules
            .get_mut(&client)
            .and_then(Iterator::next);
        if let Some(after) = next {
            let at = self.baseline_start + after;
            self.next_publish.insert(client, at);
            self.schedule.add(at, DueAction::Publish(client));
        } else {
            self.next_publish.remove(&client);
        }
    }

    /// Handles all messages that arrive until that instant.
    fn receive_until(&mut self, until: Option<Instant>) {
        loop {
            let now = self.clock.now();
            let wait = until.map_or(LAG_SAMPLE_INTERVAL, |until| until.saturating_since(now));
            match self.inbox.recv_timeout(wait) {
                Ok(message) => self.on_message(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            if until.is_some_and(|until| self.clock.now() >= until) {
                return;
            }
        }
    }

    fn perform(&mut self, planned: Instant, due: DueAction, watch: &mut dyn FnMut(&Progress)) {
        let now = self.clock.now();
        match due {
            DueAction::Begin(phase) => {
                self.phase = phase;
                self.record(now, RunEvent::PhaseBegan(phase));
                if phase == RunPhase::Drain {
                    self.count_connections(now);
                }
                self.report_progress(String::new(), watch);
            }
            DueAction::Arm(fault) => self.arm(now, fault),
            DueAction::Inject(fault) => self.inject(fault),
            DueAction::Heal(fault) => self.heal(fault),
            DueAction::Publish(client) => {
                self.plan_next(client);
                let publisher = self.clients.get_mut(client);
                let overflow = publisher.and_then(|publisher| publisher.enqueue(planned));
                if let Some(what) = overflow {
                    self.record(
                        now,
                        RunEvent::Client {
                            client,
                            event: what,
                        },
                    );
                }
                self.send_pending(client);
            }
            DueAction::Resend(client) => self.send_pending(client),
            DueAction::Expire(command) => self.expire(command),
            DueAction::SampleLag => self.sample_lag(planned, now),
            DueAction::ReportProgress => {
                self.report_progress(String::new(), watch);
                self.schedule.add(
                    planned.max(now) + PROGRESS_INTERVAL,
                    DueAction::ReportProgress,
                );
            }
        }
        if self.progress_event.is_some() {
            self.report_progress(String::new(), watch);
        }
    }

    /// Records one sample for each interval, including those missed during a stall: otherwise a long stall would be one
    /// sample among thousands.
    fn sample_lag(&mut self, planned: Instant, now: Instant) {
        let mut due = planned;
        while due <= now {
            let late = now.saturating_since(due);
            self.record(now, RunEvent::Harness(HarnessEvent::Lag { late }));
            due = due + LAG_SAMPLE_INTERVAL;
        }
        self.schedule.add(due, DueAction::SampleLag);
    }

    /// Schedules the injection of a fault right after the next publication of a client of its target: only then does
    /// the run show the effect on publications in flight.
    fn arm(&mut self, now: Instant, id: FaultId) {
        let topology = self.plan.topology();
        let fault = self.plan.faults().iter().find(|fault| fault.id == id);
        let is_affected = |client: &ClientId| {
            let client = topology.client(*client);
            client
                .zip(fault)
                .is_some_and(|(client, fault)| fault.hits(client))
        };
        // A short fault must not be healed before it is injected.
        let lasting = fault.map(|fault| fault.heal_at.saturating_sub(fault.at) / 2);
        let timeout = match fault {
            Some(fault) if !fault.action.is_instantaneous() => {
                lasting.map_or(ARM_TIMEOUT, |lasting| lasting.min(ARM_TIMEOUT))
            }
            Some(_) | None => ARM_TIMEOUT,
        };
        let next = self
            .next_publish
            .iter()
            .filter(|(client, _)| is_affected(client));
        let next = next.map(|(_, at)| *at).min();
        let at = next.filter(|at| *at <= now + timeout).unwrap_or(now);
        self.schedule.add(at, DueAction::Inject(id));
    }

    fn inject(&mut self, id: FaultId) {
        let plan = self.plan;
        let Some(fault) = plan.faults().iter().find(|fault| fault.id == id) else {
            return;
        };
        match fault.role {
            Some(selection) => self.backend.resolve(fault, selection),
            None => self.inject_into_targets(fault),
        }
    }

    /// Injects a fault whose targets are known.
    fn inject_into_targets(&mut self, fault: &PlannedFault) {
        let targets = fault.target_names(self.plan.topology()).join(", ");
        let what = format!("{} {targets}", fault.action.name());
        let journal = self.journal.as_ref();
        if let Some(Err(error)) = journal.map(|it| it.begin(fault.id, &what, undo(&fault.action))) {
            // What is not written could not be undone after a crash.
            return self.fail(error.to_string());
        }
        self.progress_event = Some(what);
        let parts = self.backend.parts(fault).into_iter();
        let parts = parts.map(|part| (part, part.name(self.plan.topology())));
        self.parts.insert(fault.id, FaultParts::new(parts));
        let event = self.backend.inject(fault);
        self.record_fault(fault.id, event);
    }

    /// The targets of a fault by role are found, or there are none.
    fn on_targets(&mut self, id: FaultId, targets: Result<Vec<InstanceId>, String>) {
        let plan = self.plan;
        let Some(fault) = plan.faults().iter().find(|fault| fault.id == id) else {
            return;
        };
        // The heal of a lasting fault was due before, so nothing would heal it.
        let heal_at =
            self.baseline_start + self.scenario.run().begins(RunPhase::Steps) + fault.heal_at;
        let is_late = !fault.action.is_instantaneous() && heal_at <= self.clock.now();
        let event = match targets {
            Ok(_) if is_late => {
                FaultEvent::Ineffective("its targets were found too late".to_owned())
            }
            Err(reason) => FaultEvent::Ineffective(reason),
            Ok(targets) => {
                let fault = PlannedFault {
                    targets: targets.clone(),
                    ..fault.clone()
                };
                self.record_fault(id, Some(FaultEvent::Targeted(targets)));
                self.inject_into_targets(&fault);
                self.resolved.insert(id, fault);
                return;
            }
        };
        self.record_fault(id, Some(event));
    }

    fn heal(&mut self, id: FaultId) {
        let Some(fault) = self.plan.faults().iter().find(|fault| fault.id == id) else {
            return;
        };
        let fault = match fault.role {
            None => Some(fault),
            // Nothing was injected if no targets were found.
            Some(_) => self.resolved.get(&id),
        };
        if let Some(fault) = fault {
            let event = self.backend.heal(fault);
            self.record_fault(id, event);
        }
    }

    /// Heals the faults in effect, so that services can end as they do at the end of a run. A process that a fault has ended
    /// is not started again.
    fn heal_all(&mut self) {
        let faults = self.plan.faults().iter();
        let lasting = faults.filter(|fault| !fault.action.ends_process());
        let active = lasting.filter(|fault| self.faults.get(&fault.id) == Some(&false));
        let ids: Vec<FaultId> = active.map(|fault| fault.id).collect();
        for id in ids {
            self.heal(id);
        }
    }

    /// Records what is certain at once; the backend sends the rest to the inbox.
    fn record_fault(&mut self, fault: FaultId, event: Option<FaultEvent>) {
        if let Some(event) = event {
            self.record(self.clock.now(), RunEvent::Fault { fault, event });
        }
    }

    fn names(&self, targets: &[InstanceId]) -> String {
        let topology = self.plan.topology();
        let names = targets.iter().filter_map(|id| topology.instance(*id));
        let names: Vec<String> = names.map(ToString::to_string).collect();
        names.join(", ")
    }

    /// Sends what this client may send now: its next publications, or its requests.
    fn send_pending(&mut self, id: ClientId) {
        self.send_requests(id);
        loop {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let Some(next) = client.next_to_send() else {
                return;
            };
            let sequence = next.sequence;
            let (name, channel) = (client.name.clone(), client.channel.clone());
            let driver = client.driver;
            let message = MessageId {
                publisher: id,
                sequence,
            };
            let data = clients::payload(message, self.payload_bytes(id));
            let key = effects::key(&self.key_prefix, message);
            let what = if next.is_resend {
                ClientEvent::Resent { sequence }
            } else {
                ClientEvent::Published { sequence }
            };
            self.record(
                self.clock.now(),
                RunEvent::Client {
                    client: id,
                    event: what,
                },
            );
            let command_id =
                self.send_to_driver(driver, commands::publish(&name, &channel, &key, &data));
            self.calls.insert(command_id, (id, sequence));
        }
    }

    fn payload_bytes(&self, id: ClientId) -> u32 {
        let load = self.load_of(id);
        load.map_or(0, |load| load.send.payload_bytes)
    }

    /// The load of a client.
    fn load_of(&self, id: ClientId) -> Option<&'a Load> {
        let client = self.plan.topology().client(id)?;
        let mut loads = self.scenario.loads().iter();
        loads.find(|load| load.name == client.load)
    }

    fn record(&mut self, at: Instant, event: RunEvent) {
        if let RunEvent::Fault { fault, event } = &event {
            let is_over = matches!(event, FaultEvent::Healed | FaultEvent::Ineffective(_));
            *self.faults.entry(*fault).or_default() |= is_over;
        }
        self.history.push(EventRecord { at, event });
    }

    fn report_progress(&mut self, waiting_for: String, watch: &mut dyn FnMut(&Progress)) {
        let total = self.scenario.run().total();
        let elapsed = if self.phase == RunPhase::Connect {
            Duration::ZERO
        } else {
            self.clock.now().saturating_since(self.baseline_start)
        };
        let clients = self.clients.all();
        watch(&Progress {
            is_control: false,
            phase: self.phase,
            waiting_for,
            elapsed,
            total,
            remaining: total.saturating_sub(elapsed),
            clients_up: clients.iter().filter(|client| client.is_up()).count(),
            clients: clients.len(),
            acknowledged: self.acknowledged,
            pending: clients.iter().map(Client::pending_len).sum(),
            delivered: self.delivered,
            faults: self.plan.faults().len(),
            faults_healed: self.faults.values().filter(|is_over| **is_over).count(),
            faults_active: self.active_faults(),
            event: self.progress_event.take(),
        });
    }

    fn active_faults(&self) -> Vec<String> {
        let active = self.plan.faults().iter();
        active
            .filter(|fault| self.faults.get(&fault.id) == Some(&false))
            .map(|fault| format!("{} {}", fault.action.name(), self.names(&fault.targets)))
            .collect()
    }

    /// Closes the clients before the services, so that no client observes the shutdown of its service. What the services
    /// executed is read after their end, when no line is missing.
    fn close(&mut self) {
        let names: Vec<(DriverId, String)> = self
            .clients
            .all()
            .iter()
            .map(|client| (client.driver, client.name.clone()))
            .collect();
        for (driver, name) in names {
            self.send_to_driver(driver, commands::close(&name));
        }
        self.drivers.clear();
        self.backend.stop();
        // A service that does not exit is killed after its grace period. Its last messages must not block it. The run is
        // over, so only notices count.
        loop {
            let has_stopped = self.backend.has_stopped();
            while let Ok(message) = self.inbox.recv_timeout(LAG_SAMPLE_INTERVAL) {
                if let MessagePayload::Notice(what) = message.payload {
                    self.on_notice(what);
                }
            }
            if has_stopped {
                break;
            }
        }
        if let Some(what) = self.backend.kill_remaining() {
            self.on_notice(what);
        }
        self.read_effects();
    }
}

/// How a fault is undone after a crash of the lab.
const fn undo(action: &FaultAction) -> &'static str {
    match action {
        FaultAction::Kill | FaultAction::Term { .. } => "the process has ended",
        FaultAction::Pause => "kill the suspended process",
        FaultAction::Link(LinkFault::Reset) => "the connections have ended",
        FaultAction::Link(_) => {
            "end the network namespaces or the proxies of the run, with all rules in them"
        }
    }
}

/// The parent of data directories that outlast runs: next to the directories of the runs.
fn kept(folder: &Path, scenario: &str) -> PathBuf {
    let parent = folder.parent().and_then(Path::parent).unwrap_or(folder);
    parent.join("data").join(scenario)
}
