//! Short event logs and the ledgers that result from them.
//!
//! Each file of `ledgers/` contains events, a line of dashes, and the expected ledger. A line consists of an instant in
//! milliseconds after the start of the steps, a source, and an event: `120 a disconnected timeout`. The clients `a` and
//! `b` share the only channel of the only gateway; the fault is a kill, or a pause if the first line is `pause`, or that
//! fault of their link if it is `link FAULT OPTIONS`. Phases and the first connections are implicit: both clients are
//! subscribed at offset 0 before the steps, which last from 0 to 60,000. With a line `stalls`, periods of more than 8 s
//! without a success are reported. With a line `requests` the clients send requests; with `streams` or `resumed
//! streams` they receive streams, which the server resumes or not; with `idle` they
//! publish nothing. With `balanced` they reach the gateway over a load balancer.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, LossCause, MessageId, ProcessEvent,
    ProcessExit, RequestOutcome, RunEvent, RunPhase, Subscribed,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::ledger::{ClientStats, Incident, Ledger, RequestClass};
use steadfast_faults::samples::Sample;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

const SEPARATOR: &str = "\n--------\n";
/// The start of the steps phase.
const STEPS: Duration = Duration::from_secs(10);

const SCENARIO: &str = r#"
schema = "lab/1"
name = "events"

[service.gateway]
use = "builtin:gateway"

[load.chat]
LOAD
clients = 2
to = "gateway"

LINK
[run]
duration = "60s"
stall = "STALL"

[[step]]
at = "1s"
do = "DO"
on = "gateway"
WITH

[[check]]
that = "delivery.lost == 0"
"#;

/// The load, if a load balancer is between it and the gateway.
const BALANCED: &str = r#"to = "lb"

[service.lb]
use = "builtin:haproxy"
options = { to = "gateway" }

"#;

/// The first line of a file, and the load that it selects.
const LOADS: [(&str, &str); 4] = [
    ("idle", "driver = \"gateway-chat\"\npublishers = 0"),
    (
        "requests",
        "driver = \"exec\"\ncmd = \"driver\"\nsend = { every = \"200ms\" }",
    ),
    ("streams", "driver = \"exec\"\ncmd = \"driver\""),
    (
        "resumed streams",
        "driver = \"exec\"\ncmd = \"driver\"\nguarantee = \"at-least-once\"",
    ),
];

#[test]
fn events_give_the_expected_ledger() {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());

    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (events, expected) = text.split_once(SEPARATOR).unwrap();

        let text = describe(&reconcile(events));

        assert_eq!(text, expected, "{}:\n{text}", path.display());
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledgers")
}

fn reconcile(events: &str) -> Ledger {
    let first = events.lines().next().unwrap();
    let (action, with, link) = match first.strip_prefix("link ") {
        Some(fault) => {
            let (action, with) = fault.split_once(' ').unwrap_or((fault, ""));
            let link = "[link.\"chat->gateway\"]\nvia = [\"netns\", \"proxy\"]\n";
            (action, with, link)
        }
        None if first == "pause" => ("proc.pause", "", ""),
        None => ("proc.kill", "", ""),
    };
    // Events are sparse, so stalls are detected only in the tests about stalls.
    let stall = if events.contains("\nstalls\n") {
        "8s"
    } else {
        "1h"
    };
    let load = LOADS
        .iter()
        .find(|(line, _)| events.lines().any(|it| it == *line));
    let chat = "driver = \"gateway-chat\"\nordered = true";
    let text = SCENARIO
        .replace("DO", action)
        .replace("WITH", with)
        .replace("LINK", link)
        .replace("STALL", stall)
        .replace("LOAD", load.map_or(chat, |(_, load)| load));
    let text = if events.lines().any(|it| it == "balanced") {
        text.replace("to = \"gateway\"\n\n", BALANCED)
    } else {
        text
    };
    let scenario = Scenario::parse("events.toml", &text, &ScenarioOptions::default()).unwrap();
    let plan = Plan::new(&scenario, 1).unwrap();
    let mut log = EventLog::new(10_000);
    let seconds = [0, 5, 10, 70, 80, 90];
    for (phase, second) in RunPhase::ALL.into_iter().zip(seconds) {
        let at = Instant::START + Duration::from_secs(second);
        push(&mut log, at, RunEvent::PhaseBegan(phase));
    }
    for client in [ClientId(0), ClientId(1)] {
        let events = match load {
            None => vec![ClientEvent::Connected, subscribed("e", 0, false, false)],
            Some((name, _)) if *name == "idle" => {
                vec![ClientEvent::Connected, subscribed("e", 0, false, false)]
            }
            Some(_) => vec![ClientEvent::Opened, ClientEvent::Connected],
        };
        for event in events {
            push(&mut log, Instant::START, RunEvent::Client { client, event });
        }
    }
    for event in [ProcessEvent::Started, ProcessEvent::Ready] {
        let instance = InstanceId(0);
        push(
            &mut log,
            Instant::START,
            RunEvent::Process { instance, event },
        );
    }
    let lines = events
        .lines()
        .filter(|line| {
            !["pause", "stalls", "balanced"].contains(line) && !line.starts_with("link ")
        })
        .filter(|line| LOADS.iter().all(|(name, _)| name != line));
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (at, event) = parse_event(line);
        push(&mut log, at, event);
    }
    Ledger::reconcile(&scenario, &plan, &log)
}

fn push(log: &mut EventLog, at: Instant, event: RunEvent) {
    log.push(EventRecord { at, event });
}

fn parse_event(line: &str) -> (Instant, RunEvent) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at, source, words @ ..] = words.as_slice() else {
        panic!("invalid event: {line}");
    };
    let at = Instant::START + STEPS + Duration::from_millis(at.parse().unwrap());
    let event = match *source {
        "fault" => RunEvent::Fault {
            fault: FaultId(0),
            event: match words {
                ["injected"] => FaultEvent::Injected,
                ["confirmed"] => FaultEvent::Confirmed(String::new()),
                ["healed"] => FaultEvent::Healed,
                ["ineffective", reason] => FaultEvent::Ineffective((*reason).to_owned()),
                _ => panic!("{line}"),
            },
        },
        "gateway" => RunEvent::Process {
            instance: InstanceId(0),
            event: match words {
                ["started"] => ProcessEvent::Started,
                ["ready"] => ProcessEvent::Ready,
                ["exited"] => ProcessEvent::Exited(ProcessExit::Signal(9)),
                _ => panic!("{line}"),
            },
        },
        "effects" => RunEvent::Effects(match words {
            ["read"] => EffectEvent::Read {
                instance: InstanceId(0),
                lines: 1,
                foreign: 0,
                is_torn: false,
            },
            ["executed", by, sequence, count] => EffectEvent::Executed {
                request: MessageId {
                    publisher: client(by),
                    sequence: sequence.parse().unwrap(),
                },
                count: count.parse().unwrap(),
            },
            _ => panic!("{line}"),
        }),
        _ => RunEvent::Client {
            client: client(source),
            event: client_event(words),
        },
    };
    (at, event)
}

fn client_event(words: &[&str]) -> ClientEvent {
    let number = |text: &str| text.parse().unwrap();
    match words {
        ["attempting"] => ClientEvent::Attempting,
        ["opened"] => ClientEvent::TransportOpened,
        ["connected"] => ClientEvent::Connected,
        ["failed"] => ClientEvent::AttemptFailed,
        ["disconnected", "fin"] => ClientEvent::ConnectionLost(LossCause::Fin),
        ["disconnected", "reset"] => ClientEvent::ConnectionLost(LossCause::Reset),
        ["disconnected", "code", code] => {
            ClientEvent::ConnectionLost(LossCause::Code(code.parse().unwrap()))
        }
        ["disconnected", "timeout"] => ClientEvent::ConnectionLost(LossCause::Timeout),
        ["gave-up"] => ClientEvent::GaveUp { code: Some(3500) },
        ["resumed"] => subscribed("e", 0, true, true),
        ["fresh", epoch, offset] => subscribed(epoch, number(offset), true, false),
        ["sent", sequence] => ClientEvent::Published {
            sequence: number(sequence),
        },
        ["resent", sequence] => ClientEvent::Resent {
            sequence: number(sequence),
        },
        ["acked", sequence, offset] => ClientEvent::Acknowledged {
            sequence: number(sequence),
            position: Some(position("e", number(offset))),
            is_duplicate: false,
        },
        ["rejected", sequence] => ClientEvent::Rejected {
            sequence: number(sequence),
            code: 103,
        },
        ["received", publisher, sequence, offset] => ClientEvent::Delivered {
            message: Some(MessageId {
                publisher: client(publisher),
                sequence: number(sequence),
            }),
            offset: number(offset),
        },
        ["request", sequence, intended] => ClientEvent::Requested {
            sequence: number(sequence),
            intended: Instant::START + STEPS + Duration::from_millis(number(intended)),
        },
        ["request-again", sequence] => ClientEvent::RequestedAgain {
            sequence: number(sequence),
        },
        ["settled", sequence, outcome] => ClientEvent::Settled {
            sequence: number(sequence),
            outcome: match *outcome {
                "ok" => RequestOutcome::Ok,
                "error" => RequestOutcome::Error { code: 1 },
                "not-sent" => RequestOutcome::NotSent,
                "lost" => RequestOutcome::Lost,
                "timed-out" => RequestOutcome::TimedOut,
                _ => panic!("invalid outcome: {outcome}"),
            },
        },
        ["message", stream, sequence] => ClientEvent::Received {
            stream: u32::try_from(number(stream)).unwrap(),
            sequence: number(sequence),
        },
        _ => panic!("invalid event: {words:?}"),
    }
}

fn client(name: &str) -> ClientId {
    match name {
        "a" => ClientId(0),
        "b" => ClientId(1),
        _ => panic!("unknown client: {name}"),
    }
}

fn subscribed(epoch: &str, offset: u64, was_recovering: bool, recovered: bool) -> ClientEvent {
    ClientEvent::Subscribed(Subscribed {
        position: position(epoch, offset),
        was_recovering,
        recovered,
    })
}

fn position(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: epoch.to_owned(),
        offset,
    }
}

fn describe(ledger: &Ledger) -> String {
    let mut text = String::new();
    for (stats, name) in ledger.clients.iter().zip(["a", "b"]) {
        describe_client(&mut text, stats, name);
    }
    for it in &ledger.faults {
        let effective = if it.is_effective() { "" } else { "in" };
        writeln!(
            text,
            "fault {effective}effective disconnects {} in flight {}",
            it.disconnects, it.in_flight
        )
        .unwrap();
        if it.planned.action.link_fault().is_some() {
            let impact = if it.has_no_impact() {
                " without impact"
            } else {
                ""
            };
            let (connected, stalled) = (it.connected, it.stalled);
            writeln!(text, "  connected {connected} stalled {stalled}{impact}").unwrap();
        }
    }
    let restarts: Vec<String> = ledger
        .services
        .restarts
        .iter()
        .map(|it| millis(&it.duration))
        .collect();
    writeln!(
        text,
        "gateway restart times [{}] unexpected exits {}",
        restarts.join(", "),
        ledger.services.unexpected_exits.len()
    )
    .unwrap();
    writeln!(
        text,
        "epoch changes {} offsets reused {}",
        ledger.offsets.epoch_changes, ledger.offsets.reused
    )
    .unwrap();
    for inconsistency in &ledger.inconsistencies {
        writeln!(text, "inconsistency: {inconsistency}").unwrap();
    }
    text
}

fn describe_client(text: &mut String, stats: &ClientStats, name: &str) {
    let (connections, it) = (&stats.connections, &stats.delivery);
    let unattributed = connections
        .disconnects
        .iter()
        .filter(|end| end.fault.is_none())
        .count();
    writeln!(
        text,
        "{name} {:?} disconnects {} unattributed {unattributed} attempts {}",
        connections.outcome,
        connections.disconnects.len(),
        connections.attempts
    )
    .unwrap();
    for incident in &connections.incidents {
        describe_incident(text, incident);
    }
    for stall in &stats.stalls {
        let prefix = if stall.fault.is_some() { "" } else { "un" };
        let duration = millis(&stall.duration());
        writeln!(text, "  stall {duration} {prefix}attributed").unwrap();
    }
    writeln!(
        text,
        "  expected {} delivered {} lost {} unknown {} duplicate {} reordered {} unexpected {} gaps {}",
        it.expected,
        it.delivered,
        it.lost,
        it.unknown,
        it.duplicate,
        it.reordered,
        it.unexpected,
        it.gaps_reported
    )
    .unwrap();
    if it.missed > 0 {
        writeln!(text, "  missed {}", it.missed).unwrap();
    }
    describe_requests(text, stats);
    describe_connects(text, stats);
}

fn describe_requests(text: &mut String, stats: &ClientStats) {
    let it = &stats.requests;
    if it.requests.is_empty() && it.contradictions.is_empty() {
        return;
    }
    writeln!(
        text,
        "  requests sent {} ok {} error {} not sent {} unknown {} resent {} executed but never sent {}",
        it.sent,
        it.of_class(RequestClass::Ok),
        it.of_class(RequestClass::Error),
        it.of_class(RequestClass::NotSent),
        it.of_class(RequestClass::MaybeExecuted),
        it.resends,
        it.executed_unsent,
    )
    .unwrap();
    for (request, number) in it.requests.iter().zip(1..) {
        let sample =
            |sample: Option<Sample>| sample.as_ref().map_or_else(|| "-".to_owned(), millis);
        let executions = request.executions.map(|count| format!(" executed {count}"));
        let fault = request.fault.map_or("", |_| " in a fault");
        writeln!(
            text,
            "  request {number} {:?} latency {} service {}{}{fault}",
            request.class,
            sample(request.latency),
            sample(request.service),
            executions.unwrap_or_default(),
        )
        .unwrap();
    }
}

fn describe_connects(text: &mut String, stats: &ClientStats) {
    let reconnects = &stats.connections.reconnects;
    if !reconnects.is_empty() {
        let times: Vec<String> = reconnects.iter().map(|it| millis(&it.duration)).collect();
        writeln!(text, "  connected again in [{}]", times.join(", ")).unwrap();
    }
}

fn describe_incident(text: &mut String, incident: &Incident) {
    let maybe = |sample: Option<Sample>| sample.as_ref().map_or_else(|| "-".to_owned(), millis);
    let login = incident.login().as_ref().map(millis);
    writeln!(
        text,
        "  incident detect {} dial {}{} resume {} total {} after heal {} attempts {}",
        maybe(incident.detect()),
        millis(&incident.dial()),
        login
            .map(|login| format!(" log in {login}"))
            .unwrap_or_default(),
        maybe(incident.resume()),
        millis(&incident.total()),
        maybe(incident.after_heal()),
        incident.attempts
    )
    .unwrap();
}

fn millis(sample: &Sample) -> String {
    let more = if sample.is_censored { "> " } else { "" };
    format!("{more}{} ms", sample.value / 1_000_000)
}
