//! Failed only by a terminal code or by policy, revived on demand, closed within the deadline.

use std::time::Duration;

use steadfast_core::event::{Cause, Event, State};
use steadfast_core::io::{Delivery, DropReason, Input};
use steadfast_protocol::message::ReplyError;

use crate::script::{Script, settings};

#[test]
fn a_terminal_code_fails_the_session_and_revive_brings_it_back() {
    let mut script = Script::connected();

    script.close_with(3500, "invalid token");
    script.pass(Duration::from_hours(1));

    assert_eq!(script.snapshot().state, State::Failed);
    assert_eq!(script.dials.len(), 1);
    script.tell(Input::Revived);
    script.accept();
    assert_eq!(script.snapshot().state, State::Connected);
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_and_one_that_cannot_is_not() {
    for (code, temporary, expected) in [(111, true, State::Connecting), (101, false, State::Failed)]
    {
        let mut script = Script::new(settings(), 1);
        let attempt = script.attempt;
        script.tell(Input::Dialled { attempt });
        let connect = script.commands.remove(0);

        script.answer(
            connect.id,
            Err(ReplyError {
                code,
                message: "no".to_owned(),
                temporary,
            }),
        );

        assert_eq!(script.snapshot().state, expected, "{code}");
        assert_eq!(script.abandoned, [attempt]);
    }
}

#[test]
fn a_limit_on_attempts_fails_the_session_by_policy() {
    let mut limited = settings();
    limited.backoff.attempts_max = Some(3);
    let mut script = Script::new(limited, 1);
    script.refuse_dial();
    script.until_dial();
    script.refuse_dial();
    script.until_dial();

    script.refuse_dial();

    let failed = script.events.last();
    let cause = Cause::AttemptsExhausted(3);
    assert_eq!(failed, Some(&Event::Failed { cause }));
}

#[test]
fn a_close_ends_within_its_deadline_although_the_peer_says_nothing() {
    let mut script = Script::connected();
    script.publish(1);

    script.tell(Input::CloseRequested {
        drain: Duration::ZERO,
    });
    assert_eq!(script.hung_up, Some(1000));
    script.pass(Duration::from_secs(5));

    assert_eq!(script.snapshot().state, State::Disconnected);
    assert_eq!(script.events.last(), Some(&Event::Closed));
    let interrupted = Delivery::Interrupted {
        maybe_delivered: true,
    };
    assert_eq!(
        script.outcomes,
        [(steadfast_core::io::PublicationId(1), interrupted)]
    );
}

#[test]
fn a_close_with_a_drain_waits_for_what_is_queued() {
    let mut script = Script::connected();
    script.publish(1);

    script.tell(Input::CloseRequested {
        drain: Duration::from_secs(5),
    });
    assert_eq!(script.hung_up, None);
    let [(id, _)] = script.take_published()[..] else {
        panic!("one publication")
    };
    script.acknowledge(id, 1, false);

    assert_eq!(script.hung_up, Some(1000));
}

#[test]
fn a_close_is_obeyed_in_every_phase() {
    let close = Input::CloseRequested {
        drain: Duration::ZERO,
    };
    let dialing = Script::new(settings(), 1);
    let mut greeting = Script::new(settings(), 1);
    let attempt = greeting.attempt;
    greeting.tell(Input::Dialled { attempt });
    let mut waiting = Script::new(settings(), 1);
    waiting.refuse_dial();
    let mut failed = Script::connected();
    failed.close_with(3500, "invalid token");

    for mut script in [dialing, greeting, waiting, failed] {
        script.publish(1);
        let dials = script.dials.len();
        script.tell(close.clone());
        script.pass(Duration::from_hours(1));

        assert_eq!(script.snapshot().state, State::Disconnected);
        assert_eq!(script.dials.len(), dials);
        let dropped = Delivery::Dropped(DropReason::Closed);
        assert_eq!(script.outcomes.last().map(|(_, it)| it), Some(&dropped));
    }
}
