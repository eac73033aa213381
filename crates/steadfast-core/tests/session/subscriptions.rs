//! Subscriptions resume from their position, report every gap, and deliver no faster than the application consumes.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{
    Input, Item, SubscribeOptions, SubscriptionEvent, UnsubscribeCause,
};
use steadfast_core::event::{SessionPhase, SessionState};
use steadfast_core::io::{ConnectionLoss, SubscriptionId};
use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode, with_retry_in};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelName, Command, Position, Push, PushEvent, Reply, ReplyError, Request,
};

use crate::script::{EPOCH, Script, at, item, recovered, settings, subscribed};

fn gap(from: Option<Position>, to: Position) -> SubscriptionEvent {
    SubscriptionEvent::Gap { from, to }
}

fn reconnect(script: &mut Script) {
    if script.invariants.is_open() {
        script.lose_connection();
    }
    script.redial();
    script.connect();
}

fn unsubscribe_push(script: &mut Script, code: UnsubscribeCode) {
    script.reply(&Reply::Push(Push {
        channel: ChannelName::from("chat"),
        event: PushEvent::Unsubscribe {
            code: code.code(),
            reason: "test".to_owned(),
        },
    }));
}

/// The position from which a subscribe command recovers.
fn recovers_from(command: &Command) -> Option<Position> {
    let Request::Subscribe(it) = &command.request else {
        panic!("{command:?}");
    };
    it.recover.then(|| it.position.clone())
}

#[test]
fn a_loss_before_the_first_message_is_recovered() {
    // The position is that of the reply, not only that of messages.
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    script.reply_to_subscribe(subscribed(at(7)));
    reconnect(&mut script);
    let command = script.reply_to_subscribe(recovered(at(7), &[8]));

    assert_eq!(recovers_from(&command), Some(at(7)));
    assert_eq!(
        script.drain_subscription_events(),
        [
            SubscriptionEvent::Subscribed { position: at(7) },
            SubscriptionEvent::Resumed { position: at(7) },
            SubscriptionEvent::Item(Item::Publication(item(8))),
        ]
    );
}

#[test]
fn a_message_above_the_limit_that_ends_each_connection_becomes_a_gap_and_later_ones_arrive() {
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    script.reply_to_subscribe(subscribed(at(1)));
    let mut attempt = |delivered: Option<u64>, reply| {
        if let Some(offset) = delivered {
            script.push("chat", offset);
        }
        script.drain_subscription_events();
        script.receive_too_large_message();
        reconnect(&mut script);
        recovers_from(&script.reply_to_subscribe(reply))
    };

    let first = attempt(None, recovered(at(1), &[]));
    // There was progress, so this is the first time at a position.
    let second = attempt(Some(2), recovered(at(2), &[]));
    let third = attempt(None, subscribed(at(9)));
    script.push("chat", 10);

    assert_eq!([first, second, third], [Some(at(1)), Some(at(2)), None]);
    assert_eq!(
        script.drain_subscription_events(),
        [
            gap(Some(at(2)), at(9)),
            SubscriptionEvent::Item(Item::Publication(item(10))),
        ]
    );
}

#[test]
fn a_channel_in_which_nothing_is_missing_has_no_gap_because_of_a_message_above_the_limit() {
    let mut script = Script::ready();
    script.subscribe("quiet", 100);
    script.reply_to_subscribe(subscribed(at(1)));
    for reply in [recovered(at(1), &[]), subscribed(at(1))] {
        script.receive_too_large_message();
        reconnect(&mut script);
        script.reply_to_subscribe(reply);
    }

    let resumed = SubscriptionEvent::Resumed { position: at(1) };
    let subscribed = SubscriptionEvent::Subscribed { position: at(1) };
    assert_eq!(
        script.drain_subscription_events(),
        [subscribed, resumed.clone(), resumed]
    );
}

#[test]
fn a_recovery_may_be_split_and_interrupted() {
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    script.reply_to_subscribe(subscribed(at(1)));
    reconnect(&mut script);
    script.reply_to_subscribe(recovered(at(1), &[2, 3]));
    script.push("chat", 4);
    reconnect(&mut script);
    let command = script.reply_to_subscribe(recovered(at(4), &[]));
    script.push("chat", 4);
    script.push("chat", 5);

    assert_eq!(recovers_from(&command), Some(at(4)));
    let offsets: Vec<u64> = script
        .drain_subscription_events()
        .iter()
        .filter_map(offset)
        .collect();
    assert_eq!(offsets, [2, 3, 4, 5]);
}

fn offset(event: &SubscriptionEvent) -> Option<u64> {
    let SubscriptionEvent::Item(Item::Publication(publication)) = event else {
        return None;
    };
    Some(publication.offset)
}

#[test]
fn the_position_advances_by_delivered_publications_and_not_by_the_reply() {
    let mut script = Script::ready();
    script.subscribe_since("chat", 100, Some(at(2)));
    // Other servers reply with the high watermark of the channel.
    let mut result = recovered(at(2), &[3, 4]);
    result.position = at(4);
    script.reply_to_subscribe(result);

    let offsets: Vec<u64> = script
        .drain_subscription_events()
        .iter()
        .filter_map(offset)
        .collect();
    assert_eq!(offsets, [3, 4]);
}

#[test]
fn what_is_not_recovered_is_reported_as_a_gap() {
    let other = Position {
        epoch: "other".to_owned(),
        offset: 1,
    };
    // Not recovered; not recovered, in another epoch; recovered in another epoch, where offsets are invalid.
    for (since, result) in [
        (at(4), subscribed(at(9))),
        (at(4), subscribed(other.clone())),
        (at(4), recovered(other, &[])),
    ] {
        let mut script = Script::ready();
        script.subscribe_since("chat", 100, Some(since.clone()));
        let to = result.position.clone();
        script.reply_to_subscribe(result);
        script.push("chat", to.offset + 1);

        assert_eq!(
            script.drain_subscription_events(),
            [
                gap(Some(since), to.clone()),
                SubscriptionEvent::Item(Item::Publication(item(to.offset + 1)))
            ]
        );
    }
}

#[test]
fn a_gap_between_two_pushes_is_reported() {
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    script.reply_to_subscribe(subscribed(at(1)));
    script.push("chat", 2);
    script.push("chat", 5);

    assert_eq!(
        script.drain_subscription_events(),
        [
            SubscriptionEvent::Subscribed { position: at(1) },
            SubscriptionEvent::Item(Item::Publication(item(2))),
            gap(Some(at(2)), at(4)),
            SubscriptionEvent::Item(Item::Publication(item(5))),
        ]
    );
}

#[test]
fn an_invalidated_position_is_not_sent_again_and_reported_as_a_gap() {
    let unrecoverable = ErrorCode::UnrecoverablePosition.reply();
    let mut rejected = Script::ready();
    rejected.subscribe_since("chat", 100, Some(at(3)));
    let first = rejected.commands().remove(0);
    rejected.reply_to(first.id, Err(unrecoverable));
    let mut invalidated = Script::ready();
    invalidated.subscribe("chat", 100);
    invalidated.reply_to_subscribe(subscribed(at(3)));
    invalidated.drain_subscription_events();
    unsubscribe_push(&mut invalidated, UnsubscribeCode::StateInvalidated);
    let mut closed = Script::ready();
    closed.subscribe("chat", 100);
    closed.reply_to_subscribe(subscribed(at(3)));
    closed.drain_subscription_events();
    closed.lose_with(3_014, "state invalidated");
    reconnect(&mut closed);

    for mut script in [rejected, invalidated, closed] {
        let command = script.reply_to_subscribe(subscribed(at(8)));
        assert_eq!(recovers_from(&command), None);
        assert_eq!(
            script.drain_subscription_events(),
            [gap(Some(at(3)), at(8))]
        );
    }
}

#[test]
fn a_server_that_always_rejects_the_position_is_not_flooded_with_requests() {
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    let mut commands = 0;
    for _ in 0..100 {
        for command in script.commands() {
            commands += 1;
            let rejection = ErrorCode::UnrecoverablePosition.reply();
            script.reply_to(command.id, Err(rejection));
        }
        script.advance(Duration::from_millis(100));
        script.receive_pong();
    }

    assert!(commands <= 6, "subscribed {commands} times in ten seconds");
}

#[test]
fn a_slow_consumer_pauses_at_the_server_and_resumes_without_a_gap() {
    let mut script = Script::ready();
    let id = script.subscribe("chat", 4);
    script.reply_to_subscribe(subscribed(at(0)));
    for offset in 1..=6 {
        script.push("chat", offset);
    }

    let offsets: Vec<u64> = script
        .drain_subscription_events()
        .iter()
        .filter_map(offset)
        .collect();
    assert_eq!(offsets, [1, 2, 3, 4], "five events, one over the buffer");
    let invalidated = script.commands();
    assert!(matches!(invalidated[..], [ref it] if matches!(it.request, Request::Unsubscribe(_))));
    script.handle(Input::Consumed { id, items: 5 });
    let command = script.reply_to_subscribe(recovered(at(4), &[5, 6]));
    assert_eq!(recovers_from(&command), Some(at(4)));
    let offsets: Vec<u64> = script
        .drain_subscription_events()
        .iter()
        .filter_map(offset)
        .collect();
    assert_eq!(offsets, [5, 6]);
}

#[test]
fn the_smallest_buffer_does_not_resubscribe_in_a_loop_without_publications() {
    let mut script = Script::ready();
    let id = script.subscribe("chat", 1);
    let mut commands = 0;
    let mut waiting = 0;
    for _ in 0..20 {
        for command in script.commands() {
            if matches!(command.request, Request::Subscribe(_)) {
                commands += 1;
                script.reply_to(
                    command.id,
                    Ok(steadfast_protocol::message::ReplyResult::Subscribe(
                        recovered(at(0), &[]),
                    )),
                );
            }
        }
        waiting += script.drain_subscription_events().len();
        script.handle(Input::Consumed { id, items: waiting });
        waiting = 0;
    }

    assert_eq!(commands, 1);
}

#[test]
fn a_permanent_rejection_ends_one_subscription_and_a_temporary_one_is_retried() {
    let mut script = Script::ready();
    let ended = script.subscribe("secret", 10);
    let first = script.commands().remove(0);
    script.reply_to(first.id, Err(ErrorCode::PermissionDenied.reply()));
    assert!(matches!(
        script.subscription_events[..],
        [(id, SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(ReplyError { code: 103, .. })))]
            if id == ended
    ));

    script.subscribe("chat", 10);
    for own in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000] {
        let pause = pause_after(&mut script, ErrorCode::Internal.reply()).as_millis();
        // The pause is up to a quarter longer, so that clients that were rejected together do not retry together.
        let longest = own * 5 / 4 + 100;
        assert!(pause >= own && pause <= longest, "{pause} after {own}");
    }
    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn a_server_may_delay_a_subscription_for_a_bounded_time() {
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    let text = with_retry_in("busy", Duration::from_hours(1));
    let rejection = ErrorCode::TooManyRequests.reply_with(text);

    let pause = pause_after(&mut script, rejection);

    let bound = settings().link.backoff.retry_after_max;
    let longest = bound * 5 / 4 + Duration::from_millis(100);
    assert!(pause >= bound && pause <= longest, "{pause:?}");
}

/// Rejects a subscribe command, and returns the time until the next subscribe command, which remains unread.
fn pause_after(script: &mut Script, rejection: ReplyError) -> Duration {
    let command = script.inbox.remove(0);
    script.reply_to(command.id, Err(rejection));
    let from = script.now;
    while script.inbox.is_empty() {
        script.advance(Duration::from_millis(100));
        script.receive_pong();
    }
    script.now - from
}

#[test]
fn after_an_unsubscribe_nothing_is_delivered_and_the_channel_can_be_subscribed_again() {
    let mut script = Script::ready();
    let old = script.subscribe("chat", 10);
    script.reply_to_subscribe(subscribed(at(1)));
    script.drain_subscription_events();
    script.handle(Input::UnsubscribeRequested { id: old });
    script.push("chat", 2);
    script.subscribe("chat", 10);
    script.push("chat", 2);
    assert!(script.drain_subscription_events().is_empty());
    script.reply_to_subscribe(subscribed(at(2)));

    assert_eq!(
        script.drain_subscription_events(),
        [SubscriptionEvent::Subscribed { position: at(2) }]
    );
}

#[test]
fn ready_follows_when_every_subscription_that_can_resume_has_resumed() {
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    script.reply_to_subscribe(subscribed(at(1)));
    reconnect(&mut script);
    assert_eq!(script.phase(), SessionPhase::Resuming);
    script.reply_to_subscribe(recovered(at(1), &[]));
    assert_eq!(script.phase(), SessionPhase::Ready);
    assert_eq!(EPOCH, at(1).epoch);
}

#[test]
fn too_long_and_duplicate_channel_names_are_rejected_immediately() {
    let mut script = Script::ready();
    script.subscribe("chat", 10);
    script.subscribe("chat", 10);
    script.subscribe(&"x".repeat(70_000), 10);

    let causes: Vec<_> = script
        .subscription_events
        .iter()
        .map(|(_, it)| match it {
            SubscriptionEvent::Unsubscribed(cause) => cause.to_string(),
            other @ (SubscriptionEvent::Item(_) | _) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        causes,
        [
            "this client has already subscribed to it",
            "invalid subscription: the name has 70000 bytes, above the limit of 255 bytes",
        ]
    );
}

#[test]
fn a_gap_between_two_pushes_counts_in_the_buffer() {
    let mut script = Script::ready();
    // The start, the gap and the first publication.
    script.subscribe("chat", 3);
    script.reply_to_subscribe(subscribed(at(0)));
    script.push("chat", 5);
    assert_eq!(script.commands(), []);

    script.push("chat", 6);

    let commands = script.commands();
    assert!(
        matches!(
            &commands[..],
            [Command {
                request: Request::Unsubscribe(_),
                ..
            }]
        ),
        "{commands:?}"
    );
}

#[test]
fn a_channel_name_may_be_as_long_as_the_limit() {
    for (bytes, is_requested) in [
        (Limits::CHANNEL_BYTES, true),
        (Limits::CHANNEL_BYTES + 1, false),
    ] {
        let mut script = Script::ready();
        script.subscribe(&"c".repeat(bytes), 8);

        assert_eq!(
            script.commands().len(),
            usize::from(is_requested),
            "{bytes}"
        );
    }
}

#[test]
fn the_end_of_an_earlier_connection_by_a_message_above_the_limit_counts_once() {
    let mut script = Script::ready();
    script.subscribe("chat", 100);
    script.reply_to_subscribe(subscribed(at(4)));
    let attempt = script.attempt();
    script.receive_too_large_message();

    let loss = ConnectionLoss::MessageTooLarge("too large".to_owned());
    script.handle(Input::Lost { attempt, loss });
    script.advance_to_next_dial();
    script.connect();

    let command = script.commands().pop().expect("a subscribe command");
    assert_eq!(recovers_from(&command), Some(at(4)));
}

#[test]
fn items_without_a_size_are_limited_by_their_number_only() {
    let mut script = Script::ready();
    let (id, options) = (SubscriptionId(1), SubscribeOptions::new("chat", 10));
    let options = options.buffer_bytes_max(1);
    script.handle(Input::SubscribeRequested { id, options });
    script.reply_to_subscribe(subscribed(at(3)));

    for offset in 4..=8 {
        script.push("chat", offset);
    }

    assert_eq!(script.drain_subscription_events().len(), 6);
    assert_eq!(script.commands(), [], "the subscription is not paused");
}

#[test]
fn without_a_limit_in_bytes_items_that_wait_for_the_application_are_only_counted() {
    let mut script = Script::ready();
    script.subscribe("chat", 1_000);
    script.reply_to_subscribe(subscribed(at(100)));
    script.push("chat", 101);
    let before = script.size();

    for offset in 102..=900 {
        script.push("chat", offset);
    }

    let digits = 8;
    assert!(script.size() <= before + digits, "{}", script.size());
}
