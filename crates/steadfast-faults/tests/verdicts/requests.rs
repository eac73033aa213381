//! Runs of clients that send requests or receive streams: healthy ones pass, and each violation fails its own check.

use steadfast_faults::check::CheckOutcome;
use steadfast_faults::ledger::RequestClass;
use steadfast_faults::ledger::event::{ClientEvent, MessageId, RequestOutcome, RunEvent, RunPhase};
use steadfast_faults::topology::{ClientId, InstanceId};
use steadfast_faults::verdict::{Evaluation, Verdict, evaluate};

use crate::request_run::{READER, VICTIM, client, healthy, is_execution_of};
use crate::run::Run;

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
        .map(|it| it.requests.of_class(RequestClass::MaybeExecuted))
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
            run.retain_events(
                READER,
                |_, event| !matches!(event, ClientEvent::Received { sequence, .. } if *sequence == 5),
            );
        }),
        ("nothing-twice", &|run| run.receive(READER, 5)),
        ("in-order", &|run| {
            run.retain_events(READER, |_, event| {
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
        control.retain_events(ClientId(whom), |_, event| {
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
    run.retain_events(ClientId(2), |_, event| {
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
        .filter(|it| it.outcome == CheckOutcome::Unknown);
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
    lost.retain_events(VICTIM, |_, event| {
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
            run.retain_events(ClientId(id), |at, event| {
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
