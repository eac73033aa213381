//! Runs that prove nothing: faults without an effect, a harness that is late or fails, control runs that are disturbed.

use std::time::Duration;

use steadfast_faults::check::CheckOutcome;
use steadfast_faults::ledger::Ledger;
use steadfast_faults::ledger::event::{
    ClientEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, ProcessEvent, ProcessExit,
    RunEvent, RunPhase,
};
use steadfast_faults::ledger::event_log::EventLog;
use steadfast_faults::topology::{ClientId, ClientKind, InstanceId};
use steadfast_faults::verdict::{Verdict, evaluate};

use crate::check;
use crate::run::{MILLI, healthy, hold_back, with_a_lost_message};

#[test]
fn a_stall_in_the_control_run_is_inconclusive() {
    let mut run = healthy();
    let unaffected = run.unaffected();
    let (from, until) = (run.begin(RunPhase::Steps), run.begin(RunPhase::Quiet));
    hold_back(run.control.as_mut().unwrap(), unaffected, from, until);

    let guard = "no client stalled in the control run";
    check(&run, Verdict::Inconclusive, &[guard]);
}

#[test]
fn an_exit_in_the_control_run_is_inconclusive() {
    let mut run = healthy();
    let at = run.begin(RunPhase::Quiet);
    let event = RunEvent::Process {
        instance: InstanceId(0),
        event: ProcessEvent::Exited(ProcessExit::Code(1)),
    };
    let control = run.control.as_mut().unwrap();
    control.push(EventRecord { at, event });

    let guard = "no process exited in the control run";
    check(&run, Verdict::Inconclusive, &[guard]);
}

#[test]
fn a_run_without_its_control_run_is_inconclusive() {
    let mut run = healthy();
    run.control = None;

    check(
        &run,
        Verdict::Inconclusive,
        &["the control run was completed"],
    );
}

#[test]
fn a_fault_that_ended_before_its_heal_is_inconclusive() {
    let mut run = healthy();
    let fault = run.plan.faults()[0].id;
    let at = run.begin(RunPhase::Quiet);
    let event = FaultEvent::Ineffective("it ran again before the heal".to_owned());
    run.push(at, RunEvent::Fault { fault, event });

    check(&run, Verdict::Inconclusive, &["every fault took effect"]);
}

#[test]
fn a_scenario_without_a_required_check_is_inconclusive() {
    let mut run = healthy();
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    let text = text.replace("level = \"should\"\n", "");
    let text = text.replace("[[check]]\n", "[[check]]\nlevel = \"should\"\n");
    run.use_scenario("gateway-kill", &text);

    check(
        &run,
        Verdict::Inconclusive,
        &["no required check was applicable"],
    );
}

#[test]
fn a_fault_that_is_never_healed_is_inconclusive() {
    let mut run = healthy();
    let last = run.plan.faults().last().unwrap().id;
    run.records.retain(|record| {
        !matches!(record.event, RunEvent::Fault { fault, event: FaultEvent::Healed } if fault == last)
    });

    check(&run, Verdict::Inconclusive, &["every fault was healed"]);
}

#[test]
fn a_filter_that_selects_no_client_does_not_hold() {
    let mut run = healthy();
    let text = include_str!("../../../../scenarios/gateway-kill.toml");
    let check_of_unselected =
        "\n[[check]]\nid = \"unselected\"\nthat = \"delivery.lost{kind=steadfast} == 0\"\n";
    run.use_scenario("gateway-kill", &format!("{text}{check_of_unselected}"));
    check(&run, Verdict::Pass, &[]);
    let mut ledger = run.ledger();
    for stats in &mut ledger.clients {
        stats.client.kind = ClientKind::HttpPoll;
    }

    let evaluation = evaluate(&run.scenario, &ledger, None);

    let unselected = evaluation.checks.iter().find(|it| it.id == "unselected");
    assert_eq!(unselected.unwrap().outcome, CheckOutcome::Unknown);
}

#[test]
fn kills_that_are_not_executed_are_inconclusive() {
    let mut run = healthy();
    run.records = run.control.clone().unwrap();

    check(&run, Verdict::Inconclusive, &["every fault took effect"]);
}

#[test]
fn a_fault_that_was_confirmed_ineffective_is_inconclusive() {
    let mut run = healthy();
    let fault = run.plan.faults()[0].id;
    let event = FaultEvent::Ineffective("the process had exited before".to_owned());
    run.push(run.begin(RunPhase::Quiet), RunEvent::Fault { fault, event });

    check(&run, Verdict::Inconclusive, &["every fault took effect"]);
}

#[test]
fn a_kill_that_no_client_noticed_is_inconclusive() {
    let mut run = healthy();
    run.let_no_client_notice();

    check(
        &run,
        Verdict::Inconclusive,
        &["the ledger is consistent", "every fault hit clients"],
    );
}

/// Without the rule, the mistake that a scenario is to find would hide itself: the later fault has nothing to end.
#[test]
fn clients_that_never_reconnect_fail_although_a_later_fault_finds_none_connected() {
    let mut run = healthy();
    let later = run.cut_off_before_a_later_kill();

    let evaluation = run.evaluate();

    assert_eq!(
        evaluation.verdict,
        Verdict::Fail,
        "{:#?}",
        evaluation.reasons
    );
    assert!(
        evaluation.reasons[0].starts_with("all-affected-clients-reconnected"),
        "{:#?}",
        evaluation.reasons
    );
    let found = format!(
        "every fault found clients: {later}: earlier faults had disconnected all of its clients, and none was connected again"
    );
    assert!(
        evaluation.reasons.contains(&found),
        "{:#?}",
        evaluation.reasons
    );
}

#[test]
fn a_later_fault_that_finds_no_client_is_inconclusive_if_no_check_fails() {
    let mut run = healthy();
    run.cut_off_before_a_later_kill();
    run.use_checks(&["no-duplicates"]);

    check(&run, Verdict::Inconclusive, &["every fault found clients"]);
}

#[test]
fn kills_without_publications_in_flight_are_inconclusive() {
    let run = healthy().with_nothing_in_flight();

    check(
        &run,
        Verdict::Inconclusive,
        &["publications or requests were in flight"],
    );
}

#[test]
fn a_slow_harness_is_not_reported_as_a_failure_of_the_system() {
    let mut run = with_a_lost_message();
    for (index, record) in run.records.iter_mut().enumerate() {
        if let RunEvent::Harness(HarnessEvent::Lag { late }) = &mut record.event
            && index % 30 == 0
        {
            // The shortest time in a check is 6 s; one timer in thirty is later than a tenth of it.
            *late = Duration::from_millis(601);
        }
    }

    check(
        &run,
        Verdict::Inconclusive,
        &["the harness was fast enough"],
    );
}

#[test]
fn a_harness_without_lag_samples_is_inconclusive() {
    let mut run = healthy();
    run.records
        .retain(|record| !matches!(record.event, RunEvent::Harness(_)));

    check(
        &run,
        Verdict::Inconclusive,
        &["the harness was fast enough"],
    );
}

#[test]
fn failures_that_the_harness_reports_are_inconclusive() {
    let mut run = healthy();
    let failed = HarnessEvent::Failed("a driver exited".to_owned());
    run.push(
        run.begin(RunPhase::Quiet) + MILLI,
        RunEvent::Harness(failed),
    );

    check(&run, Verdict::Inconclusive, &["the harness did not fail"]);
}

#[test]
fn an_incomplete_event_log_is_inconclusive() {
    let run = healthy();
    let mut log = EventLog::new(run.records.len() - 1);
    for record in &run.records {
        log.push(record.clone());
    }
    let ledger = Ledger::reconcile(&run.scenario, &run.plan, &log);

    let evaluation = evaluate(&run.scenario, &ledger, None);

    assert_eq!(evaluation.verdict, Verdict::Inconclusive);
    assert!(evaluation.reasons[0].starts_with("all event records were kept: 1 event record was"));
}

#[test]
fn contradictory_events_are_inconclusive() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    let event = ClientEvent::ConnectionLost(LossCause::Fin);
    run.push(
        lost + MILLI,
        RunEvent::Client {
            client: victim,
            event,
        },
    );

    check(&run, Verdict::Inconclusive, &["the ledger is consistent"]);
}

#[test]
fn an_acknowledgement_of_an_unsent_publication_is_inconclusive() {
    let mut run = healthy();
    let (_, message) = run.early_message();
    run.retain_events(message.publisher, |_, event| {
        !matches!(event, ClientEvent::Published { sequence } if *sequence == message.sequence)
    });

    check(&run, Verdict::Inconclusive, &["the ledger is consistent"]);
}

#[test]
fn a_late_subscription_or_an_idle_load_is_inconclusive() {
    let mut late = healthy();
    let baseline = late.begin(RunPhase::Baseline);
    for record in &mut late.records {
        if let RunEvent::Client {
            client: ClientId(0),
            event: ClientEvent::Subscribed(it),
        } = &record.event
            && !it.was_recovering
        {
            record.at = baseline + MILLI;
        }
    }
    let mut idle = healthy();
    // The baseline ends after a fifth of its time: too few publications were sent.
    for record in &mut idle.records {
        if record.event == RunEvent::PhaseBegan(RunPhase::Steps) {
            record.at = baseline + 400 * MILLI;
        }
    }

    let guard = "all clients were subscribed before the baseline";
    check(&late, Verdict::Inconclusive, &[guard]);
    check(&idle, Verdict::Inconclusive, &["the load reached its rate"]);
}

#[test]
fn a_missing_or_disturbed_control_run_is_inconclusive() {
    let mut missing = healthy();
    missing.control = None;
    let mut disturbed = healthy();
    let control = disturbed.control.as_mut().unwrap();
    let at = disturbed.records.last().unwrap().at;
    let lost = RunEvent::Client {
        client: ClientId(0),
        event: ClientEvent::ConnectionLost(LossCause::Fin),
    };
    control.push(EventRecord { at, event: lost });

    let guard = "the control run was completed";
    check(&missing, Verdict::Inconclusive, &[guard]);
    let guard = "no client was disconnected in the control run";
    check(&disturbed, Verdict::Inconclusive, &[guard]);
}

#[test]
fn an_unexpected_exit_does_not_hide_a_failed_check() {
    let mut run = healthy();
    let at = run.begin(RunPhase::Quiet);
    let exited = RunEvent::Process {
        instance: InstanceId(0),
        event: ProcessEvent::Exited(ProcessExit::Code(1)),
    };
    run.push(at, exited);

    check(
        &run,
        Verdict::Inconclusive,
        &["no process exited unexpectedly"],
    );
    run.lose_early_message();
    check(
        &run,
        Verdict::Fail,
        &[
            "no-acknowledged-message-lost",
            "no process exited unexpectedly",
        ],
    );
}
