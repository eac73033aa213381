//! Subscriptions: from their position on, without a silent hole, and no faster than they are read. R16.

use std::time::Duration;

use steadfast_core::event::{Phase, State};
use steadfast_core::io::{Feed, Input};
use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode, with_retry_in};
use steadfast_protocol::message::{Position, Push, PushEvent, Reply, ReplyError, Request};

use crate::script::{EPOCH, Script, at, item, recovered, settings, stands};

fn gap(from: Option<Position>, to: Position) -> Feed {
    Feed::Gap { from, to }
}

fn reconnect(script: &mut Script) {
    if script.account.is_open() {
        script.lose();
    }
    script.handle(Input::Kicked);
    script.connect();
}

fn unsubscribe_push(script: &mut Script, code: UnsubscribeCode) {
    script.reply(&Reply::Push(Push {
        channel: "room".to_owned(),
        event: PushEvent::Unsubscribe {
            code: code.code(),
            reason: "told".to_owned(),
        },
    }));
}

/// The position from which a subscribe command recovers.
fn asked_from(command: &steadfast_protocol::message::Command) -> Option<Position> {
    let Request::Subscribe(it) = &command.request else {
        panic!("{command:?}");
    };
    it.recover.then(|| it.position.clone())
}

#[test]
fn r16_a_loss_before_the_first_message_is_recovered() {
    // The faulty one knows a position from messages alone.
    let faulty = |_of_the_reply: u64, messages: &[u64]| messages.last().copied();
    assert_eq!(faulty(7, &[]), None);

    let mut script = Script::ready();
    script.subscribe("room", 10);
    script.answer_subscribe(stands(at(7)));
    reconnect(&mut script);
    let command = script.answer_subscribe(recovered(at(7), &[8]));

    assert_eq!(asked_from(&command), Some(at(7)));
    assert_eq!(
        script.drain_feeds(),
        [
            Feed::Started { position: at(7) },
            Feed::Resumed { position: at(7) },
            Feed::Item(item(8)),
        ]
    );
}

#[test]
fn a_recovery_may_be_split_and_may_break_off() {
    let mut script = Script::ready();
    script.subscribe("room", 100);
    script.answer_subscribe(stands(at(1)));
    reconnect(&mut script);
    script.answer_subscribe(recovered(at(1), &[2, 3]));
    script.push("room", 4);
    reconnect(&mut script);
    let command = script.answer_subscribe(recovered(at(4), &[]));
    script.push("room", 4);
    script.push("room", 5);

    assert_eq!(asked_from(&command), Some(at(4)));
    let offsets: Vec<u64> = script.drain_feeds().iter().filter_map(offset).collect();
    assert_eq!(offsets, [2, 3, 4, 5]);
}

fn offset(feed: &Feed) -> Option<u64> {
    let Feed::Item(publication) = feed else {
        return None;
    };
    Some(publication.offset)
}

#[test]
fn the_position_moves_by_what_was_handed_over_and_not_by_the_reply() {
    let mut script = Script::ready();
    script.subscribe_since("room", 100, Some(at(2)));
    // Other servers tell the top of the channel here.
    let mut result = recovered(at(2), &[3, 4]);
    result.position = at(4);
    script.answer_subscribe(result);

    let offsets: Vec<u64> = script.drain_feeds().iter().filter_map(offset).collect();
    assert_eq!(offsets, [3, 4]);
}

#[test]
fn what_is_not_recovered_is_a_gap() {
    let other = Position {
        epoch: "other".to_owned(),
        offset: 1,
    };
    // Not recovered; recovered into another history, which no offset survives; a wish that cannot be met.
    for (since, result) in [
        (at(4), stands(at(9))),
        (at(4), stands(other.clone())),
        (at(4), recovered(other, &[])),
    ] {
        let mut script = Script::ready();
        script.subscribe_since("room", 100, Some(since.clone()));
        let to = result.position.clone();
        script.answer_subscribe(result);
        script.push("room", to.offset + 1);

        assert_eq!(
            script.drain_feeds(),
            [
                gap(Some(since), to.clone()),
                Feed::Item(item(to.offset + 1))
            ]
        );
    }
}

#[test]
fn a_hole_between_two_pushes_is_told() {
    let mut script = Script::ready();
    script.subscribe("room", 100);
    script.answer_subscribe(stands(at(1)));
    script.push("room", 2);
    script.push("room", 5);

    assert_eq!(
        script.drain_feeds(),
        [
            Feed::Started { position: at(1) },
            Feed::Item(item(2)),
            gap(Some(at(2)), at(4)),
            Feed::Item(item(5)),
        ]
    );
}

#[test]
fn a_position_that_the_server_calls_void_is_not_offered_again_and_told_as_a_gap() {
    let unrecoverable = ErrorCode::UnrecoverablePosition.reply();
    let mut refused = Script::ready();
    refused.subscribe_since("room", 100, Some(at(3)));
    let first = refused.commands().remove(0);
    refused.answer(first.id, Err(unrecoverable));
    let mut told = Script::ready();
    told.subscribe("room", 100);
    told.answer_subscribe(stands(at(3)));
    told.drain_feeds();
    unsubscribe_push(&mut told, UnsubscribeCode::StateInvalidated);
    let mut closed = Script::ready();
    closed.subscribe("room", 100);
    closed.answer_subscribe(stands(at(3)));
    closed.drain_feeds();
    closed.lose_with(3_014, "state invalidated");
    reconnect(&mut closed);

    for mut script in [refused, told, closed] {
        let command = script.answer_subscribe(stands(at(8)));
        assert_eq!(asked_from(&command), None);
        assert_eq!(script.drain_feeds(), [gap(Some(at(3)), at(8))]);
    }
}

#[test]
fn a_server_that_always_calls_the_position_void_is_not_asked_in_a_loop() {
    let mut script = Script::ready();
    script.subscribe("room", 100);
    let mut asked = 0;
    for _ in 0..100 {
        for command in script.commands() {
            asked += 1;
            let refusal = ErrorCode::UnrecoverablePosition.reply();
            script.answer(command.id, Err(refusal));
        }
        script.pass(Duration::from_millis(100));
        script.hear();
    }

    assert!(asked <= 6, "asked {asked} times in ten seconds");
}

#[test]
fn a_slow_reader_pauses_at_the_server_and_goes_on_without_a_hole() {
    let mut script = Script::ready();
    let id = script.subscribe("room", 4);
    script.answer_subscribe(stands(at(0)));
    for offset in 1..=6 {
        script.push("room", offset);
    }

    let offsets: Vec<u64> = script.drain_feeds().iter().filter_map(offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4], "five feeds, one over the buffer");
    let told = script.commands();
    assert!(matches!(told[..], [ref it] if matches!(it.request, Request::Unsubscribe(_))));
    script.handle(Input::Taken { id, items: 5 });
    let command = script.answer_subscribe(recovered(at(4), &[5, 6]));
    assert_eq!(asked_from(&command), Some(at(4)));
    let offsets: Vec<u64> = script.drain_feeds().iter().filter_map(offset).collect();
    assert_eq!(offsets, [5, 6]);
}

#[test]
fn the_smallest_buffer_does_not_ask_round_and_round_while_nothing_is_published() {
    let mut script = Script::ready();
    let id = script.subscribe("room", 1);
    let mut asked = 0;
    let mut waiting = 0;
    for _ in 0..20 {
        for command in script.commands() {
            if matches!(command.request, Request::Subscribe(_)) {
                asked += 1;
                script.answer(
                    command.id,
                    Ok(steadfast_protocol::message::ReplyResult::Subscribe(
                        recovered(at(0), &[]),
                    )),
                );
            }
        }
        waiting += script.drain_feeds().len();
        script.handle(Input::Taken { id, items: waiting });
        waiting = 0;
    }

    assert_eq!(asked, 1);
}

#[test]
fn a_refusal_for_good_ends_one_subscription_and_a_passing_one_is_asked_again() {
    let mut script = Script::ready();
    let ended = script.subscribe("secret", 10);
    let first = script.commands().remove(0);
    script.answer(first.id, Err(ErrorCode::PermissionDenied.reply()));
    assert!(matches!(script.feeds[..], [(id, Feed::Ended { code: 103, .. })] if id == ended));

    script.subscribe("room", 10);
    for own in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000] {
        let pause = pause_after(&mut script, ErrorCode::Internal.reply()).as_millis();
        // Up to a quarter longer, so that a herd that was refused together does not return together.
        let longest = own * 5 / 4 + 100;
        assert!(pause >= own && pause <= longest, "{pause} after {own}");
    }
    assert_eq!(script.state(), State::Connected);
}

#[test]
fn a_server_may_send_a_subscription_away_for_a_bounded_time() {
    let mut script = Script::ready();
    script.subscribe("room", 10);
    let text = with_retry_in("busy", Duration::from_hours(1));
    let refusal = ErrorCode::TooManyRequests.reply_with(text);

    let pause = pause_after(&mut script, refusal);

    let bound = settings().backoff.hint_max;
    let longest = bound * 5 / 4 + Duration::from_millis(100);
    assert!(pause >= bound && pause <= longest, "{pause:?}");
}

/// Refuses a subscription for the moment, and tells after which time it is asked for again. The question stays open.
fn pause_after(script: &mut Script, refusal: ReplyError) -> Duration {
    let asked = script.inbox.remove(0);
    script.answer(asked.id, Err(refusal));
    let from = script.now;
    while script.inbox.is_empty() {
        script.pass(Duration::from_millis(100));
        script.hear();
    }
    script.now - from
}

#[test]
fn whoever_unsubscribes_hears_nothing_more_and_can_subscribe_again() {
    let mut script = Script::ready();
    let old = script.subscribe("room", 10);
    script.answer_subscribe(stands(at(1)));
    script.drain_feeds();
    script.handle(Input::UnsubscribeRequested { id: old });
    script.push("room", 2);
    script.subscribe("room", 10);
    script.push("room", 2);
    assert!(script.drain_feeds().is_empty());
    script.answer_subscribe(stands(at(2)));

    assert_eq!(script.drain_feeds(), [Feed::Started { position: at(2) }]);
}

#[test]
fn ready_comes_when_all_that_can_stand_again_does() {
    let mut script = Script::ready();
    script.subscribe("room", 10);
    script.answer_subscribe(stands(at(1)));
    reconnect(&mut script);
    assert_eq!(script.phase(), Phase::Resuming);
    script.answer_subscribe(recovered(at(1), &[]));
    assert_eq!(script.phase(), Phase::Ready);
    assert_eq!(EPOCH, at(1).epoch);
}

#[test]
fn a_name_that_no_server_takes_and_a_second_of_the_same_are_refused_at_once() {
    let mut script = Script::ready();
    script.subscribe("room", 10);
    script.subscribe("room", 10);
    script.subscribe(&"x".repeat(70_000), 10);

    assert_eq!(script.feeds.len(), 2);
    assert!(
        script
            .feeds
            .iter()
            .all(|(_, it)| matches!(it, Feed::Ended { .. }))
    );
}
