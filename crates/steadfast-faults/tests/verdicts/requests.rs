//! Runs of clients that send requests or receive streams: healthy ones pass, and each violation fails its own check.

use std::time::Duration;

use steadfast_faults::ledger::Ledger;
use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, MessageId,
    ProcessEvent, ProcessExit, RequestOutcome, RunEvent, RunPhase,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_faults::verdict::{Evaluation, Verdict, evaluate};
use steadfast_machine::Instant;

use crate::run::MILLI;

const SCENARIO: &str = r#"
schema = "lab/1"
name = "requests"

[service.gateway]
use = "builtin:gateway"
replicas = 2
effects = "${self.data}/effects.jsonl"

[load.api]
driver = "exec"
cmd = "driver"
clients = 4
to = "gateway"
send = { every = "100ms", op = "put" }
guarantee = "at-most-once"

[load.feed]
driver = "exec"
cmd = "driver"
clients = 2
to = "gateway"
receive = { every = "100ms" }
guarantee = "at-least-once"

[run]
baseline = "2s"
duration = "4s"
quiet = "2s"
drain = "2s"
control = "off"

[[step]]
id = "kill"
at = "1s"
do = "proc.kill"
on = "gateway:1"
then = { start_after = "500ms" }

[[check]]
id = "executed-once"
that = "requests.executed_twice == 0"

[[check]]
id = "ok-executed"
that = "requests.ok_not_executed == 0"

[[check]]
id = "not-sent-not-executed"
that = "requests.not_sent_executed == 0"

[[check]]
id = "nothing-unexpected"
that = "requests.unexpected == 0"

[[check]]
id = "errors-of-the-application"
that = "requests.error == 0"

[[check]]
id = "unknown-by-the-kill-only"
that = "requests.unknown == requests.unknown{step=kill}"

[[check]]
id = "most-requests-ok"
that = "requests.ok / requests.sent >= 85%"

[[check]]
id = "latency"
that = "latency.total{step=kill} count > 0 and latency.total min <= 50ms"

[[check]]
id = "service-time"
that = "latency.service min <= 50ms"

[[check]]
id = "first-connect"
that = "connect.first max <= 2s"

[[check]]
id = "connect-again"
that = "connect.again max <= 2s"

[[check]]
id = "reset-detected"
that = "recovery.detect{step=kill} max <= 1s"

[[check]]
id = "back-online"
that = "recovery.total{step=kill} max <= 3s"

[[check]]
id = "held-open"
that = "connections.duration max >= 10s"

[[check]]
id = "balance"
that = "connections.balance >= 50%"

[[check]]
id = "nothing-lost"
that = "delivery.lost == 0 and delivery.missed == 0"

[[check]]
id = "nothing-twice"
that = "delivery.duplicate == 0"

[[check]]
id = "in-order"
that = "delivery.reordered == 0"

[[check]]
id = "nothing-unsent"
that = "load.unsent == 0"
"#;

/// The start of the baseline.
const BASELINE: Duration = Duration::from_secs(1);
/// From the injection until clients notice.
const DETECT: Duration = Duration::from_millis(5);
/// From the fault until the process is ready again.
const DOWN: Duration = Duration::from_millis(500);
/// The client of `api` and of `feed` whose gateway is killed.
const VICTIM: ClientId = ClientId(0);
const READER: ClientId = ClientId(4);

struct Run {
    scenario: Scenario,
    plan: Plan,
    records: Vec<EventRecord>,
}

#[test]
fn healthy_requests_and_streams_pass() {
    let run = healthy();
    let evaluation = run.evaluate();

    assert_eq!(
        evaluation.verdict,
        Verdict::Pass,
        "{:#?}",
        evaluation.reasons
    );
    let ledger = run.ledger();
    let unknown: u64 = ledger
        .clients
        .iter()
        .map(|it| {
            it.requests
                .of_class(steadfast_faults::ledger::RequestClass::MaybeExecuted)
        })
        .sum();
    assert!(unknown > 0, "the kill leaves outcomes unknown");
}

/// What changes a healthy run so that one check fails.
type Violate<'a> = &'a dyn Fn(&mut Run);

#[test]
fn each_violation_fails_its_own_check() {
    let put = |sequence| MessageId {
        publisher: VICTIM,
        sequence,
    };
    let violations: [(&str, Violate<'_>); 13] = [
        ("executed-once", &|run| run.execute(put(1))),
        ("ok-executed", &|run| {
            run.records.retain(|it| !is_execution_of(it, put(1)));
        }),
        ("not-sent-not-executed", &|run| {
            run.execute(run.not_sent()[0]);
        }),
        ("nothing-unexpected", &|run| run.execute(put(100_000))),
        ("errors-of-the-application", &|run| {
            run.settle_first(RequestOutcome::Error { code: 500 });
        }),
        ("unknown-by-the-kill-only", &|run| {
            run.settle_first(RequestOutcome::TimedOut);
        }),
        ("first-connect", &Run::delay_first_connect),
        ("nothing-lost", &|run| {
            run.change(
                READER,
                |_, event| !matches!(event, ClientEvent::Received { sequence, .. } if *sequence == 5),
            );
        }),
        ("nothing-twice", &|run| run.receive(READER, 5)),
        ("in-order", &|run| {
            run.change(READER, |_, event| {
                if let ClientEvent::Received { sequence, .. } = event {
                    *sequence = match *sequence {
                        5 => 6,
                        6 => 5,
                        other => other,
                    };
                }
                true
            });
        }),
        ("nothing-unsent", &|run| {
            let at = run.begin(RunPhase::Quiet);
            run.push(at, client(VICTIM, ClientEvent::Unsent));
        }),
        ("balance", &|run| run.set_connections(InstanceId(1), 7)),
        ("connect-again", &Run::delay_second_connect),
    ];
    for (name, violate) in violations {
        let mut run = healthy();
        violate(&mut run);

        let evaluation = run.evaluate();

        assert_eq!(
            evaluation.verdict,
            Verdict::Fail,
            "{name}: {:#?}",
            evaluation.reasons
        );
        assert!(
            evaluation.reasons[0].starts_with(name),
            "{name}: {:#?}",
            evaluation.reasons
        );
    }
}

#[test]
fn a_request_that_is_lost_in_the_control_run_is_inconclusive() {
    let guard = |evaluation: &Evaluation| {
        let mut guards = evaluation.guards.iter();
        let found = guards.find(|it| it.name == "no request was lost in the control run");
        found.unwrap().violation.clone()
    };
    let run = healthy();
    let mut control = healthy();
    for whom in 0..4 {
        control.change(ClientId(whom), |_, event| {
            if let ClientEvent::Settled { outcome, .. } = event {
                *outcome = RequestOutcome::Ok;
            }
            true
        });
    }

    let undisturbed = evaluate(&run.scenario, &run.ledger(), Some(&control.ledger()));
    control.settle_first(RequestOutcome::TimedOut);
    let disturbed = evaluate(&run.scenario, &run.ledger(), Some(&control.ledger()));

    assert_eq!(guard(&undisturbed), None);
    let expected = "1 request had no reply without a fault";
    assert_eq!(guard(&disturbed).as_deref(), Some(expected));
    assert_eq!(disturbed.verdict, Verdict::Inconclusive);
}

#[test]
fn a_client_that_hides_the_reconnect_that_others_of_its_load_report_is_inconclusive() {
    let mut run = healthy();
    let mut connections = 0;
    run.change(ClientId(2), |_, event| {
        connections += u32::from(matches!(event, ClientEvent::Connected));
        let is_of_the_loss = matches!(
            event,
            ClientEvent::ConnectionLost(_) | ClientEvent::AttemptFailed | ClientEvent::Attempting
        );
        let is_second = connections > 1 && matches!(event, ClientEvent::Connected);
        !(is_of_the_loss || is_second)
    });
    assert_eq!(connections, 2, "it is a victim too");

    let evaluation = run.evaluate();

    assert_eq!(evaluation.verdict, Verdict::Inconclusive);
    let reason = &evaluation.reasons[0];
    assert!(
        reason.contains("api-3: success on a connection that kill 1 had ended"),
        "{reason}"
    );
}

#[test]
fn without_effect_logs_the_executions_are_unknown_and_not_zero() {
    let mut run = healthy();
    run.records
        .retain(|it| !matches!(it.event, RunEvent::Effects(_)));

    let evaluation = run.evaluate();

    assert_eq!(evaluation.verdict, Verdict::Inconclusive);
    let unknown = evaluation
        .checks
        .iter()
        .filter(|it| it.outcome == steadfast_faults::check::CheckOutcome::Unknown);
    let unknown: Vec<&str> = unknown.map(|it| it.id.as_str()).collect();
    assert_eq!(
        unknown,
        [
            "executed-once",
            "ok-executed",
            "not-sent-not-executed",
            "nothing-unexpected"
        ]
    );
}

#[test]
fn a_lost_or_repeated_record_of_a_request_is_inconclusive() {
    let mut lost = healthy();
    lost.change(VICTIM, |_, event| {
        !matches!(event, ClientEvent::Requested { sequence: 2, .. })
    });
    let mut twice = healthy();
    let at = twice.begin(RunPhase::Quiet);
    let outcome = RequestOutcome::Ok;
    let settled = ClientEvent::Settled {
        sequence: 1,
        outcome,
    };
    twice.push(at, client(VICTIM, settled));

    for run in [lost, twice] {
        let evaluation = run.evaluate();

        assert_eq!(evaluation.verdict, Verdict::Inconclusive);
        assert!(
            evaluation.reasons[0].starts_with("the ledger is consistent: api-1: "),
            "{:#?}",
            evaluation.reasons
        );
    }
}

#[test]
fn a_load_that_sends_or_receives_too_little_is_inconclusive() {
    for (load, whom) in [("api", VICTIM..ClientId(4)), ("feed", READER..ClientId(6))] {
        let mut run = healthy();
        let steps = run.begin(RunPhase::Steps);
        for id in whom.start.0..whom.end.0 {
            run.change(ClientId(id), |at, event| {
                let is_early = *at < steps;
                let is_traffic = matches!(
                    event,
                    ClientEvent::Requested { .. }
                        | ClientEvent::Settled { .. }
                        | ClientEvent::Received { .. }
                );
                !(is_early && is_traffic)
            });
        }

        let evaluation = run.evaluate();

        let reason = format!("the load reached its rate: `{load}` ");
        assert!(
            evaluation.reasons.iter().any(|it| it.starts_with(&reason)),
            "{:#?}",
            evaluation.reasons
        );
    }
}

/// Two gateways with two clients of `api` and one of `feed` each; the first gateway is killed once.
fn healthy() -> Run {
    let scenario = Scenario::parse("requests.toml", SCENARIO, &ScenarioOptions::default());
    let scenario = scenario.unwrap();
    let plan = Plan::new(&scenario, 7).unwrap();
    let mut run = Run {
        scenario,
        plan,
        records: Vec::new(),
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
    fn push(&mut self, at: Instant, event: RunEvent) {
        self.records.push(EventRecord { at, event });
    }

    fn begin(&self, phase: RunPhase) -> Instant {
        if phase == RunPhase::Connect {
            return Instant::START;
        }
        Instant::START + BASELINE + self.scenario.run().begins(phase)
    }

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

    fn execute(&mut self, request: MessageId) {
        let at = self.begin(RunPhase::End) + Duration::from_secs(2);
        let executed = EffectEvent::Executed { request, count: 1 };
        self.push(at, RunEvent::Effects(executed));
    }

    fn receive(&mut self, reader: ClientId, sequence: u64) {
        let at = self.begin(RunPhase::Quiet);
        let event = ClientEvent::Received {
            stream: 0,
            sequence,
        };
        self.push(at, client(reader, event));
    }

    /// The requests that their clients report as not sent.
    fn not_sent(&self) -> Vec<MessageId> {
        let found = self.records.iter().filter_map(|record| {
            if let RunEvent::Client { client, event } = &record.event
                && let ClientEvent::Settled { sequence, outcome } = event
                && *outcome == RequestOutcome::NotSent
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
    fn settle_first(&mut self, changed: RequestOutcome) {
        let whom = ClientId(1);
        self.change(whom, |_, event| {
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
    fn delay_first_connect(&mut self) {
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
    fn delay_second_connect(&mut self) {
        let back = self.killed() + DOWN + 30 * MILLI;
        self.change(VICTIM, |at, event| {
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
        self.change(VICTIM, |at, event| {
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

    fn set_connections(&mut self, whom: InstanceId, count: u32) {
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

    /// Changes or removes events of one client.
    fn change(
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

    fn ledger(&self) -> Ledger {
        let mut log = EventLog::new(1_000_000);
        for record in &self.records {
            log.push(record.clone());
        }
        Ledger::reconcile(&self.scenario, &self.plan, &log)
    }

    fn evaluate(&self) -> Evaluation {
        evaluate(&self.scenario, &self.ledger(), None)
    }
}

fn client(client: ClientId, event: ClientEvent) -> RunEvent {
    RunEvent::Client { client, event }
}

fn is_execution_of(record: &EventRecord, whom: MessageId) -> bool {
    matches!(
        &record.event,
        RunEvent::Effects(EffectEvent::Executed { request, .. }) if *request == whom
    )
}
