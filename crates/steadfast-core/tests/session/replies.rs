//! Late, missing and negative replies: each publication is resent with its key while a resend is safe, and its outcome
//! reports exactly what is known.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{
    Call, CallError, Input, SendError, SendResult, SubscriptionEvent,
};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::codes::{ErrorCode, with_retry_in};
use steadfast_protocol::message::{Command, Reply, ReplyResult, Request};

use crate::script::{Script, ack, at, key_of, settings, subscribed};

const INTERRUPTED: SendResult = Err(SendError::Interrupted);

fn one_command(script: &mut Script) -> Command {
    let mut commands = script.commands();
    assert_eq!(commands.len(), 1, "{commands:?}");
    commands.remove(0)
}

/// The seconds after which the commands are sent while the server is alive and does not reply, and the second in which
/// the publication completes.
fn sendings(script: &mut Script) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut second = 0;
    while script.invariants.pending() > 0 {
        for command in script.commands() {
            assert_eq!(key_of(&command).as_deref(), Some("k1"));
            sent.push(second);
        }
        script.keep_alive(1);
        second += 1;
        assert!(second < 1_000, "never completed");
    }
    sent.push(second);
    sent
}

#[test]
fn unacknowledged_publications_are_resent_with_their_key_until_the_resend_window_ends() {
    let mut script = Script::ready();
    script.publish();

    // The resend window is 100 s; the last number is the second of completion.
    assert_eq!(sendings(&mut script), [0, 10, 30, 70, 100]);
    assert_eq!(script.publication_outcomes[0].1, INTERRUPTED);
    assert_eq!(script.last_loss(), None);
}

/// A slow uplink accepts some bytes each second, and its send buffer never becomes empty.
fn pass_write_blocked(script: &mut Script, seconds: u64) -> usize {
    let attempt = script.attempt();
    let mut sent = 0;
    for second in 0..seconds {
        let bytes = 1_000_000 - second;
        script.handle(Input::SendBuffer { attempt, bytes });
        script.keep_alive(1);
        sent += script.commands().len();
    }
    sent
}

#[test]
fn publications_are_not_resent_while_the_send_buffer_may_contain_them() {
    let mut script = Script::ready();
    script.publish();
    script.publish_for(Some(Duration::from_secs(25)));
    script.commands();

    assert_eq!(pass_write_blocked(&mut script, 60), 0);
    // The time to live is not extended.
    assert_eq!(script.publication_outcomes.len(), 1);
    let attempt = script.attempt();
    script.handle(Input::SendBuffer { attempt, bytes: 0 });
    assert!(script.commands().is_empty());
    script.keep_alive(10);
    one_command(&mut script);

    // With a send buffer that never empties, the publication ends with the resend window.
    let mut script = Script::ready();
    script.publish();
    script.commands();
    assert_eq!(pass_write_blocked(&mut script, 99), 0);
    assert_eq!(script.invariants.pending(), 1);
    assert_eq!(pass_write_blocked(&mut script, 2), 0);
    assert_eq!(script.publication_outcomes[0].1, INTERRUPTED);
}

#[test]
fn an_ack_timeout_does_not_extend_the_time_to_live() {
    let mut script = Script::ready();
    script.publish_for(Some(Duration::from_secs(25)));

    assert_eq!(sendings(&mut script), [0, 10, 30]);
    assert_eq!(script.publication_outcomes[0].1, INTERRUPTED);
}

#[test]
fn the_first_acknowledgement_of_any_resend_counts_and_later_replies_are_ignored() {
    for replied in [0, 1, 2] {
        let mut script = Script::ready();
        script.publish();
        let mut commands = vec![one_command(&mut script)];
        script.keep_alive(10);
        commands.push(one_command(&mut script));
        script.keep_alive(20);
        commands.push(one_command(&mut script));

        script.reply_to(commands[replied].id, Ok(ack(4, false)));
        assert_eq!(script.invariants.pending(), 0, "command {replied}");
        for command in &commands {
            script.reply_to(command.id, Ok(ack(4, true)));
            script.reply_to(command.id, Err(ErrorCode::Internal.reply()));
        }

        assert_eq!(script.publication_outcomes.len(), 1);
        assert_eq!(script.snapshot().in_flight, 0);
        script.publish();
        one_command(&mut script);
    }
}

#[test]
fn a_late_rejection_of_an_earlier_command_leaves_the_outcome_to_the_newer_one() {
    for late in [ErrorCode::TooManyRequests, ErrorCode::PermissionDenied] {
        let mut script = Script::ready();
        script.publish();
        let first = one_command(&mut script);
        script.keep_alive(10);
        let second = one_command(&mut script);
        script.reply_to(first.id, Err(late.reply()));
        assert_eq!(script.invariants.pending(), 1);
        assert_eq!(script.snapshot().in_flight, 1);
        script.reply_to(second.id, Ok(ack(1, false)));

        let outcome = &script.publication_outcomes[0].1;
        assert!(outcome.is_ok());
    }
}

#[test]
fn a_permanent_rejection_proves_nothing_about_an_earlier_command_without_a_reply() {
    let rejection = ErrorCode::PermissionDenied.reply();
    let mut lost = Script::ready();
    lost.publish();
    one_command(&mut lost);
    lost.lose_connection();
    lost.advance_to_next_dial();
    lost.connect();
    let mut overdue = Script::ready();
    overdue.publish();
    one_command(&mut overdue);
    overdue.keep_alive(10);

    for mut script in [lost, overdue] {
        let again = one_command(&mut script);
        script.reply_to(again.id, Err(rejection.clone()));
        assert_eq!(script.publication_outcomes[0].1, INTERRUPTED);
    }

    let mut only_one = Script::ready();
    only_one.publish();
    let command = one_command(&mut only_one);
    only_one.reply_to(command.id, Err(rejection.clone()));
    let dropped = Err(SendError::Rejected(rejection));
    assert_eq!(only_one.publication_outcomes[0].1, dropped);
}

/// The process is suspended, and reads from its socket before it handles any deadline.
fn freeze_without_tick(script: &mut Script) {
    script.now = script.now + Duration::from_mins(5);
}

#[test]
fn after_a_suspension_nothing_that_has_expired_is_sent() {
    let mut expired = Script::new();
    expired.publish_for(Some(Duration::from_secs(5)));
    let mut forgotten = Script::ready();
    forgotten.publish();
    one_command(&mut forgotten);
    forgotten.lose_connection();
    forgotten.advance_to_next_dial();
    for (mut script, outcome) in [(expired, Err(SendError::Expired)), (forgotten, INTERRUPTED)] {
        script.dial();
        freeze_without_tick(&mut script);
        script.accept_connect();
        assert!(script.commands().is_empty(), "{outcome:?}");
        // Publications that have not expired are still sent after the suspension.
        script.publish();
        one_command(&mut script);
        script.advance(Duration::ZERO);
        assert_eq!(script.publication_outcomes[0].1, outcome);
    }

    // The same applies while the connection lasts: the pause after a rejection ends during the suspension.
    let mut held = Script::ready();
    held.publish();
    let command = one_command(&mut held);
    held.reply_to(command.id, Err(ErrorCode::Internal.reply()));
    freeze_without_tick(&mut held);
    held.receive_pong();
    assert!(held.commands().is_empty());
    held.advance(Duration::ZERO);
    assert_eq!(held.publication_outcomes[0].1, INTERRUPTED);
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_executed() {
    let mut script = Script::new();
    let call = || Call::Rpc {
        method: "m".to_owned(),
        data: Bytes::from_static(b"1"),
    };
    script.call(call(), Duration::from_secs(5));
    script.call(call(), Duration::from_hours(1));
    script.dial();
    freeze_without_tick(&mut script);
    script.accept_connect();
    script.advance(Duration::ZERO);

    let maybe_executed = false;
    let outcomes: Vec<_> = script
        .call_outcomes
        .iter()
        .map(|(_, it)| it.clone())
        .collect();
    assert_eq!(outcomes, [Err(CallError::TimedOut { maybe_executed })]);
    one_command(&mut script);
}

#[test]
fn without_a_retry_after_a_rejected_client_pauses_all_the_same() {
    let mut settings = settings();
    settings.link.backoff.retry_after_max = Duration::ZERO;
    settings.link.backoff.floor = Duration::ZERO;
    let mut script = Script::with(settings, 1);
    script.connect();
    script.publish();
    let commands = reject_for(&mut script, ErrorCode::TooManyRequests, 600);

    assert!(
        (25..=45).contains(&commands),
        "{commands} times in ten minutes"
    );
}

/// The server rejects every command with this code. Returns the number of commands.
fn reject_for(script: &mut Script, code: ErrorCode, seconds: u64) -> usize {
    let mut commands = 0;
    for _ in 0..seconds {
        for command in script.commands() {
            commands += 1;
            script.reply_to(command.id, Err(code.reply()));
        }
        script.keep_alive(1);
    }
    commands
}

#[test]
fn long_temporary_rejection_slows_the_retries_down_and_loses_nothing() {
    let mut waits = Script::ready();
    waits.publish();
    let commands = reject_for(&mut waits, ErrorCode::TooManyRequests, 600);
    assert!(
        (25..=45).contains(&commands),
        "{commands} times in ten minutes"
    );
    while waits.snapshot().in_flight == 0 {
        waits.keep_alive(1);
    }
    let command = one_command(&mut waits);
    waits.reply_to(command.id, Ok(ack(1, false)));
    let outcome = &waits.publication_outcomes[0].1;
    assert!(outcome.is_ok());

    // A publication that was never applied expires; after an internal error, the outcome is unknown.
    let mut expires = Script::ready();
    expires.publish_for(Some(Duration::from_secs(50)));
    reject_for(&mut expires, ErrorCode::TooManyRequests, 60);
    assert_eq!(expires.publication_outcomes[0].1, Err(SendError::Expired));
    let mut in_doubt = Script::ready();
    in_doubt.publish();
    reject_for(&mut in_doubt, ErrorCode::Internal, 110);
    assert_eq!(in_doubt.publication_outcomes[0].1, INTERRUPTED);
}

#[test]
fn a_requested_retry_delay_is_respected() {
    let mut script = Script::ready();
    script.publish();
    let command = one_command(&mut script);
    let text = with_retry_in("busy", Duration::from_secs(8));
    script.reply_to(command.id, Err(ErrorCode::TooManyRequests.reply_with(text)));

    script.keep_alive(7);
    assert!(script.commands().is_empty());
    script.keep_alive(3);
    one_command(&mut script);
}

#[test]
fn the_longest_of_several_requested_delays_applies() {
    let requested_delay = || with_retry_in("busy", Duration::from_secs(8));
    for texts in [
        [requested_delay(), "busy".to_owned()],
        ["busy".to_owned(), requested_delay()],
    ] {
        let mut script = Script::ready();
        script.publish();
        script.publish();
        for (command, text) in script.commands().iter().zip(texts) {
            let rejection = ErrorCode::TooManyRequests.reply_with(text);
            script.reply_to(command.id, Err(rejection));
        }

        script.keep_alive(7);
        assert!(script.commands().is_empty());
        script.keep_alive(3);
        one_command(&mut script);
    }
}

#[test]
fn a_subscription_without_a_reply_from_a_living_server_is_requested_again() {
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    let first = one_command(&mut script);
    script.keep_alive(11);
    let commands = script.commands();
    assert!(
        matches!(
            (&commands[0].request, &commands[1].request),
            (Request::Unsubscribe(_), Request::Subscribe(_))
        ),
        "{commands:?}"
    );
    // The reply to a request that was given up.
    script.reply_to(first.id, Ok(ReplyResult::Subscribe(subscribed(at(1)))));
    assert!(script.drain_subscription_events().is_empty());

    let result = ReplyResult::Subscribe(subscribed(at(2)));
    script.reply_to(commands[1].id, Ok(result));

    assert_eq!(
        script.drain_subscription_events(),
        [SubscriptionEvent::Subscribed { position: at(2) }]
    );
    script.keep_alive(60);
    assert!(script.commands().is_empty());
}

#[test]
fn a_late_rejection_of_a_publication_that_waits_for_its_paused_channel_is_its_outcome() {
    let mut script = Script::ready();
    let publication = script.publish();
    script.publish();
    let commands = script.commands();
    let mut busy = ErrorCode::TooManyRequests.reply();
    busy.message = with_retry_in(&busy.message, Duration::from_mins(1));
    script.reply_to(commands[1].id, Err(busy));
    // The acknowledgement of the first is overdue, and it is not sent again during the pause.
    script.keep_alive(11);
    assert_eq!(script.snapshot().in_flight, 0);
    assert_eq!(script.commands(), []);

    let rejection = ErrorCode::PermissionDenied.reply();
    script.reply_to(commands[0].id, Err(rejection.clone()));

    let rejected = Err(SendError::Rejected(rejection));
    assert_eq!(script.publication_outcomes, [(publication, rejected)]);
}

#[test]
fn a_loss_leaves_no_doubt_about_a_publication_that_was_not_sent() {
    let in_flight_max = settings().outbox.in_flight_max;
    let mut script = Script::ready();
    for _ in 0..in_flight_max {
        script.publish_in("other", None);
    }
    let unsent = script.publish();
    script.lose_connection();
    script.handle(Input::ReconnectRequested);
    script.connect();
    let key = Some(format!("k{}", unsent.0));
    let mut commands = script.commands().into_iter();
    let sent = commands.find(|it| key_of(it) == key).expect("sent now");

    let rejection = ErrorCode::PermissionDenied.reply();
    script.reply_to(sent.id, Err(rejection.clone()));

    let rejected = (unsent, Err(SendError::Rejected(rejection)));
    assert!(script.publication_outcomes.contains(&rejected));
}

#[test]
fn each_reply_of_one_message_counts() {
    let mut script = Script::ready();
    script.publish();
    script.publish();
    let mut message = Vec::new();
    for (offset, command) in (1..).zip(script.commands()) {
        let reply = Reply::Response {
            id: command.id,
            outcome: Ok(ack(offset, false)),
        };
        if offset > 1 {
            message.extend_from_slice(Encoding::Json.separator());
        }
        Encoding::Json.append_reply(&mut message, &reply);
    }

    script.receive(&message);

    assert_eq!(script.publication_outcomes.len(), 2);
    assert!(script.publication_outcomes.iter().all(|it| it.1.is_ok()));
}
