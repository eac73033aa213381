//! Answers that come late, never, or say no: each publication is repeated with its key as long as that is safe, and
//! ends with what is known about it.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::io::{Call, CallError, Delivery, DropReason, Feed, Input};
use steadfast_protocol::codes::{ErrorCode, with_retry_in};
use steadfast_protocol::message::{Command, ReplyResult, Request};

use crate::script::{Script, ack, at, key_of, settings, stands};

const INTERRUPTED: Delivery = Delivery::Interrupted {
    maybe_delivered: true,
};

fn one_command(script: &mut Script) -> Command {
    let mut commands = script.commands();
    assert_eq!(commands.len(), 1, "{commands:?}");
    commands.remove(0)
}

/// The seconds after which each sending comes while the server lives and answers nothing, up to its end.
fn sendings(script: &mut Script) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut second = 0;
    while script.account.owed() > 0 {
        for command in script.commands() {
            assert_eq!(key_of(&command).as_deref(), Some("k1"));
            sent.push(second);
        }
        script.pass_alive(1);
        second += 1;
        assert!(second < 1_000, "open for ever");
    }
    sent.push(second);
    sent
}

#[test]
fn what_a_living_server_does_not_answer_is_repeated_with_its_key_and_ends_with_the_memory_for_it() {
    let mut script = Script::ready();
    script.publish();

    // The server remembers keys for 100 s; the last number is the end.
    assert_eq!(sendings(&mut script), [0, 10, 30, 70, 100]);
    assert_eq!(script.resolved[0].1, INTERRUPTED);
    assert_eq!(script.last_loss(), None);
}

/// A slow uplink takes some each second, and is never through.
fn pass_clogged(script: &mut Script, seconds: u64) -> usize {
    let attempt = script.attempt();
    let mut sent = 0;
    for second in 0..seconds {
        let bytes = 1_000_000 - second;
        script.handle(Input::Unsent { attempt, bytes });
        script.pass_alive(1);
        sent += script.commands().len();
    }
    sent
}

#[test]
fn what_may_still_wait_for_the_socket_is_not_sent_again() {
    let mut script = Script::ready();
    script.publish();
    script.publish_for(Some(Duration::from_secs(25)));
    script.commands();

    assert_eq!(pass_clogged(&mut script, 60), 0);
    // Nobody waits longer for that.
    assert_eq!(script.resolved.len(), 1);
    let attempt = script.attempt();
    script.handle(Input::Unsent { attempt, bytes: 0 });
    assert!(script.commands().is_empty());
    script.pass_alive(10);
    one_command(&mut script);

    // A link that is never through ends it with the memory for it.
    let mut script = Script::ready();
    script.publish();
    script.commands();
    assert_eq!(pass_clogged(&mut script, 99), 0);
    assert_eq!(script.account.owed(), 1);
    assert_eq!(pass_clogged(&mut script, 2), 0);
    assert_eq!(script.resolved[0].1, INTERRUPTED);
}

#[test]
fn nobody_waits_longer_for_an_answer_than_he_wants() {
    let mut script = Script::ready();
    script.publish_for(Some(Duration::from_secs(25)));

    assert_eq!(sendings(&mut script), [0, 10, 30]);
    assert_eq!(script.resolved[0].1, INTERRUPTED);
}

#[test]
fn the_answer_to_any_sending_is_an_answer_and_the_others_are_nothing() {
    for answered in [0, 1, 2] {
        let mut script = Script::ready();
        script.publish();
        let mut commands = vec![one_command(&mut script)];
        script.pass_alive(10);
        commands.push(one_command(&mut script));
        script.pass_alive(20);
        commands.push(one_command(&mut script));

        script.answer(commands[answered].id, Ok(ack(4, false)));
        assert_eq!(script.account.owed(), 0, "sending {answered}");
        for command in &commands {
            script.answer(command.id, Ok(ack(4, true)));
            script.answer(command.id, Err(ErrorCode::Internal.reply()));
        }

        assert_eq!(script.resolved.len(), 1);
        assert_eq!(script.snapshot().unanswered, 0);
        script.publish();
        one_command(&mut script);
    }
}

#[test]
fn a_late_no_to_an_earlier_sending_leaves_it_to_the_newer_one() {
    for late in [ErrorCode::TooManyRequests, ErrorCode::PermissionDenied] {
        let mut script = Script::ready();
        script.publish();
        let first = one_command(&mut script);
        script.pass_alive(10);
        let second = one_command(&mut script);
        script.answer(first.id, Err(late.reply()));
        assert_eq!(script.account.owed(), 1);
        assert_eq!(script.snapshot().unanswered, 1);
        script.answer(second.id, Ok(ack(1, false)));

        let delivery = &script.resolved[0].1;
        assert!(matches!(delivery, Delivery::Acknowledged { .. }));
    }
}

#[test]
fn a_no_for_good_proves_nothing_about_a_sending_without_an_answer() {
    let refusal = ErrorCode::PermissionDenied.reply();
    let mut lost = Script::ready();
    lost.publish();
    one_command(&mut lost);
    lost.lose();
    lost.pass_until_dial();
    lost.connect();
    let mut overdue = Script::ready();
    overdue.publish();
    one_command(&mut overdue);
    overdue.pass_alive(10);

    for mut script in [lost, overdue] {
        let again = one_command(&mut script);
        script.answer(again.id, Err(refusal.clone()));
        assert_eq!(script.resolved[0].1, INTERRUPTED);
    }

    let mut only_one = Script::ready();
    only_one.publish();
    let command = one_command(&mut only_one);
    only_one.answer(command.id, Err(refusal.clone()));
    let dropped = Delivery::Dropped(DropReason::Refused(refusal));
    assert_eq!(only_one.resolved[0].1, dropped);
}

/// The process stands still, and reads what its socket holds before it hears of any deadline.
fn stand_still(script: &mut Script) {
    script.now = script.now + Duration::from_mins(5);
}

#[test]
fn a_process_that_stood_still_sends_nothing_that_is_over() {
    let mut expired = Script::new();
    expired.publish_for(Some(Duration::from_secs(5)));
    let mut forgotten = Script::ready();
    forgotten.publish();
    one_command(&mut forgotten);
    forgotten.lose();
    forgotten.pass_until_dial();
    for (mut script, outcome) in [(expired, Delivery::Expired), (forgotten, INTERRUPTED)] {
        script.dial();
        stand_still(&mut script);
        script.greet();
        assert!(script.commands().is_empty(), "{outcome:?}");
        // What is wanted still goes out behind it.
        script.publish();
        one_command(&mut script);
        script.pass(Duration::ZERO);
        assert_eq!(script.resolved[0].1, outcome);
    }

    // The same while the connection holds: the pause of a refusal ends in the sleep.
    let mut held = Script::ready();
    held.publish();
    let command = one_command(&mut held);
    held.answer(command.id, Err(ErrorCode::Internal.reply()));
    stand_still(&mut held);
    held.hear();
    assert!(held.commands().is_empty());
    held.pass(Duration::ZERO);
    assert_eq!(held.resolved[0].1, INTERRUPTED);
}

#[test]
fn a_call_whose_caller_has_given_up_is_not_executed() {
    let mut script = Script::new();
    let call = || Call::Rpc {
        method: "m".to_owned(),
        data: Bytes::from_static(b"1"),
    };
    script.call(call(), Duration::from_secs(5));
    script.call(call(), Duration::from_hours(1));
    script.dial();
    stand_still(&mut script);
    script.greet();
    script.pass(Duration::ZERO);

    let maybe_executed = false;
    let outcomes: Vec<_> = script.answered.iter().map(|(_, it)| it.clone()).collect();
    assert_eq!(outcomes, [Err(CallError::TimedOut { maybe_executed })]);
    one_command(&mut script);
}

#[test]
fn a_client_that_obeys_no_hints_pauses_all_the_same() {
    let mut settings = settings();
    settings.backoff.hint_max = Duration::ZERO;
    settings.backoff.floor = Duration::ZERO;
    let mut script = Script::with(settings, 1);
    script.connect();
    script.publish();
    let asked = refused_for(&mut script, ErrorCode::TooManyRequests, 600);

    assert!((25..=45).contains(&asked), "{asked} times in ten minutes");
}

/// The server has this answer to everything for so long. What is known at the end?
fn refused_for(script: &mut Script, code: ErrorCode, seconds: u64) -> usize {
    let mut asked = 0;
    for _ in 0..seconds {
        for command in script.commands() {
            asked += 1;
            script.answer(command.id, Err(code.reply()));
        }
        script.pass_alive(1);
    }
    asked
}

#[test]
fn a_server_that_says_not_now_for_long_is_asked_ever_less_often_and_loses_nothing() {
    let mut waits = Script::ready();
    waits.publish();
    let asked = refused_for(&mut waits, ErrorCode::TooManyRequests, 600);
    assert!((25..=45).contains(&asked), "{asked} times in ten minutes");
    while waits.snapshot().unanswered == 0 {
        waits.pass_alive(1);
    }
    let command = one_command(&mut waits);
    waits.answer(command.id, Ok(ack(1, false)));
    let delivery = &waits.resolved[0].1;
    assert!(matches!(delivery, Delivery::Acknowledged { .. }));

    // It was never applied, so it expires; who failed cannot say that.
    let mut expires = Script::ready();
    expires.publish_for(Some(Duration::from_secs(50)));
    refused_for(&mut expires, ErrorCode::TooManyRequests, 60);
    assert_eq!(expires.resolved[0].1, Delivery::Expired);
    let mut in_doubt = Script::ready();
    in_doubt.publish();
    refused_for(&mut in_doubt, ErrorCode::Internal, 110);
    assert_eq!(in_doubt.resolved[0].1, INTERRUPTED);
}

#[test]
fn a_server_that_says_when_to_come_back_is_obeyed() {
    let mut script = Script::ready();
    script.publish();
    let command = one_command(&mut script);
    let text = with_retry_in("busy", Duration::from_secs(8));
    script.answer(command.id, Err(ErrorCode::TooManyRequests.reply_with(text)));

    script.pass_alive(7);
    assert!(script.commands().is_empty());
    script.pass_alive(3);
    one_command(&mut script);
}

#[test]
fn the_longest_pause_counts_of_those_that_are_asked_for_together() {
    let hint = || with_retry_in("busy", Duration::from_secs(8));
    for texts in [[hint(), "busy".to_owned()], ["busy".to_owned(), hint()]] {
        let mut script = Script::ready();
        script.publish();
        script.publish();
        for (command, text) in script.commands().iter().zip(texts) {
            let refusal = ErrorCode::TooManyRequests.reply_with(text);
            script.answer(command.id, Err(refusal));
        }

        script.pass_alive(7);
        assert!(script.commands().is_empty());
        script.pass_alive(3);
        one_command(&mut script);
    }
}

#[test]
fn a_subscription_that_a_living_server_does_not_answer_is_asked_for_again() {
    let mut script = Script::ready();
    script.subscribe("room", 10);
    let first = one_command(&mut script);
    script.pass_alive(11);
    let commands = script.commands();
    assert!(
        matches!(
            (&commands[0].request, &commands[1].request),
            (Request::Unsubscribe(_), Request::Subscribe(_))
        ),
        "{commands:?}"
    );
    // The answer to a question that was taken back.
    script.answer(first.id, Ok(ReplyResult::Subscribe(stands(at(1)))));
    assert!(script.drain_feeds().is_empty());

    let answer = ReplyResult::Subscribe(stands(at(2)));
    script.answer(commands[1].id, Ok(answer));

    assert_eq!(script.drain_feeds(), [Feed::Started { position: at(2) }]);
    script.pass_alive(60);
    assert!(script.commands().is_empty());
}
