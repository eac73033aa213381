//! Clients that are disconnected, stalled, silent or given up, and the checks that count them.

use steadfast_faults::ledger::ClientOutcome;
use steadfast_faults::ledger::event::{ClientEvent, LossCause, RunEvent, RunPhase};
use steadfast_faults::verdict::Verdict;

use crate::run::{EPOCH, MILLI, healthy, hold_back};
use crate::{check, index, subscribed};

#[test]
fn a_healthy_run_passes_with_the_expected_client_outcomes() {
    let run = healthy();
    let ledger = run.ledger();
    let with_outcome = |outcome| {
        let clients = ledger.clients.iter();
        clients
            .filter(|it| it.connections.outcome == outcome)
            .count()
    };

    check(&run, Verdict::Pass, &[]);
    // With this seed both kills hit the same gateway, which half of the clients use.
    assert_eq!(with_outcome(ClientOutcome::NeverDisconnected), 4);
    assert_eq!(with_outcome(ClientOutcome::Reconnected), 4);
    assert_eq!(ledger.incidents().count(), 8);
    assert!(
        ledger
            .faults
            .iter()
            .all(|it| it.disconnects == 4 && it.in_flight >= 4)
    );
    let expected: u64 = ledger.clients.iter().map(|it| it.delivery.expected).sum();
    let published: u64 = ledger.clients.iter().map(|it| it.publications.sent).sum();
    assert_eq!(expected, published * 4, "each channel has four subscribers");
}

#[test]
fn the_phases_of_a_recovery_add_up() {
    let ledger = healthy().ledger();

    let incident = ledger.incidents().next().unwrap();

    let micros = |nanos: u64| nanos / 1000;
    assert_eq!(micros(incident.detect().unwrap().value), 5_000);
    // 300 ms down and 20 ms until connected, of which 5 ms had passed before the client noticed.
    assert_eq!(micros(incident.dial().value), 315_000);
    assert_eq!(incident.attempts, 2);
    let sum =
        incident.detect().unwrap().value + incident.dial().value + incident.resume().unwrap().value;
    assert_eq!(sum, incident.total().value);
}

#[test]
fn a_client_that_gave_up_fails() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);
    let gave_up = ClientEvent::GaveUp { code: Some(3500) };
    run.push(
        lost + MILLI,
        RunEvent::Client {
            client: victim,
            event: gave_up,
        },
    );

    check(
        &run,
        Verdict::Fail,
        &[
            "all-affected-clients-reconnected",
            "no-acknowledged-message-lost",
            "recovery-bounded",
        ],
    );
    assert_eq!(
        run.ledger().clients[index(victim)].connections.outcome,
        ClientOutcome::GaveUp
    );
}

#[test]
fn a_client_that_is_down_at_the_end_fails_and_stays_in_the_samples() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);

    let evaluation = run.evaluate();

    assert_eq!(evaluation.verdict, Verdict::Fail);
    let bound = evaluation
        .checks
        .iter()
        .find(|it| it.id == "recovery-bounded");
    assert_eq!(
        bound.unwrap().measured(),
        "> 9 s, must be < 6 s (max of 7 samples)"
    );
}

#[test]
fn a_client_that_reports_connected_but_is_silent_at_the_end_fails() {
    let mut run = healthy();
    let (victim, _) = run.victim();
    let quiet = run.begin(RunPhase::Quiet);
    run.silence(victim, quiet);

    check(
        &run,
        Verdict::Fail,
        &["no-silent-clients", "no-acknowledged-message-lost"],
    );
}

#[test]
fn an_unattributed_stall_fails() {
    let mut run = healthy();
    let unaffected = run.unaffected();
    let (from, until) = (run.begin(RunPhase::Steps), run.begin(RunPhase::Quiet));
    hold_back(&mut run.records, unaffected, from, until);

    check(&run, Verdict::Fail, &["all-stalls-attributed"]);
    let stats = &run.ledger().clients[index(unaffected)];
    assert_eq!(stats.stalls.len(), 1);
    assert_eq!(stats.delivery.lost, 0);
}

#[test]
fn an_unattributed_disconnect_fails() {
    let mut run = healthy();
    let unaffected = run.unaffected();
    let at = run.begin(RunPhase::Quiet);
    for (after, event) in [
        (0, ClientEvent::ConnectionLost(LossCause::Timeout)),
        (1, ClientEvent::Connected),
        (2, subscribed(EPOCH, true)),
    ] {
        run.push(
            at + after * MILLI,
            RunEvent::Client {
                client: unaffected,
                event,
            },
        );
    }

    check(&run, Verdict::Fail, &["all-disconnects-attributed"]);
}
