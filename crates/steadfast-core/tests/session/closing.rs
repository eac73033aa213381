//! A closed session ends before its deadline, gracefully if possible, and does not reconnect.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Call, CallError, Input, SendError};
use steadfast_core::event::{SessionEvent, SessionPhase, SessionState};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::Request;

use crate::script::{Script, ack, settings};

const DRAIN: Duration = Duration::from_secs(5);

fn close(script: &mut Script, drain: Duration) {
    script.handle(Input::CloseRequested { drain });
}

fn was_closed(script: &Script) -> bool {
    let closed = |(_, event): &(_, SessionEvent)| *event == SessionEvent::Closed;
    script.events.iter().filter(|it| closed(it)).count() == 1
}

#[test]
fn close_ends_within_its_deadline_from_every_phase() {
    let mut failed = Script::ready();
    failed.lose_with(3_500, "");
    let mut waiting = Script::ready();
    waiting.lose_connection();
    let mut degraded = Script::ready();
    degraded.lose_connection();
    while degraded.phase() != SessionPhase::Degraded {
        degraded.advance_to_next_dial();
        degraded.dial_fails();
    }
    let mut handshake = Script::new();
    handshake.dial();
    let mut resuming = Script::ready();
    resuming.lose_connection();
    resuming.subscribe("chat", 10);
    resuming.advance_to_next_dial();
    resuming.connect();
    let phases = vec![
        failed,
        waiting,
        degraded,
        handshake,
        resuming,
        Script::new(),
        Script::ready(),
    ];

    for mut script in phases {
        let phase = script.phase();
        script.publish();
        close(&mut script, DRAIN);
        script.advance(DRAIN + settings().link.close_timeout);

        assert_eq!(script.state(), SessionState::Disconnected, "from {phase:?}");
        assert!(was_closed(&script), "from {phase:?}");
        assert_eq!(script.invariants.pending(), 0);
        let dials = script.dials.len();
        script.advance(Duration::from_hours(1));
        assert_eq!(script.dials.len(), dials, "from {phase:?}");
    }
}

#[test]
fn a_drain_sends_queued_publications_and_closes_when_they_are_acknowledged() {
    let mut script = Script::ready();
    script.publish();
    close(&mut script, DRAIN);
    assert_eq!(script.phase(), SessionPhase::Draining);
    assert!(script.closes.is_empty());

    let command = script.commands().remove(0);
    script.reply_to(command.id, Ok(ack(1, false)));

    assert_eq!(script.closes, [1_000]);
    assert_eq!(script.phase(), SessionPhase::Closing);
    script.lose_with(1_000, "");
    assert!(was_closed(&script));
    assert!(script.publication_outcomes[0].1.is_ok());
}

#[test]
fn no_message_after_the_close_frame_reopens_the_session() {
    let pushed = br#"{"push":{"disconnect":{"code":3000,"reason":"x"}}}"#;
    for message in [&b"no json"[..], b"{}", b"{\"id\":7}", pushed] {
        let mut script = Script::ready();
        close(&mut script, Duration::ZERO);
        script.receive(message);
        script.advance(Duration::from_mins(1));

        assert_eq!(script.dials.len(), 1, "{message:?}");
        assert!(was_closed(&script));
    }
}

#[test]
fn opening_again_while_closing_or_draining_keeps_the_session() {
    let mut closing = Script::ready();
    close(&mut closing, Duration::ZERO);
    closing.handle(Input::OpenRequested);
    closing.connect();
    assert_eq!(closing.phase(), SessionPhase::Ready);

    let mut draining = Script::ready();
    draining.publish();
    close(&mut draining, DRAIN);
    draining.handle(Input::OpenRequested);
    draining.advance(DRAIN * 2);
    assert_eq!(
        (draining.phase(), draining.dials.len()),
        (SessionPhase::Ready, 1)
    );
}

#[test]
fn close_reports_an_outcome_for_each_pending_publication_and_call() {
    let rpc = || Call::Rpc {
        method: "pay".to_owned(),
        data: "1".into(),
    };
    let mut sent = Script::ready();
    sent.publish();
    sent.call(rpc(), Duration::from_mins(1));
    close(&mut sent, Duration::ZERO);
    sent.lose_connection();
    let mut unsent = Script::new();
    unsent.publish();
    unsent.call(rpc(), Duration::from_mins(1));
    close(&mut unsent, Duration::ZERO);
    let mut never_opened = Script::idle(settings(), 1);
    never_opened.publish();
    close(&mut never_opened, Duration::ZERO);

    let maybe_executed = true;
    assert_eq!(sent.publication_outcomes[0].1, Err(SendError::Interrupted));
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(sent.call_outcomes[0].1, Err(interrupted));
    let closed = Err(SendError::Closed);
    assert_eq!(unsent.publication_outcomes[0].1, closed);
    assert_eq!(unsent.call_outcomes[0].1, Err(CallError::Closed));
    assert_eq!(never_opened.publication_outcomes[0].1, closed);
}

#[test]
fn a_failed_session_ends_publications_and_calls_with_the_cause_and_keeps_subscriptions() {
    let presence = || Call::Presence {
        channel: "chat".to_owned(),
    };
    let long = Duration::from_mins(1);
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    script.publish();
    script.commands();
    script.lose_connection();
    script.publish();
    script.call(presence(), long);
    script.handle(Input::ReconnectRequested);
    script.dial();
    script.reject_connect(ErrorCode::PermissionDenied.reply());
    script.publish();
    script.call(presence(), long);

    let cause = script.snapshot().cause.clone().unwrap();
    let dropped = Err(SendError::Failed(cause.clone()));
    let interrupted = Err(SendError::Interrupted);
    let mut outcomes = script.publication_outcomes.iter();
    assert!(
        outcomes
            .by_ref()
            .map(|it| &it.1)
            .eq([&interrupted, &dropped, &dropped])
    );
    let failed = Err(CallError::Failed(cause));
    assert!(
        script
            .call_outcomes
            .iter()
            .map(|it| &it.1)
            .eq([&failed, &failed])
    );
    assert_eq!(script.subscription_events, []);
    script.handle(Input::RestartRequested);
    script.connect();
    assert!(matches!(
        script.commands()[0].request,
        Request::Subscribe(_)
    ));
}

#[test]
fn a_drain_waits_for_a_reconnect_within_its_deadline() {
    let mut waiting = Script::ready();
    waiting.lose_connection();
    waiting.publish();
    close(&mut waiting, DRAIN);
    let mut lost = Script::ready();
    lost.publish();
    close(&mut lost, DRAIN);
    lost.lose_connection();
    let mut dialing = Script::new();
    dialing.publish();
    close(&mut dialing, DRAIN);
    let mut handshake = Script::new();
    handshake.dial();
    handshake.publish();
    close(&mut handshake, DRAIN);

    for mut script in [waiting, lost, dialing, handshake] {
        script.subscribe("chat", 10);
        if script.snapshot().next_attempt_at.is_some() {
            assert!(script.advance_to_next_dial() <= DRAIN);
        }
        if script.invariants.is_dialing() {
            script.dial();
        }
        script.accept_connect();
        assert_eq!(script.phase(), SessionPhase::Draining);
        let commands = script.commands();
        assert_eq!(commands.len(), 1, "the publication, no subscription");
        script.reply_to(commands[0].id, Ok(ack(1, false)));

        assert_eq!(script.closes, [1_000]);
        script.lose_with(1_000, "");
        assert!(was_closed(&script));
        let outcome = &script.publication_outcomes[0].1;
        assert!(outcome.is_ok());
    }
}

#[test]
fn a_failed_drain_ends_at_its_deadline_with_one_outcome_per_publication() {
    let mut script = Script::ready();
    script.publish();
    script.lose_connection();
    script.publish();
    let closed_at = script.now;
    close(&mut script, DRAIN);
    let rejected = script.publish();
    let dropped = Err(SendError::Closed);
    assert_eq!(
        script.publication_outcomes,
        [(rejected, dropped.clone())],
        "too late"
    );

    while !was_closed(&script) {
        if script.invariants.is_dialing() {
            script.dial_fails();
        }
        script.advance(Duration::from_millis(10));
    }

    assert_eq!(script.now - closed_at, DRAIN);
    let interrupted = Err(SendError::Interrupted);
    let outcomes: Vec<_> = script
        .publication_outcomes
        .iter()
        .skip(1)
        .map(|(_, it)| it)
        .collect();
    assert_eq!(outcomes, [&interrupted, &dropped]);
    let dials = script.dials.len();
    script.advance(Duration::from_hours(1));
    assert_eq!(script.dials.len(), dials);
}

#[test]
fn a_drain_without_a_connection_ends_when_nothing_is_left_to_drain() {
    let mut expired = Script::ready();
    expired.lose_connection();
    expired.publish_for(Some(Duration::from_millis(10)));
    close(&mut expired, Duration::from_mins(1));
    expired.advance(Duration::from_millis(10));
    let mut rejected = Script::ready();
    rejected.publish();
    close(&mut rejected, Duration::from_mins(1));
    rejected.lose_with(3_500, "invalid token");
    let mut closed_again = Script::ready();
    closed_again.lose_connection();
    closed_again.publish();
    close(&mut closed_again, Duration::from_mins(1));
    close(&mut closed_again, Duration::ZERO);

    for script in [expired, rejected, closed_again] {
        assert_eq!(script.state(), SessionState::Disconnected);
        assert!(was_closed(&script));
        assert_eq!(script.invariants.pending(), 0);
    }
}

#[test]
fn opening_again_while_a_drain_waits_keeps_the_session() {
    let mut script = Script::ready();
    script.lose_connection();
    script.publish();
    close(&mut script, DRAIN);
    script.handle(Input::OpenRequested);
    script.advance_to_next_dial();
    script.advance(DRAIN);
    script.connect();

    assert_eq!(script.phase(), SessionPhase::Ready);
    assert_eq!(script.commands().len(), 1);
}
