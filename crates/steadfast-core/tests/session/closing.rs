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
        let dials = script.dials.len();
        script.publish();
        close(&mut script, DRAIN);
        script.pass(DRAIN + settings().close_deadline);

        assert_eq!(script.state(), State::Disconnected, "from {phase:?}");
        assert!(was_closed(&script), "from {phase:?}");
        assert_eq!(script.account.owed(), 0);
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
fn a_connection_that_is_lost_while_it_drains_ends_the_session() {
    let mut script = Script::ready();
    script.publish();
    close(&mut script, DRAIN);
    script.lose();

    assert_eq!(script.state(), State::Disconnected);
    assert_eq!(script.account.owed(), 0);
}
