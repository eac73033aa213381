//! What is planted into a healthy run, and the verdict that it must get.

#![expect(
    clippy::unwrap_used,
    reason = "the support functions of a test fail as loudly as the test"
)]

mod permuted;
mod reports;
mod run;

use std::time::Duration;

use steadfast_faults::ledger::history::History;
use steadfast_faults::ledger::record::{
    ClientFact, Exit, Fact, FaultFact, HarnessFact, LossCause, Phase, ProcessFact,
};
use steadfast_faults::ledger::{Group, Ledger};
use steadfast_faults::roster::{ClientId, InstanceId};
use steadfast_faults::verdict::{Verdict, judge};
use steadfast_protocol::message::Position;

use crate::run::{EPOCH, MILLI, Run, healthy, hold_back};

#[test]
fn a_healthy_run_passes_and_its_groups_are_told_apart() {
    let run = healthy();
    let ledger = run.ledger();
    let of_group = |group| {
        let books = ledger.clients.iter();
        books.filter(|book| book.life.group == group).count()
    };

    check(&run, Verdict::Pass, &[]);
    // Both kills hit one gateway with this seed, and half of the clients are there.
    assert_eq!(of_group(Group::NeverDisconnected), 4);
    assert_eq!(of_group(Group::Reconnected), 4);
    assert_eq!(ledger.incidents().count(), 8);
    assert!(
        ledger
            .faults
            .iter()
            .all(|it| it.ended == 4 && it.in_flight >= 4)
    );
    let owed: u64 = ledger.clients.iter().map(|it| it.delivery.owed).sum();
    let published: u64 = ledger.clients.iter().map(|it| it.published.sent).sum();
    assert_eq!(owed, published * 4, "each room has four readers");
}

#[test]
fn the_parts_of_a_recovery_add_up() {
    let ledger = healthy().ledger();

    let incident = ledger.incidents().next().unwrap();

    let micros = |nanos: u64| nanos / 1000;
    assert_eq!(micros(incident.detect().unwrap().value), 5_000);
    // 300 ms down and 20 ms until connected, of which 5 ms had passed before the client knew.
    assert_eq!(micros(incident.dial().value), 315_000);
    assert_eq!(incident.attempts, 2);
    let parts =
        incident.detect().unwrap().value + incident.dial().value + incident.resume().unwrap().value;
    assert_eq!(parts, incident.total().value);
}

#[test]
fn one_message_that_one_subscriber_never_gets_fails() {
    let mut run = healthy();
    let (reader, lost) = run.early_message();
    run.retain_of(
        reader,
        |_, fact| !matches!(fact, ClientFact::Delivered { message, .. } if *message == Some(lost)),
    );

    check(&run, Verdict::Fail, &["nothing-acknowledged-is-lost"]);
    let book = &run.ledger().clients[place(reader)];
    assert_eq!(book.delivery.lost, 1);
}

#[test]
fn one_message_that_one_subscriber_gets_twice_fails() {
    let mut run = healthy();
    let (reader, twice) = run.early_message();
    let at = run.begin(Phase::Quiet);
    let what = ClientFact::Delivered {
        message: Some(twice),
        offset: 1,
    };
    run.push(
        at,
        Fact::Client {
            client: reader,
            what,
        },
    );

    check(&run, Verdict::Fail, &["nothing-arrives-twice"]);
}

#[test]
fn two_messages_that_one_subscriber_gets_in_the_wrong_order_fail() {
    let mut run = healthy();
    let (reader, _) = run.early_message();
    let mut earlier = None;
    let mut swapped = false;
    run.retain_of(reader, |_, fact| {
        if let ClientFact::Delivered { message, offset } = fact
            && !swapped
        {
            match earlier.take() {
                // The second place gets what the first had; the first is written again below.
                Some((first, place)) => {
                    earlier = Some((*message, *offset));
                    (*message, *offset) = (first, place);
                    swapped = true;
                }
                None => earlier = Some((*message, *offset)),
            }
        }
        true
    });
    let (second, place_of_second) = earlier.unwrap();
    let mut first = true;
    run.retain_of(reader, |_, fact| {
        if let ClientFact::Delivered { message, offset } = fact
            && first
        {
            (*message, *offset) = (second, place_of_second);
            first = false;
        }
        true
    });

    check(&run, Verdict::Fail, &["everything-is-in-order"]);
}

#[test]
fn a_client_that_gave_up_fails() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);
    let gave_up = ClientFact::GaveUp { code: Some(3500) };
    run.push(
        lost + MILLI,
        Fact::Client {
            client: victim,
            what: gave_up,
        },
    );

    check(
        &run,
        Verdict::Fail,
        &[
            "everyone-affected-is-back",
            "nothing-acknowledged-is-lost",
            "recovery-is-bounded",
        ],
    );
    assert_eq!(
        run.ledger().clients[place(victim)].life.group,
        Group::GaveUp
    );
}

#[test]
fn a_client_that_is_still_away_at_the_end_fails_and_stays_in_the_sample() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);

    let judgement = run.judge();

    assert_eq!(judgement.verdict, Verdict::Fail);
    let bound = judgement
        .checks
        .iter()
        .find(|it| it.id == "recovery-is-bounded");
    assert_eq!(bound.unwrap().evidence, ["recovery.total max is > 9 s"]);
}

#[test]
fn a_client_that_says_it_is_connected_and_is_silent_at_the_end_fails() {
    let mut run = healthy();
    let (victim, _) = run.victim();
    let quiet = run.begin(Phase::Quiet);
    run.silence(victim, quiet);

    check(
        &run,
        Verdict::Fail,
        &["nobody-is-silent", "nothing-acknowledged-is-lost"],
    );
}

#[test]
fn a_stall_that_no_fault_explains_fails() {
    let mut run = healthy();
    let spared = run.spared();
    let (from, until) = (run.begin(Phase::Steps), run.begin(Phase::Quiet));
    hold_back(&mut run.records, spared, from, until);

    check(&run, Verdict::Fail, &["every-stall-is-explained"]);
    let book = &run.ledger().clients[place(spared)];
    assert_eq!(book.stalls.len(), 1);
    assert_eq!(book.delivery.lost, 0);
}

#[test]
fn a_stall_without_any_fault_is_not_the_faults() {
    let mut run = healthy();
    let spared = run.spared();
    let (from, until) = (run.begin(Phase::Steps), run.begin(Phase::Quiet));
    hold_back(run.control.as_mut().unwrap(), spared, from, until);

    let guard = "nobody stalled in the control run";
    check(&run, Verdict::Inconclusive, &[guard]);
}

#[test]
fn a_disconnect_that_no_fault_explains_fails() {
    let mut run = healthy();
    let spared = run.spared();
    let at = run.begin(Phase::Quiet);
    for (after, what) in [
        (0, ClientFact::Lost(LossCause::Timeout)),
        (1, ClientFact::Connected),
        (2, subscribed(EPOCH, true)),
    ] {
        run.push(
            at + after * MILLI,
            Fact::Client {
                client: spared,
                what,
            },
        );
    }

    check(&run, Verdict::Fail, &["every-disconnect-is-explained"]);
}

#[test]
fn a_gap_that_is_announced_and_a_new_channel_epoch_fail() {
    let mut run = healthy();
    let (victim, _) = run.victim();
    run.retain_of(victim, |_, fact| {
        if let ClientFact::Subscribed(it) = fact
            && it.was_recovering
        {
            *fact = subscribed("another", false);
        }
        true
    });

    check(&run, Verdict::Fail, &["no-gap-and-no-new-history"]);
}

#[test]
fn a_message_that_nobody_published_fails() {
    let mut run = healthy();
    let (reader, _) = run.early_message();
    let at = run.begin(Phase::Quiet);
    let what = ClientFact::Delivered {
        message: None,
        offset: 100_000,
    };
    run.push(
        at,
        Fact::Client {
            client: reader,
            what,
        },
    );

    check(&run, Verdict::Fail, &["everything-is-ours"]);
}

#[test]
fn a_kill_that_is_replaced_by_nothing_proves_nothing() {
    let mut run = healthy();
    run.records = run.control.clone().unwrap();

    check(&run, Verdict::Inconclusive, &["every fault took effect"]);
}

#[test]
fn a_fault_with_proof_that_it_had_no_effect_proves_nothing() {
    let mut run = healthy();
    let fault = run.plan.faults()[0].id;
    let what = FaultFact::Ineffective("the process had exited before".to_owned());
    run.push(run.begin(Phase::Quiet), Fact::Fault { fault, what });

    check(&run, Verdict::Inconclusive, &["every fault took effect"]);
}

#[test]
fn a_kill_that_nobody_noticed_proves_nothing() {
    let mut run = healthy();
    let supervised = run
        .records
        .iter()
        .filter(|record| matches!(record.fact, Fact::Fault { .. } | Fact::Process { .. }));
    let mut records: Vec<_> = supervised.cloned().collect();
    let undisturbed = run.control.clone().unwrap().into_iter();
    records.extend(undisturbed.filter(|record| !matches!(record.fact, Fact::Process { .. })));
    run.records = records;

    check(
        &run,
        Verdict::Inconclusive,
        &["the books balance", "every fault ended connections"],
    );
}

#[test]
fn kills_with_nothing_under_way_prove_nothing() {
    let run = healthy().with_nothing_in_flight();

    check(
        &run,
        Verdict::Inconclusive,
        &["publications were under way"],
    );
}

#[test]
fn a_harness_that_was_too_slow_may_not_accuse_the_system() {
    let mut run = healthy();
    let (reader, lost) = run.early_message();
    run.retain_of(
        reader,
        |_, fact| !matches!(fact, ClientFact::Delivered { message, .. } if *message == Some(lost)),
    );
    for (place, record) in run.records.iter_mut().enumerate() {
        if let Fact::Harness(HarnessFact::Lag { late }) = &mut record.fact
            && place % 30 == 0
        {
            // The tightest time of the scenario is 6 s; one timer in thirty is later than a tenth of that.
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
fn a_harness_that_did_not_measure_itself_proves_nothing() {
    let mut run = healthy();
    run.records
        .retain(|record| !matches!(record.fact, Fact::Harness(_)));

    check(
        &run,
        Verdict::Inconclusive,
        &["the harness was fast enough"],
    );
}

#[test]
fn what_the_harness_says_about_itself_proves_nothing() {
    for (fact, guard) in [
        (
            HarnessFact::Failed("a driver ended".to_owned()),
            "the harness did not fail",
        ),
        (
            HarnessFact::LeftBehind("gateway:1".to_owned()),
            "nothing is left behind",
        ),
    ] {
        let mut run = healthy();
        // While cleaning up, after the end.
        run.push(run.begin(Phase::End) + MILLI, Fact::Harness(fact));

        check(&run, Verdict::Inconclusive, &[guard]);
    }
}

#[test]
fn a_history_that_is_not_whole_proves_nothing() {
    let run = healthy();
    let mut history = History::new(run.records.len() - 1);
    for record in &run.records {
        history.push(record.clone());
    }
    let ledger = Ledger::balance(&run.scenario, &run.plan, &history);

    let judgement = judge(&run.scenario, &ledger, None);

    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.reasons[0].starts_with("every fact is kept: 1 facts"));
}

#[test]
fn facts_that_contradict_each_other_prove_nothing() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    let what = ClientFact::Lost(LossCause::Fin);
    run.push(
        lost + MILLI,
        Fact::Client {
            client: victim,
            what,
        },
    );

    check(&run, Verdict::Inconclusive, &["the books balance"]);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_proves_nothing() {
    let mut run = healthy();
    let (_, message) = run.early_message();
    run.retain_of(message.publisher, |_, fact| {
        !matches!(fact, ClientFact::Published { sequence } if *sequence == message.sequence)
    });

    check(&run, Verdict::Inconclusive, &["the books balance"]);
}

#[test]
fn a_client_that_came_too_late_or_a_load_that_slept_proves_nothing() {
    let mut late = healthy();
    let baseline = late.begin(Phase::Baseline);
    for record in &mut late.records {
        if let Fact::Client {
            client: ClientId(0),
            what: ClientFact::Subscribed(it),
        } = &record.fact
            && !it.was_recovering
        {
            record.at = baseline + MILLI;
        }
    }
    let mut idle = healthy();
    // A baseline of a fifth of its time: what was sent in it is too little.
    for record in &mut idle.records {
        if record.fact == Fact::Began(Phase::Steps) {
            record.at = baseline + 400 * MILLI;
        }
    }

    let guard = "everyone was subscribed before the baseline";
    check(&late, Verdict::Inconclusive, &[guard]);
    check(&idle, Verdict::Inconclusive, &["the load reached its rate"]);
}

#[test]
fn a_control_run_that_is_missing_or_was_disturbed_proves_nothing() {
    let mut missing = healthy();
    missing.control = None;
    let mut disturbed = healthy();
    let control = disturbed.control.as_mut().unwrap();
    let at = disturbed.records.last().unwrap().at;
    let lost = Fact::Client {
        client: ClientId(0),
        what: ClientFact::Lost(LossCause::Fin),
    };
    control.push(steadfast_faults::ledger::record::Record { at, fact: lost });

    let guard = "the control run was carried out";
    check(&missing, Verdict::Inconclusive, &[guard]);
    let guard = "nobody was disconnected in the control run";
    check(&disturbed, Verdict::Inconclusive, &[guard]);
}

#[test]
fn an_exit_that_no_fault_explains_does_not_hide_a_failed_check() {
    let mut run = healthy();
    let at = run.begin(Phase::Quiet);
    let exited = Fact::Process {
        instance: InstanceId(0),
        what: ProcessFact::Exited(Exit::Code(1)),
    };
    run.push(at, exited);

    check(&run, Verdict::Inconclusive, &["no other process exited"]);
    let (reader, lost) = run.early_message();
    run.retain_of(
        reader,
        |_, fact| !matches!(fact, ClientFact::Delivered { message, .. } if *message == Some(lost)),
    );
    check(
        &run,
        Verdict::Fail,
        &["nothing-acknowledged-is-lost", "no other process exited"],
    );
}

/// Judges the run and compares the verdict and the names of what speaks against it, in their order.
fn check(run: &Run, verdict: Verdict, against: &[&str]) {
    let judgement = run.judge();
    let named: Vec<&str> = judgement
        .reasons
        .iter()
        .map(|reason| reason.split(": ").next().unwrap())
        .collect();

    assert_eq!(judgement.verdict, verdict, "{:#?}", judgement.reasons);
    for name in against {
        assert!(named.contains(name), "{name} is not in {named:#?}");
    }
    assert_eq!(named.first(), against.first(), "{named:#?}");
    if verdict != Verdict::Inconclusive {
        assert_eq!(named, against, "{:#?}", judgement.reasons);
    }
}

fn subscribed(epoch: &str, recovered: bool) -> ClientFact {
    ClientFact::Subscribed(steadfast_faults::ledger::record::Subscribed {
        position: Position {
            epoch: epoch.to_owned(),
            offset: 0,
        },
        was_recovering: true,
        recovered,
    })
}

fn place(client: ClientId) -> usize {
    usize::try_from(client.0).unwrap()
}
