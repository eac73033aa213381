//! Short event logs and the ledgers that result from them.
//!
//! Each file of `ledgers/` contains events, a line of dashes, and the expected ledger. A line consists of an instant in
//! milliseconds after the start of the steps, a source, and an event: `120 a disconnected timeout`. The clients `a` and
//! `b` share the only channel of the only gateway; the fault is a kill, or a pause if the first line is `pause`, or that
//! fault of their link if it is `link FAULT OPTIONS`. Phases and the first connections are implicit: both clients are subscribed at offset 0 before the steps, which last from 0
//! to 60,000. With a line `stalls`, periods of more than 8 s without a success are reported.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_faults::ledger::event::{
    ClientEvent, EventRecord, FaultEvent, LossCause, MessageId, ProcessEvent, ProcessExit,
    RunEvent, RunPhase, Subscribed,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::ledger::{ClientStats, Incident, Ledger};
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
driver = "gateway-chat"
clients = 2
to = "gateway"
ordered = true

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
    let text = SCENARIO
        .replace("DO", action)
        .replace("WITH", with)
        .replace("LINK", link)
        .replace("STALL", stall);
    let scenario = Scenario::parse("events.toml", &text, &ScenarioOptions::default()).unwrap();
    let plan = Plan::new(&scenario, 1).unwrap();
    let mut log = EventLog::new(10_000);
    let seconds = [0, 5, 10, 70, 80, 90];
    for (phase, second) in RunPhase::ALL.into_iter().zip(seconds) {
        let at = Instant::START + Duration::from_secs(second);
        push(&mut log, at, RunEvent::PhaseBegan(phase));
    }
    for client in [ClientId(0), ClientId(1)] {
        for event in [ClientEvent::Connected, subscribed("e", 0, false, false)] {
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
        .filter(|line| !["pause", "stalls"].contains(line) && !line.starts_with("link "));
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
    let restarts: Vec<String> = ledger.services.restarts.iter().map(millis).collect();
    writeln!(
        text,
        "gateway restart times [{}] unexpected exits {}",
        restarts.join(", "),
        ledger.services.exits_unexpected
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
}

fn describe_incident(text: &mut String, incident: &Incident) {
    let maybe = |sample: Option<Sample>| sample.as_ref().map_or_else(|| "-".to_owned(), millis);
    writeln!(
        text,
        "  incident detect {} dial {} resume {} total {} after heal {} attempts {}",
        maybe(incident.detect()),
        millis(&incident.dial()),
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
