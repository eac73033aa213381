//! Subscribing at a position: what the reply contains, what follows, and when it is rejected.

use steadfast_engine::memory::{MemorySettings, Offsets};
use steadfast_engine::{ChannelEpoch, ReadFrom, Rejection, Request};
use steadfast_hub::io::{Input, PeerId};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::SubscribeRequest;

use crate::messages::{
    error, position, position_lost, push, pushes, recover, recovered, subscribe, subscribe_with,
    subscribed, unrecovered, unsubscribe,
};
use crate::responses::{checked, first_page, page, unrecoverable};
use crate::script::{EPOCH, EPOCH_TEXT, Script};

pub(crate) fn a_recovered_reply_contains_the_missed_publications_and_the_requested_offset(
    offsets: Offsets,
) {
    let mut script = with_publications(offsets, 5);
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.respond(page(5, &[4, 5]));

    assert_eq!(script.read(peer), [recovered(2, 3, &[4, 5])]);
}

pub(crate) fn a_long_recovery_continues_with_pushes_before_live_publications(offsets: Offsets) {
    let mut script = with_publications(offsets, 7);
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.respond(first_page(7, &[1, 2, 3]));
    script.commit("news", 8);
    let Request::Read(read) = &script.requests[0] else {
        panic!("no read")
    };
    assert_eq!(
        read.from,
        ReadFrom::After {
            epoch: EPOCH,
            offset: script.offset("news", 3)
        }
    );
    script.respond(first_page(8, &[4, 5, 6]));
    script.respond(page(8, &[7, 8]));
    script.commit("news", 9);

    let mut expected = vec![recovered(2, 0, &[1, 2, 3])];
    expected.extend(pushes("news", 4..=9));
    assert_eq!(script.read(peer), expected);
}

pub(crate) fn a_long_recovery_awaits_an_empty_send_buffer(offsets: Offsets) {
    let mut script = with_publications(offsets, 7);
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.handle(Input::SendBuffer { peer, bytes: 1000 });
    script.respond(first_page(7, &[1, 2, 3]));
    assert!(script.requests.is_empty());
    script.handle(Input::Drained { peer });
    script.respond(first_page(7, &[4, 5, 6]));
    script.respond(page(7, &[7]));

    let mut expected = vec![recovered(2, 0, &[1, 2, 3])];
    expected.extend(pushes("news", 4..=7));
    assert_eq!(script.read(peer), expected);
}

pub(crate) fn a_long_recovery_continues_past_the_position_of_a_lagging_shard(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let live = script.subscribe("news", 5);
    for number in 6..=9 {
        script.lose("news", number);
    }

    let back = recovering(&mut script, EPOCH_TEXT, 4);
    script.respond(first_page(9, &[5, 6, 7]));
    script.respond(page(9, &[8, 9]));
    assert_eq!(script.requests, [], "the shard has to catch up first");
    script.commit("news", 10);
    script.respond(first_page(10, &[6, 7, 8]));
    script.respond(page(10, &[9, 10]));
    script.respond(page(10, &[10]));
    script.commit("news", 11);

    let mut expected = vec![recovered(2, 4, &[5, 6, 7])];
    expected.extend(pushes("news", 8..=11));
    assert_eq!(script.read(back), expected);
    assert_eq!(script.read(live), pushes("news", 6..=11));
}

pub(crate) fn an_unknown_position_is_not_recovered_and_returns_no_publications(offsets: Offsets) {
    for (epoch, offset) in [
        ("", 3),
        ("foreign", 3),
        ("000000000000000f.0", 3),
        (EPOCH_TEXT, 99),
    ] {
        let mut script = with_publications(offsets, 5);
        let peer = recovering(&mut script, epoch, offset);

        script.respond(if epoch.parse::<ChannelEpoch>().is_ok() {
            unrecoverable(5)
        } else {
            checked(5)
        });
        script.commit("news", 6);

        assert_eq!(
            script.read(peer),
            [unrecovered(2, 5), push("news", 6)],
            "{epoch} {offset}"
        );
    }
}

pub(crate) fn the_start_of_the_history_is_recovered_only_if_nothing_was_removed_there(
    offsets: Offsets,
) {
    let mut script = Script::with_memory(MemorySettings {
        offsets,
        history_size: 2,
        ..MemorySettings::for_tests()
    });
    script.fill("news", 2);
    let (intact, truncated, empty) = (
        recovering(&mut script, "", 0),
        recovering(&mut script, "", 0),
        recovering_in(&mut script, "silent", "", 0),
    );

    script.respond(page(2, &[1, 2]));
    script.commit("news", 3);
    script.respond(page(3, &[2, 3]));
    script.respond(page(0, &[]));

    assert_eq!(
        script.read(intact),
        [recovered(2, 0, &[1, 2]), push("news", 3)]
    );
    assert_eq!(script.read(truncated), [unrecovered(2, 3)]);
    assert_eq!(script.read(empty), [recovered(2, 0, &[])]);
}

pub(crate) fn a_client_that_requests_it_gets_error_112_and_no_subscription(offsets: Offsets) {
    let mut script = with_publications(offsets, 5);
    let peer = script.connect();

    let request = SubscribeRequest {
        channel: "news".to_owned(),
        recover: true,
        position: position("gone", 3),
        flag: 2,
        ..SubscribeRequest::default()
    };
    script.send(peer, subscribe_with(2, request));
    script.respond(checked(5));
    script.commit("news", 6);

    assert_eq!(
        script.read(peer),
        [error(2, ErrorCode::UnrecoverablePosition)]
    );
    assert_eq!(script.channel_count(), 0);
}

pub(crate) fn a_shard_at_the_high_watermark_replies_without_a_request_to_the_log(offsets: Offsets) {
    let mut script = Script::new(offsets);
    script.subscribe("news", 5);
    script.commit("news", 6);

    let fresh = script.connect();
    script.send(fresh, subscribe(2, "news"));
    let back = recovering(&mut script, EPOCH_TEXT, 6);

    assert!(script.requests.is_empty());
    assert_eq!(script.read(fresh), [subscribed(2, 6)]);
    assert_eq!(script.read(back), [recovered(2, 6, &[])]);
}

pub(crate) fn a_lagging_shard_requests_a_position_that_it_has_not_reached_from_the_log(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.subscribe("news", 5);
    script.stop_reading();
    script.commit("news", 6);

    // The client received publication 6 from another shard, which had read further.
    let peer = recovering(&mut script, EPOCH_TEXT, 6);
    assert_eq!(script.requests.len(), 1);
    script.continue_reading();
    script.respond(page(6, &[]));
    script.commit("news", 7);

    assert_eq!(script.read(peer), [recovered(2, 6, &[]), push("news", 7)]);
}

pub(crate) fn a_lagging_shard_requests_an_epoch_that_it_has_not_seen_from_the_log(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.subscribe("news", 5);

    let peer = recovering(&mut script, "000000000000000f.0", 1);

    assert_eq!(script.requests.len(), 1);
    script.respond(unrecoverable(5));
    assert_eq!(script.read(peer), [unrecovered(2, 5)]);
}

pub(crate) fn commits_between_request_and_response_are_in_the_response_and_not_sent_twice(
    offsets: Offsets,
) {
    let mut script = with_publications(offsets, 3);
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.commit("news", 4);
    script.commit("news", 5);
    script.respond(page(5, &[4, 5]));
    script.commit("news", 6);

    assert_eq!(
        script.read(peer),
        [recovered(2, 3, &[4, 5]), push("news", 6)]
    );
}

pub(crate) fn a_recovery_that_retention_overtakes_is_closed_with_2500(offsets: Offsets) {
    for rejection in [None, Some(Rejection::NoSpace)] {
        let mut script = Script::with_memory(MemorySettings {
            offsets,
            history_size: 80,
            ..MemorySettings::for_tests()
        });
        script.fill("news", 7);
        let peer = recovering(&mut script, EPOCH_TEXT, 0);

        script.respond(first_page(7, &[1, 2, 3]));
        script.fill("news", 90);
        match rejection {
            None => script.respond(unrecoverable(90)),
            Some(rejection) => script.reject(rejection),
        }
        script.commit("news", 91);

        assert_eq!(
            script.read(peer),
            [recovered(2, 0, &[1, 2, 3]), position_lost("news")]
        );
    }
}

pub(crate) fn a_subscription_that_the_log_rejects_is_removed(offsets: Offsets) {
    let mut script = with_publications(offsets, 3);
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.reject(Rejection::WriteFailed);

    assert_eq!(script.read(peer), [error(2, ErrorCode::Internal)]);
    assert_eq!(script.channel_count(), 0);
}

pub(crate) fn a_second_subscription_to_a_channel_and_one_above_the_limit_are_rejected(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("one", 0);
    script.send(peer, subscribe(3, "one"));
    for (id, channel) in [(4, "two"), (5, "three"), (6, "four")] {
        script.send(peer, subscribe(id, channel));
    }

    assert_eq!(
        script.read(peer),
        [
            error(3, ErrorCode::AlreadySubscribed),
            error(6, ErrorCode::LimitExceeded),
        ]
    );
    assert_eq!(script.requests.len(), 2);
}

/// The storage may serve a later request first.
pub(crate) fn a_page_for_a_cancelled_subscription_is_not_used_for_the_next_one(offsets: Offsets) {
    let mut script = with_publications(offsets, 2000);
    let peer = recovering(&mut script, EPOCH_TEXT, 1000);
    script.respond(first_page(2000, &[1001, 1002, 1003]));
    let late = script.requests.remove(0);
    script.send(peer, unsubscribe(3, "news"));
    script.send(peer, recover(4, "news", EPOCH_TEXT, 1));
    script.respond(first_page(2000, &[2, 3, 4]));
    script.read(peer);

    script.requests.insert(0, late);
    script.respond(first_page(2000, &[1004, 1005, 1006]));
    script.respond(first_page(2000, &[5, 6, 7]));

    assert_eq!(script.read(peer), pushes("news", 5..=7));
}

fn with_publications(offsets: Offsets, newest: u64) -> Script {
    let mut script = Script::new(offsets);
    script.fill("news", newest);
    script
}

fn recovering(script: &mut Script, epoch: &str, offset: u64) -> PeerId {
    recovering_in(script, "news", epoch, offset)
}

fn recovering_in(script: &mut Script, channel: &str, epoch: &str, offset: u64) -> PeerId {
    let peer = script.connect();
    script.send(peer, recover(2, channel, epoch, offset));
    peer
}
