//! A healthy run of clients that send requests or receive a stream, and ways to violate its guarantees.

use std::time::Duration;

use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, MessageId,
    ProcessEvent, ProcessExit, RequestOutcome, RunEvent, RunPhase,
};
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_machine::Instant;

use crate::run::{MILLI, Run};

/// From the injection until clients notice.
const DETECT: Duration = Duration::from_millis(5);
/// From the fault until the process is ready again.
const DOWN: Duration = Duration::from_millis(500);
/// The client of `api` and of `feed` whose gateway is killed.
pub(crate) const VICTIM: ClientId = ClientId(0);
pub(crate) const READER: ClientId = ClientId(4);

/// Two gateways with two clients of `api` and one of `feed` each; the first gateway is killed once.
pub(crate) fn healthy() -> Run {
    let scenario = Scenario::parse(
        "requests.toml",
        include_str!("requests.toml"),
        &ScenarioOptions::default(),
    );
    let scenario = scenario.unwrap();
    let plan = Plan::new(&scenario, 7).unwrap();
    let mut run = Run {
        scenario,
        plan,
        records: Vec::new(),
        control: None,
    };
    for phase in RunPhase::ALL {
        run.push(run.begin(phase), RunEvent::PhaseBegan(phase));
    }
    let mut at = Instant::START;
    while at < run.begin(RunPhase::End) {
        run.push(at, RunEvent::Harness(HarnessEvent::Lag { late: MILLI }));
        at = at + 10 * MILLI;
    }
    run.processes();
    for config in run.plan.topology().clients().to_vec() {
        run.connections(config.id, config.instance);
        if config.load == "api" {
            run.requests(config.id, config.instance);
        } else {
            run.messages(config.id, config.instance);
        }
    }
    let end = run.begin(RunPhase::End) + Duration::from_secs(1);
    for instance in [InstanceId(0), InstanceId(1)] {
        let read = EffectEvent::Read {
            instance,
            lines: 1,
            foreign: 0,
            is_torn: false,
        };
        run.push(end, RunEvent::Effects(read));
    }
    run
}

impl Run {
    /// When the first gateway is killed.
    fn killed(&self) -> Instant {
        self.begin(RunPhase::Steps) + Duration::from_secs(1)
    }

    fn processes(&mut self) {
        let killed = self.killed();
        let ready = killed + DOWN;
        let fault = FaultId(0);
        for (at, event) in [
            (killed, FaultEvent::Injected),
            (
                killed + 2 * MILLI,
                FaultEvent::Confirmed("its status says SIGKILL".to_owned()),
            ),
            (ready, FaultEvent::Healed),
        ] {
            self.push(at, RunEvent::Fault { fault, event });
        }
        let exited = ProcessEvent::Exited(ProcessExit::Signal(9));
        for (at, instance, event) in [
            (Instant::START, 0, ProcessEvent::Ready),
            (Instant::START, 1, ProcessEvent::Ready),
            (killed + MILLI, 0, exited),
            (ready, 0, ProcessEvent::Started),
            (ready, 0, ProcessEvent::Ready),
            (self.begin(RunPhase::Drain), 0, ProcessEvent::Connections(3)),
            (self.begin(RunPhase::Drain), 1, ProcessEvent::Connections(3)),
        ] {
            let instance = InstanceId(instance);
            self.push(at, RunEvent::Process { instance, event });
        }
    }

    fn connections(&mut self, id: ClientId, instance: InstanceId) {
        let start = Instant::START;
        self.push(start, client(id, ClientEvent::Opened));
        self.push(start + 10 * MILLI, client(id, ClientEvent::Connected));
        if instance == InstanceId(0) {
            let (killed, ready) = (self.killed(), self.killed() + DOWN);
            let lost = ClientEvent::ConnectionLost(LossCause::Reset);
            for (at, event) in [
                (killed + DETECT, lost),
                (ready + 10 * MILLI, ClientEvent::Attempting),
                (ready + 20 * MILLI, ClientEvent::TransportOpened),
                (ready + 30 * MILLI, ClientEvent::Connected),
            ] {
                self.push(at, client(id, event));
            }
        }
    }

    fn requests(&mut self, id: ClientId, instance: InstanceId) {
        let baseline = self.begin(RunPhase::Baseline);
        let schedule = self.plan.publish_schedule(&self.scenario, id).unwrap();
        let killed = self.killed();
        let mut due: Vec<Instant> = schedule.map(|after| baseline + after).collect();
        // One request is in flight when the gateway is killed.
        due.push(Instant::START + (killed - Instant::START).saturating_sub(MILLI));
        due.sort();
        let is_victim = instance == InstanceId(0);
        for (intended, sequence) in due.into_iter().zip(1..) {
            let requested = ClientEvent::Requested { sequence, intended };
            self.push(intended, client(id, requested));
            let is_in_flight = intended + 2 * MILLI > killed && intended < killed + DETECT;
            let is_down = intended >= killed && intended < killed + DOWN + 30 * MILLI;
            let (outcome, after) = match (is_victim, is_in_flight, is_down) {
                (true, true, _) => (RequestOutcome::Lost, DETECT),
                (true, _, true) => (RequestOutcome::NotSent, Duration::ZERO),
                _ => (RequestOutcome::Ok, 2 * MILLI),
            };
            let settled = ClientEvent::Settled { sequence, outcome };
            self.push(intended + after, client(id, settled));
            if outcome == RequestOutcome::Ok {
                self.execute(MessageId {
                    publisher: id,
                    sequence,
                });
            }
        }
    }

    /// Messages 1, 2, 3 and so on; what passes during the outage follows after it.
    fn messages(&mut self, id: ClientId, instance: InstanceId) {
        let (killed, back) = (self.killed(), self.killed() + DOWN + 40 * MILLI);
        let mut at = self.begin(RunPhase::Baseline);
        let mut sequence = 0;
        while at < self.begin(RunPhase::Drain) {
            sequence += 1;
            let is_down = instance == InstanceId(0) && at >= killed && at < back;
            let received = if is_down {
                back + Duration::from_micros(sequence)
            } else {
                at
            };
            let stream = instance.0;
            let event = ClientEvent::Received { stream, sequence };
            self.push(received, client(id, event));
            at = at + 100 * MILLI;
        }
    }

    pub(crate) fn execute(&mut self, request: MessageId) {
        let at = self.begin(RunPhase::End) + Duration::from_secs(2);
        let executed = EffectEvent::Executed { request, count: 1 };
        self.push(at, RunEvent::Effects(executed));
    }

    pub(crate) fn receive(&mut self, reader: ClientId, sequence: u64) {
        let at = self.begin(RunPhase::Quiet);
        let event = ClientEvent::Received {
            stream: 0,
            sequence,
        };
        self.push(at, client(reader, event));
    }

    /// The requests that their clients report as not sent.
    pub(crate) fn not_sent(&self) -> Vec<MessageId> {
        self.settled(RequestOutcome::NotSent)
    }

    /// The requests whose connection was lost before their reply.
    pub(crate) fn lost(&self) -> Vec<MessageId> {
        self.settled(RequestOutcome::Lost)
    }

    fn settled(&self, with: RequestOutcome) -> Vec<MessageId> {
        let found = self.records.iter().filter_map(|record| {
            if let RunEvent::Client { client, event } = &record.event
                && let ClientEvent::Settled { sequence, outcome } = event
                && *outcome == with
            {
                return Some(MessageId {
                    publisher: *client,
                    sequence: *sequence,
                });
            }
            None
        });
        found.collect()
    }

    /// Changes the outcome of the first request of an undisturbed client. It was executed only if it is ok.
    pub(crate) fn settle_first(&mut self, changed: RequestOutcome) {
        let whom = ClientId(1);
        self.retain_events(whom, |_, event| {
            if let ClientEvent::Settled {
                sequence: 1,
                outcome,
            } = event
            {
                *outcome = changed;
            }
            true
        });
    }

    /// The victim was requested to connect 2.1 s before everything else.
    pub(crate) fn delay_first_connect(&mut self) {
        let shift = Duration::from_millis(2_100);
        for record in &mut self.records {
            let is_opened = matches!(
                &record.event,
                RunEvent::Client { client, event: ClientEvent::Opened } if *client == VICTIM
            );
            let is_begin = record.event == RunEvent::PhaseBegan(RunPhase::Connect);
            if !is_opened && !is_begin {
                record.at = record.at + shift;
            }
            if let RunEvent::Client {
                event: ClientEvent::Requested { intended, .. },
                ..
            } = &mut record.event
            {
                *intended = *intended + shift;
            }
        }
    }

    /// The attempt of the victim lasts 2.1 s.
    pub(crate) fn delay_second_connect(&mut self) {
        let back = self.killed() + DOWN + 30 * MILLI;
        self.retain_events(VICTIM, |at, event| {
            if *event == ClientEvent::Attempting {
                *at = back;
            }
            if *event == ClientEvent::TransportOpened {
                return false;
            }
            if *event == ClientEvent::Connected && *at >= back {
                *at = back + Duration::from_millis(2_100);
            }
            true
        });
        let connected = back + Duration::from_millis(2_100);
        self.retain_events(VICTIM, |at, event| {
            if let ClientEvent::Settled { outcome, .. } = event
                && *at >= back
                && *at < connected
            {
                *outcome = RequestOutcome::NotSent;
            }
            true
        });
        // What was not sent was not executed either.
        let not_sent = self.not_sent();
        self.records.retain(|record| {
            !not_sent
                .iter()
                .any(|request| is_execution_of(record, *request))
        });
    }

    pub(crate) fn set_connections(&mut self, whom: InstanceId, count: u32) {
        for record in &mut self.records {
            if let RunEvent::Process {
                instance,
                event: ProcessEvent::Connections(connections),
            } = &mut record.event
                && *instance == whom
            {
                *connections = count;
            }
        }
    }
}

pub(crate) fn client(client: ClientId, event: ClientEvent) -> RunEvent {
    RunEvent::Client { client, event }
}

pub(crate) fn is_execution_of(record: &EventRecord, whom: MessageId) -> bool {
    matches!(
        &record.event,
        RunEvent::Effects(EffectEvent::Executed { request, .. }) if *request == whom
    )
}
