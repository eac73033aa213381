//! The stored form of an event log: it is read as it was written, and anything else is rejected with its line.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

use std::time::Duration;

use proptest::prelude::*;
use steadfast_faults::history::{HistoryError, HistoryReader, LINE_BYTES_MAX, lines};
use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, MessageId,
    ProcessEvent, ProcessExit, RequestOutcome, RunEvent, RunPhase, Subscribed,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::scenario::ScenarioOptions;
use steadfast_faults::scenario::model::Scenario;
use steadfast_faults::scenario::plan::Plan;
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_machine::Instant;
use steadfast_protocol::message::Position;

const RECORDS_MAX: usize = 1_000;

proptest! {
    #[test]
    fn a_log_is_read_as_it_was_written(events in prop::collection::vec(event(), 0..50), dropped: u64) {
        let log = log_of(&events, dropped);

        let stored: Vec<String> = lines(&plan(7), &log).collect();

        prop_assert!(stored.iter().all(|line| !line.contains('\n')));
        prop_assert_eq!(read(&plan(7), &stored), Ok(log));
    }

    /// Damage of a single line is found, or gives another log; it never ends the program.
    #[test]
    fn damaged_lines_are_read_or_rejected(events in prop::collection::vec(event(), 1..10), line: prop::sample::Index, at: prop::sample::Index, letter: char) {
        let mut stored: Vec<String> = lines(&plan(7), &log_of(&events, 0)).collect();
        let line = line.index(stored.len());
        let mut letters: Vec<char> = stored[line].chars().collect();
        let at = at.index(letters.len());
        letters[at] = letter;
        stored[line] = letters.into_iter().collect();

        let _ = read(&plan(7), &stored);
    }
}

#[test]
fn a_file_of_another_kind_is_rejected() {
    let foreign = ["{\"schema\": \"lab-report/1\"}".to_owned()];

    assert_eq!(read(&plan(7), &foreign), Err(HistoryError::Foreign));
    assert_eq!(
        read(&plan(7), &[]),
        Err(HistoryError::Incomplete { line: 0 })
    );
}

#[test]
fn a_later_version_of_the_format_is_rejected() {
    let mut stored = stored();
    stored[0] = stored[0].replace("lab-history/1", "lab-history/2");

    assert_eq!(read(&plan(7), &stored), Err(HistoryError::Foreign));
}

#[test]
fn a_history_of_another_plan_is_rejected() {
    let message = read(&plan(8), &stored()).unwrap_err().to_string();

    assert!(
        message.starts_with("line 1: the plan of this run differs"),
        "{message}"
    );
    let mut stored = stored();
    stored[1] = stored[1].replace("proc.kill", "proc.term");
    let error = read(&plan(7), &stored).unwrap_err();
    assert!(
        matches!(error, HistoryError::OtherPlan { line: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_history_without_its_end_is_rejected() {
    let mut stored = stored();
    let last = u64::try_from(stored.len()).unwrap() - 1;
    stored.pop();

    assert_eq!(
        read(&plan(7), &stored),
        Err(HistoryError::Incomplete { line: last })
    );
}

#[test]
fn a_missing_or_additional_record_is_detected() {
    let complete = stored();
    let mut missing = complete.clone();
    missing.remove(complete.len() - 2);
    let mut additional = complete;
    additional.push("1 run end".to_owned());

    let error = read(&plan(7), &missing).unwrap_err();
    assert!(
        matches!(
            error,
            HistoryError::Miscounted {
                counted: 2,
                found: 1,
                ..
            }
        ),
        "{error}"
    );
    let error = read(&plan(7), &additional).unwrap_err();
    assert!(matches!(error, HistoryError::AfterEnd { .. }), "{error}");
}

#[test]
fn invalid_records_are_named_with_their_line_and_start() {
    for text in [
        "",
        "x run connect",
        "1 run paused",
        "1 c0",
        "1 c0 published",
        "1 c0 published 1 2",
        "1 c0 subscribed 1 new recovered epoch",
        "1 c-1 connected",
        "1 c4294967296 connected",
        "1 d0 connected",
        "1 c0 lost code",
        "99999999999999999999 run connect",
        "end 1",
        "end a b",
    ] {
        let mut stored = stored();
        let line = stored.len() - 2;
        text.clone_into(&mut stored[line]);

        let error = read(&plan(7), &stored).unwrap_err();

        assert!(
            matches!(error, HistoryError::Invalid { .. }),
            "{text:?}: {error}"
        );
        let named = format!("line {}: ", line + 1);
        assert!(error.to_string().starts_with(&named), "{error}");
    }
}

#[test]
fn the_number_of_records_and_the_length_of_a_line_are_bounded() {
    let mut reader = HistoryReader::new(&plan(7), 1);
    for line in &stored()[..plan(7).faults().len() + 2] {
        reader.read(line).unwrap();
    }
    let error = reader.read("1 run end").unwrap_err();
    assert!(
        matches!(error, HistoryError::TooMany { records_max: 1, .. }),
        "{error}"
    );

    let mut reader = HistoryReader::new(&plan(7), 1);
    let error = reader.read(&"x".repeat(LINE_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(error, HistoryError::TooLong { line: 1 });
}

fn plan(seed: u64) -> Plan {
    let text = include_str!("../../../scenarios/gateway-kill.toml");
    let options = ScenarioOptions {
        profiles: vec!["short".to_owned()],
        params: Vec::new(),
    };
    let scenario = Scenario::parse("gateway-kill.toml", text, &options).unwrap();
    Plan::new(&scenario, seed).unwrap()
}

/// The lines of a log with two records.
fn stored() -> Vec<String> {
    let events = [RunPhase::Connect, RunPhase::End].map(RunEvent::PhaseBegan);
    lines(&plan(7), &log_of(&events, 0)).collect()
}

fn log_of(events: &[RunEvent], dropped: u64) -> EventLog {
    let mut log = EventLog::new(RECORDS_MAX);
    for (number, event) in (0_u64..).zip(events) {
        log.push(EventRecord {
            at: Instant::from_nanos(number * 1_000_003),
            event: event.clone(),
        });
    }
    log.note_dropped(dropped);
    log
}

fn read(plan: &Plan, stored: &[String]) -> Result<EventLog, HistoryError> {
    let mut reader = HistoryReader::new(plan, RECORDS_MAX);
    stored.iter().try_for_each(|line| reader.read(line))?;
    reader.finish()
}

fn event() -> impl Strategy<Value = RunEvent> {
    prop_oneof![
        prop::sample::select(RunPhase::ALL.to_vec()).prop_map(RunEvent::PhaseBegan),
        (any::<u32>(), client_event()).prop_map(|(id, event)| RunEvent::Client {
            client: ClientId(id),
            event,
        }),
        (any::<u32>(), fault_event()).prop_map(|(id, event)| RunEvent::Fault {
            fault: FaultId(id),
            event,
        }),
        (any::<u32>(), process_event()).prop_map(|(id, event)| RunEvent::Process {
            instance: InstanceId(id),
            event,
        }),
        effect_event().prop_map(RunEvent::Effects),
        any::<u64>().prop_map(|nanos| RunEvent::Harness(HarnessEvent::Lag {
            late: Duration::from_nanos(nanos)
        })),
        any::<String>().prop_map(|text| RunEvent::Harness(HarnessEvent::Failed(text))),
    ]
}

fn position() -> impl Strategy<Value = Position> {
    (any::<String>(), any::<u64>()).prop_map(|(epoch, offset)| Position { epoch, offset })
}

fn client_event() -> impl Strategy<Value = ClientEvent> {
    let sequence = || any::<u64>();
    prop_oneof![
        Just(ClientEvent::AttemptFailed),
        Just(ClientEvent::Opened),
        Just(ClientEvent::Attempting),
        Just(ClientEvent::TransportOpened),
        Just(ClientEvent::Connected),
        Just(ClientEvent::Unsent),
        loss_cause().prop_map(ClientEvent::ConnectionLost),
        any::<Option<u32>>().prop_map(|code| ClientEvent::GaveUp { code }),
        (position(), any::<bool>(), any::<bool>()).prop_map(
            |(position, was_recovering, recovered)| ClientEvent::Subscribed(Subscribed {
                position,
                was_recovering,
                recovered,
            })
        ),
        sequence().prop_map(|sequence| ClientEvent::Published { sequence }),
        sequence().prop_map(|sequence| ClientEvent::Resent { sequence }),
        (sequence(), prop::option::of(position()), any::<bool>()).prop_map(
            |(sequence, position, is_duplicate)| ClientEvent::Acknowledged {
                sequence,
                position,
                is_duplicate,
            }
        ),
        request_event(),
        (sequence(), any::<u32>())
            .prop_map(|(sequence, code)| ClientEvent::Rejected { sequence, code }),
        (any::<Option<(u32, u64)>>(), any::<u64>()).prop_map(|(id, offset)| {
            ClientEvent::Delivered {
                message: id.map(|(publisher, sequence)| MessageId {
                    publisher: ClientId(publisher),
                    sequence,
                }),
                offset,
            }
        }),
    ]
}

fn request_event() -> impl Strategy<Value = ClientEvent> {
    let outcome = prop_oneof![
        Just(RequestOutcome::Ok),
        any::<u32>().prop_map(|code| RequestOutcome::Error { code }),
        Just(RequestOutcome::NotSent),
        Just(RequestOutcome::Lost),
        Just(RequestOutcome::TimedOut),
    ];
    prop_oneof![
        (any::<u32>(), any::<u64>())
            .prop_map(|(stream, sequence)| ClientEvent::Received { stream, sequence }),
        (any::<u64>(), any::<u64>()).prop_map(|(sequence, nanos)| ClientEvent::Requested {
            sequence,
            intended: Instant::from_nanos(nanos),
        }),
        any::<u64>().prop_map(|sequence| ClientEvent::RequestedAgain { sequence }),
        (any::<u64>(), outcome)
            .prop_map(|(sequence, outcome)| ClientEvent::Settled { sequence, outcome }),
    ]
}

fn effect_event() -> impl Strategy<Value = EffectEvent> {
    prop_oneof![
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
            |(instance, lines, foreign, is_torn)| EffectEvent::Read {
                instance: InstanceId(instance),
                lines,
                foreign,
                is_torn,
            }
        ),
        (any::<u32>(), any::<u64>(), any::<u32>()).prop_map(|(client, sequence, count)| {
            EffectEvent::Executed {
                request: MessageId {
                    publisher: ClientId(client),
                    sequence,
                },
                count,
            }
        }),
    ]
}

fn loss_cause() -> impl Strategy<Value = LossCause> {
    prop_oneof![
        Just(LossCause::Fin),
        Just(LossCause::Reset),
        Just(LossCause::Timeout),
        Just(LossCause::Unknown),
        any::<u32>().prop_map(LossCause::Code),
    ]
}

fn fault_event() -> impl Strategy<Value = FaultEvent> {
    prop_oneof![
        Just(FaultEvent::Injected),
        prop::collection::vec(any::<u32>(), 0..4)
            .prop_map(|ids| FaultEvent::Targeted(ids.into_iter().map(InstanceId).collect())),
        any::<String>().prop_map(FaultEvent::Confirmed),
        Just(FaultEvent::Healed),
        any::<String>().prop_map(FaultEvent::Ineffective),
    ]
}

fn process_event() -> impl Strategy<Value = ProcessEvent> {
    prop_oneof![
        Just(ProcessEvent::Started),
        Just(ProcessEvent::Ready),
        any::<u32>().prop_map(ProcessEvent::Connections),
        any::<i32>().prop_map(|code| ProcessEvent::Exited(ProcessExit::Code(code))),
        any::<i32>().prop_map(|signal| ProcessEvent::Exited(ProcessExit::Signal(signal))),
    ]
}
