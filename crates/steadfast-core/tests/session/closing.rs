//! Closing: in time from every phase, orderly where that is possible, and for good.

use std::time::Duration;

use steadfast_core::event::{Event, Phase, State};
use steadfast_core::io::{Call, CallError, Delivery, DropReason, Input};

use crate::script::{Script, ack, settings};

const DRAIN: Duration = Duration::from_secs(5);

fn close(script: &mut Script, drain: Duration) {
    script.handle(Input::CloseRequested { drain });
}

fn was_closed(script: &Script) -> bool {
    let closed = |(_, event): &(_, Event)| *event == Event::Closed;
    script.events.iter().filter(|it| closed(it)).count() == 1
}

#[test]
fn close_ends_within_its_deadline_from_every_phase() {
    let mut failed = Script::ready();
    failed.lose_with(3_500, "");
    let mut waiting = Script::ready();
    waiting.lose();
    let mut degraded = Script::ready();
    degraded.lose();
    while degraded.phase() != Phase::Degraded {
        degraded.pass_until_dial();
        degraded.dial_fails();
    }
    let mut greeting = Script::new();
    greeting.dial();
    let mut resuming = Script::ready();
    resuming.lose();
    resuming.subscribe("room", 10);
    resuming.pass_until_dial();
    resuming.connect();
    let phases = [
        failed,
        waiting,
        degraded,
        greeting,
        resuming,
        Script::new(),
        Script::ready(),
    ];

    for mut script in phases {
        let phase = script.phase();
        script.publish();
        close(&mut script, DRAIN);
        script.pass(DRAIN + settings().close_deadline);

        assert_eq!(script.state(), State::Disconnected, "from {phase:?}");
        assert!(was_closed(&script), "from {phase:?}");
        assert_eq!(script.account.owed(), 0);
        let dials = script.dials.len();
        script.pass(Duration::from_hours(1));
        assert_eq!(script.dials.len(), dials, "from {phase:?}");
    }
}

#[test]
fn a_drain_sends_what_is_queued_and_says_goodbye_when_it_is_answered() {
    let mut script = Script::ready();
    script.publish();
    close(&mut script, DRAIN);
    assert_eq!(script.phase(), Phase::Draining);
    assert!(script.hang_ups.is_empty());

    let command = script.commands().remove(0);
    script.answer(command.id, Ok(ack(1, false)));

    assert_eq!(script.hang_ups, [1_000]);
    assert_eq!(script.phase(), Phase::Closing);
    script.lose_with(1_000, "");
    assert!(was_closed(&script));
    assert!(matches!(
        script.resolved[0].1,
        Delivery::Acknowledged { .. }
    ));
}

#[test]
fn nothing_that_the_server_says_to_the_goodbye_brings_the_session_back() {
    let pushed = br#"{"push":{"disconnect":{"code":3000,"reason":"x"}}}"#;
    for message in [&b"no json"[..], b"{}", b"{\"id\":7}", pushed] {
        let mut script = Script::ready();
        close(&mut script, Duration::ZERO);
        script.receive(message);
        script.pass(Duration::from_mins(1));

        assert_eq!(script.dials.len(), 1, "{message:?}");
        assert!(was_closed(&script));
    }
}

#[test]
fn whoever_opens_again_while_it_closes_or_drains_gets_a_session() {
    let mut closing = Script::ready();
    close(&mut closing, Duration::ZERO);
    closing.handle(Input::OpenRequested);
    closing.connect();
    assert_eq!(closing.phase(), Phase::Ready);

    let mut draining = Script::ready();
    draining.publish();
    close(&mut draining, DRAIN);
    draining.handle(Input::OpenRequested);
    draining.pass(DRAIN * 2);
    assert_eq!((draining.phase(), draining.dials.len()), (Phase::Ready, 1));
}

#[test]
fn what_is_left_at_the_end_is_told_the_truth() {
    let rpc = || Call::Rpc {
        method: "pay".to_owned(),
        data: "1".into(),
    };
    let mut sent = Script::ready();
    sent.publish();
    sent.call(rpc(), Duration::from_mins(1));
    close(&mut sent, Duration::ZERO);
    sent.lose();
    let mut unsent = Script::new();
    unsent.publish();
    unsent.call(rpc(), Duration::from_mins(1));
    close(&mut unsent, Duration::ZERO);
    let mut never_opened = Script::idle(settings(), 1);
    never_opened.publish();
    close(&mut never_opened, Duration::ZERO);

    let maybe_delivered = true;
    let maybe_executed = true;
    assert_eq!(
        sent.resolved[0].1,
        Delivery::Interrupted { maybe_delivered }
    );
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(sent.answered[0].1, Err(interrupted));
    let closed = Delivery::Dropped(DropReason::Closed);
    assert_eq!(unsent.resolved[0].1, closed);
    assert_eq!(unsent.answered[0].1, Err(CallError::Closed));
    assert_eq!(never_opened.resolved[0].1, closed);
}

#[test]
fn a_drain_waits_for_a_connection_that_comes_back_in_its_time() {
    let mut waiting = Script::ready();
    waiting.lose();
    waiting.publish();
    close(&mut waiting, DRAIN);
    let mut lost = Script::ready();
    lost.publish();
    close(&mut lost, DRAIN);
    lost.lose();
    let mut dialing = Script::new();
    dialing.publish();
    close(&mut dialing, DRAIN);
    let mut greeting = Script::new();
    greeting.dial();
    greeting.publish();
    close(&mut greeting, DRAIN);

    for mut script in [waiting, lost, dialing, greeting] {
        script.subscribe("room", 10);
        if script.snapshot().next_try_at.is_some() {
            assert!(script.pass_until_dial() <= DRAIN);
        }
        if script.account.is_dialing() {
            script.dial();
        }
        script.greet();
        assert_eq!(script.phase(), Phase::Draining);
        let commands = script.commands();
        assert_eq!(commands.len(), 1, "the publication, no subscription");
        script.answer(commands[0].id, Ok(ack(1, false)));

        assert_eq!(script.hang_ups, [1_000]);
        script.lose_with(1_000, "");
        assert!(was_closed(&script));
        let delivery = &script.resolved[0].1;
        assert!(matches!(delivery, Delivery::Acknowledged { .. }));
    }
}

#[test]
fn a_drain_that_is_in_vain_ends_at_its_deadline_and_tells_the_truth_about_each() {
    let mut script = Script::ready();
    script.publish();
    script.lose();
    script.publish();
    let closed_at = script.now;
    close(&mut script, DRAIN);
    let refused = script.publish();
    let dropped = Delivery::Dropped(DropReason::Closed);
    assert_eq!(script.resolved, [(refused, dropped.clone())], "too late");

    while !was_closed(&script) {
        if script.account.is_dialing() {
            script.dial_fails();
        }
        script.pass(Duration::from_millis(10));
    }

    assert_eq!(script.now - closed_at, DRAIN);
    let maybe_delivered = true;
    let interrupted = Delivery::Interrupted { maybe_delivered };
    let told: Vec<_> = script.resolved.iter().skip(1).map(|(_, it)| it).collect();
    assert_eq!(told, [&interrupted, &dropped]);
    let dials = script.dials.len();
    script.pass(Duration::from_hours(1));
    assert_eq!(script.dials.len(), dials);
}

#[test]
fn a_drain_without_a_connection_ends_with_what_it_was_for() {
    let mut expired = Script::ready();
    expired.lose();
    expired.publish_for(Some(Duration::from_millis(10)));
    close(&mut expired, Duration::from_mins(1));
    expired.pass(Duration::from_millis(10));
    let mut refused = Script::ready();
    refused.publish();
    close(&mut refused, Duration::from_mins(1));
    refused.lose_with(3_500, "invalid token");
    let mut cut_short = Script::ready();
    cut_short.lose();
    cut_short.publish();
    close(&mut cut_short, Duration::from_mins(1));
    close(&mut cut_short, Duration::ZERO);

    for script in [expired, refused, cut_short] {
        assert_eq!(script.state(), State::Disconnected);
        assert!(was_closed(&script));
        assert_eq!(script.account.owed(), 0);
    }
}

#[test]
fn whoever_opens_again_while_a_drain_waits_gets_a_session() {
    let mut script = Script::ready();
    script.lose();
    script.publish();
    close(&mut script, DRAIN);
    script.handle(Input::OpenRequested);
    script.pass_until_dial();
    script.pass(DRAIN);
    script.connect();

    assert_eq!(script.phase(), Phase::Ready);
    assert_eq!(script.commands().len(), 1);
}
