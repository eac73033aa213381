//! Which peers receive a publication, and how a shard catches up on what it has missed.

use std::time::Duration;

use steadfast_engine::memory::{MemorySettings, Offsets};
use steadfast_engine::{ReadFrom, Rejection, Request};
use steadfast_hub::event::Event;
use steadfast_protocol::message::ReplyResult;

use crate::messages::{position_lost, push, pushes, reply_to, subscribe, subscribed, unsubscribe};
use crate::responses::{checked, first_page, page, unrecoverable};
use crate::script::{EPOCH, Script};

pub(crate) fn a_publication_is_sent_once_to_all_live_subscribers(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (first, second) = (script.subscribe("news", 0), script.subscribe("news", 0));
    let elsewhere = script.subscribe("other", 0);

    script.commit("news", 1);

    assert_eq!(script.fanouts, [vec![first, second]]);
    assert_eq!(script.read(first), [push("news", 1)]);
    assert_eq!(script.read(second), [push("news", 1)]);
    assert_eq!(script.read(elsewhere), []);
}

pub(crate) fn unsubscribed_and_closed_peers_receive_nothing_more(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (stays, unsubscribes, leaves) = (
        script.subscribe("news", 0),
        script.subscribe("news", 0),
        script.subscribe("news", 0),
    );

    script.send(unsubscribes, unsubscribe(3, "news"));
    script.lose_connection(leaves);
    script.commit("news", 1);

    assert_eq!(
        script.read(unsubscribes),
        [reply_to(3, ReplyResult::Unsubscribe)]
    );
    assert_eq!(script.fanouts, [vec![stays]]);
}

pub(crate) fn a_commit_that_was_read_already_is_not_sent_again(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 5);

    script.repeat_newest_commit();
    script.commit("news", 6);

    assert_eq!(script.read(peer), [push("news", 6)]);
}

pub(crate) fn a_publication_that_follows_the_one_before_is_sent_however_far_its_offset_is(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 5);

    for number in 6..=9 {
        script.commit("news", number);
        script.fill("other", number * 10);
    }

    assert_eq!(script.read(peer), pushes("news", 6..=9));
    assert_eq!(script.requests, []);
}

pub(crate) fn a_shard_that_lagged_reads_again_from_its_cursor_and_sends_each_publication_once(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 5);

    script.stop_reading();
    script.fill("news", 9);
    script.continue_reading();
    assert_eq!(script.read(peer), []);
    let Request::Read(read) = &script.requests[0] else {
        panic!("no read")
    };
    assert_eq!(
        read.from,
        ReadFrom::After {
            epoch: EPOCH,
            offset: script.offset("news", 5)
        }
    );
    script.respond(first_page(9, &[6, 7, 8]));
    script.respond(page(9, &[9]));
    script.commit("news", 10);

    assert_eq!(script.read(peer), pushes("news", 6..=10));
}

pub(crate) fn a_gap_between_commits_is_read_again_even_without_a_lagged_event(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 5);

    script.lose("news", 6);
    script.commit("news", 7);
    assert_eq!(script.read(peer), []);
    script.respond(page(7, &[6, 7]));

    assert_eq!(script.read(peer), pushes("news", 6..=7));
}

pub(crate) fn a_subscription_that_was_requested_before_the_lag_has_no_gap(offsets: Offsets) {
    let mut script = Script::new(offsets);
    script.fill("news", 3);
    let peer = script.connect();
    script.send(peer, subscribe(2, "news"));

    script.stop_reading();
    script.respond(checked(3));
    script.fill("news", 6);
    script.continue_reading();
    assert_eq!(script.read(peer), [subscribed(2, 3)]);
    script.respond(page(6, &[4, 5, 6]));

    assert_eq!(script.read(peer), pushes("news", 4..=6));
}

pub(crate) fn a_peer_that_finishes_recovery_while_the_shard_lags_receives_no_duplicates(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let live = script.subscribe("news", 5);
    let late = script.connect();
    script.miss("news", 8);
    let catch_up = script.requests.remove(0);

    script.send(late, subscribe(2, "news"));
    script.respond(checked(8));
    assert_eq!(script.read(late), [subscribed(2, 8)]);
    script.requests.push(catch_up);
    script.commit("news", 9);
    script.respond(first_page(9, &[6, 7, 8]));
    script.respond(page(9, &[9]));
    script.respond(page(9, &[9]));
    script.commit("news", 10);

    assert_eq!(script.read(live), pushes("news", 6..=10));
    assert_eq!(script.read(late), pushes("news", 9..=10));
}

pub(crate) fn a_shard_that_cannot_catch_up_advises_its_subscribers_to_resubscribe(
    offsets: Offsets,
) {
    for rejection in [None, Some(Rejection::WriteFailed)] {
        let mut script = Script::with_memory(MemorySettings {
            offsets,
            history_size: 10,
            ..MemorySettings::for_tests()
        });
        let peer = script.subscribe("news", 5);

        script.miss("news", 20);
        match rejection {
            None => script.respond(unrecoverable(20)),
            Some(rejection) => script.reject(rejection),
        }
        script.commit("news", 21);

        assert_eq!(script.read(peer), [position_lost("news")]);
        assert!(script.events.iter().any(|event| matches!(
            event,
            Event::PositionLost {
                subscriptions: 1,
                ..
            }
        )));
    }
}

pub(crate) fn a_new_channel_epoch_closes_the_subscriptions_of_the_old_one(offsets: Offsets) {
    let ttl = Duration::from_secs(1);
    let mut script = Script::with_memory(MemorySettings {
        offsets,
        history_ttl: ttl,
        channel_ttl: ttl,
        dedup_window: ttl,
        ..MemorySettings::for_tests()
    });
    let peer = script.subscribe("news", 5);

    script.expire_channels();
    script.commit("news", 1);

    assert_eq!(script.read(peer), [position_lost("news")]);
}

pub(crate) fn the_member_list_stays_exact_while_many_members_leave(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let mut members: Vec<_> = (0..20).map(|_| script.subscribe("news", 0)).collect();

    for index in [19, 0, 7, 7, 3] {
        let gone = members.remove(index);
        script.lose_connection(gone);
    }
    script.commit("news", 1);

    let mut reached = script.fanouts.remove(0);
    reached.sort_unstable();
    assert_eq!(reached, members);
}
