//! Short histories and the books that they amount to.
//!
//! Each file of `histories/` holds facts, a line of dashes, and what is expected. A line is an instant in milliseconds
//! after the start of the steps, who, and what: `120 a lost timeout`. The clients `a` and `b` share the one room of the
//! one gateway; the fault is a kill, or a pause if the first line says so. Phases and the first connections are not
//! written: everyone is subscribed at offset 0 before the steps, which last from 0 to 60,000. A line `stalls` has times
//! without any success over 8 s counted.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_faults::ledger::history::History;
use steadfast_faults::ledger::record::{
    ClientFact, Exit, Fact, FaultFact, LossCause, MessageId, Phase, ProcessFact, Record, Subscribed,
};
use steadfast_faults::ledger::{ClientBook, Incident, Ledger};
use steadfast_faults::roster::{ClientId, FaultId, InstanceId};
use steadfast_faults::samples::Sample;
use steadfast_faults::scenario::Choice;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

const SEPARATOR: &str = "\n--------\n";
/// When the steps begin.
const STEPS: Duration = Duration::from_secs(10);

const SCENARIO: &str = r#"
schema = "lab/1"
name = "history"

[service.gateway]
use = "builtin:gateway"

[load.chat]
driver = "gateway-chat"
clients = 2
to = "gateway"
ordered = true

[run]
duration = "60s"
stall = "STALL"

[[step]]
at = "1s"
do = "DO"
on = "gateway"

[[check]]
that = "delivery.lost == 0"
"#;

#[test]
fn a_history_amounts_to_the_expected_books() {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());

    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (facts, expected) = text.split_once(SEPARATOR).unwrap();

        let told = told(&balance(facts));

        assert_eq!(told, expected, "{}:\n{told}", path.display());
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

fn balance(facts: &str) -> Ledger {
    let action = if facts.starts_with("pause\n") {
        "proc.pause"
    } else {
        "proc.kill"
    };
    // Facts are few and far between, so silence is looked for only where it is the matter.
    let stall = if facts.contains("\nstalls\n") {
        "8s"
    } else {
        "1h"
    };
    let text = SCENARIO.replace("DO", action).replace("STALL", stall);
    let scenario = Scenario::parse("history.toml", &text, &Choice::default()).unwrap();
    let plan = Plan::new(&scenario, 1).unwrap();
    let mut history = History::new(10_000);
    let seconds = [0, 5, 10, 70, 80, 90];
    for (phase, second) in Phase::ALL.into_iter().zip(seconds) {
        let at = Instant::START + Duration::from_secs(second);
        push(&mut history, at, Fact::Began(phase));
    }
    for client in [ClientId(0), ClientId(1)] {
        for what in [ClientFact::Connected, subscribed("e", 0, false, false)] {
            push(&mut history, Instant::START, Fact::Client { client, what });
        }
    }
    for what in [ProcessFact::Started, ProcessFact::Ready] {
        let instance = InstanceId(0);
        push(
            &mut history,
            Instant::START,
            Fact::Process { instance, what },
        );
    }
    let lines = facts
        .lines()
        .filter(|line| !["pause", "stalls"].contains(line));
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (at, fact) = fact(line);
        push(&mut history, at, fact);
    }
    Ledger::balance(&scenario, &plan, &history)
}

fn push(history: &mut History, at: Instant, fact: Fact) {
    history.push(Record { at, fact });
}

fn fact(line: &str) -> (Instant, Fact) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [at, who, what @ ..] = words.as_slice() else {
        panic!("no fact: {line}");
    };
    let at = Instant::START + STEPS + Duration::from_millis(at.parse().unwrap());
    let fact = match *who {
        "fault" => Fact::Fault {
            fault: FaultId(0),
            what: match what {
                ["injected"] => FaultFact::Injected,
                ["confirmed"] => FaultFact::Confirmed,
                ["healed"] => FaultFact::Healed,
                ["ineffective", why] => FaultFact::Ineffective((*why).to_owned()),
                _ => panic!("{line}"),
            },
        },
        "gateway" => Fact::Process {
            instance: InstanceId(0),
            what: match what {
                ["started"] => ProcessFact::Started,
                ["ready"] => ProcessFact::Ready,
                ["exited"] => ProcessFact::Exited(Exit::Signal(9)),
                _ => panic!("{line}"),
            },
        },
        _ => Fact::Client {
            client: client(who),
            what: client_fact(what),
        },
    };
    (at, fact)
}

fn client_fact(what: &[&str]) -> ClientFact {
    let number = |text: &str| text.parse().unwrap();
    match what {
        ["connected"] => ClientFact::Connected,
        ["failed"] => ClientFact::AttemptFailed,
        ["lost", "fin"] => ClientFact::Lost(LossCause::Fin),
        ["lost", "timeout"] => ClientFact::Lost(LossCause::Timeout),
        ["gave-up"] => ClientFact::GaveUp { code: Some(3500) },
        ["resumed"] => subscribed("e", 0, true, true),
        ["fresh", epoch, offset] => subscribed(epoch, number(offset), true, false),
        ["sent", sequence] => ClientFact::Published {
            sequence: number(sequence),
        },
        ["repeated", sequence] => ClientFact::Repeated {
            sequence: number(sequence),
        },
        ["acked", sequence, offset] => ClientFact::Acknowledged {
            sequence: number(sequence),
            position: Some(position("e", number(offset))),
            duplicate: false,
        },
        ["refused", sequence] => ClientFact::Refused {
            sequence: number(sequence),
            code: 103,
        },
        ["got", publisher, sequence, offset] => ClientFact::Delivered {
            message: Some(MessageId {
                publisher: client(publisher),
                sequence: number(sequence),
            }),
            offset: number(offset),
        },
        _ => panic!("no fact: {what:?}"),
    }
}

fn client(name: &str) -> ClientId {
    match name {
        "a" => ClientId(0),
        "b" => ClientId(1),
        _ => panic!("no such client: {name}"),
    }
}

fn subscribed(epoch: &str, offset: u64, was_recovering: bool, recovered: bool) -> ClientFact {
    ClientFact::Subscribed(Subscribed {
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

fn told(ledger: &Ledger) -> String {
    let mut told = String::new();
    for (book, name) in ledger.clients.iter().zip(["a", "b"]) {
        tell_client(&mut told, book, name);
    }
    for it in &ledger.faults {
        let effective = if it.is_effective() { "" } else { "in" };
        writeln!(
            told,
            "fault {effective}effective ended {} in flight {}",
            it.ended, it.in_flight
        )
        .unwrap();
    }
    let again: Vec<String> = ledger.services.ready_again.iter().map(millis).collect();
    writeln!(
        told,
        "gateway ready again [{}] unexplained exits {}",
        again.join(", "),
        ledger.services.exits_unexpected
    )
    .unwrap();
    writeln!(
        told,
        "epoch changes {} places reused {}",
        ledger.places.epoch_changes, ledger.places.reused
    )
    .unwrap();
    for breach in &ledger.breaches {
        writeln!(told, "breach: {breach}").unwrap();
    }
    told
}

fn tell_client(told: &mut String, book: &ClientBook, name: &str) {
    let (life, it) = (&book.life, &book.delivery);
    let unexplained = life.ends.iter().filter(|end| end.fault.is_none()).count();
    writeln!(
        told,
        "{name} {:?} ends {} unexplained {unexplained} attempts {}",
        life.group,
        life.ends.len(),
        life.attempts
    )
    .unwrap();
    for incident in &life.incidents {
        tell_incident(told, incident);
    }
    for stall in &book.stalls {
        let explained = if stall.fault.is_some() { "" } else { "un" };
        let lasted = millis(&stall.lasted());
        writeln!(told, "  stall {lasted} {explained}explained").unwrap();
    }
    writeln!(
        told,
        "  owed {} delivered {} lost {} unknown {} duplicate {} reordered {} unexpected {} gaps {}",
        it.owed,
        it.delivered,
        it.lost,
        it.unknown,
        it.duplicate,
        it.reordered,
        it.unexpected,
        it.gaps_announced
    )
    .unwrap();
}

fn tell_incident(told: &mut String, incident: &Incident) {
    let maybe = |sample: Option<Sample>| sample.as_ref().map_or_else(|| "-".to_owned(), millis);
    writeln!(
        told,
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
    let more = if sample.censored { "> " } else { "" };
    format!("{more}{} ms", sample.value / 1_000_000)
}
