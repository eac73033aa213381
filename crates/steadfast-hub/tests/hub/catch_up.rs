//! A shard that lagged reads its channels again: a few at once, in order, and whatever the engine's load is.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_engine::{Rejection, Request};
use steadfast_hub::io::PeerId;
use steadfast_hub::policy::HubSettings;

use crate::messages::{push, pushes, subscribe, subscribed, unsubscribe};
use crate::responses::{checked, first_page, page};
use crate::script::{Script, settings};

/// Channels that are read again; more than `catch_up_reads_max`.
const CHANNELS: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(crate) fn a_shard_that_lagged_reads_a_few_channels_at_once_and_each_of_them_in_turn(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peers = lag(&mut script, 1);

    assert_eq!(reads(&script), ["a", "b"]);
    script.respond(page(1, &[1]));
    assert_eq!(reads(&script), ["b", "c"]);
    for _ in 0..4 {
        assert!(script.requests.len() <= settings().catch_up_reads_max);
        script.respond(page(1, &[1]));
    }

    assert_eq!(script.requests, []);
    for (peer, channel) in peers.into_iter().zip(CHANNELS) {
        assert_eq!(script.read(peer), [push(channel, 1)]);
    }
}

pub(crate) fn a_channel_that_missed_more_than_a_page_lets_the_others_go_first(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            catch_up_reads_max: 1,
            ..settings()
        },
    );
    let (long, short) = (script.subscribe("long", 0), script.subscribe("short", 0));
    script.stop_reading();
    script.fill("long", 4);
    script.fill("short", 1);
    script.continue_reading();

    assert_eq!(reads(&script), ["long"]);
    script.respond(first_page(4, &[1, 2, 3]));
    assert_eq!(reads(&script), ["short"]);
    script.respond(page(1, &[1]));
    assert_eq!(reads(&script), ["long"]);
    script.respond(page(4, &[4]));

    assert_eq!(script.read(long), pushes("long", 1..=4));
    assert_eq!(script.read(short), [push("short", 1)]);
}

pub(crate) fn a_read_that_the_engine_rejects_at_its_limit_is_repeated_and_no_subscriber_is_closed(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            ping_interval: Duration::from_hours(1),
            ..settings()
        },
    );
    let peers = lag(&mut script, 1);

    for pause in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        while !script.requests.is_empty() {
            script.reject(Rejection::Limit);
        }
        script.advance(Duration::from_millis(pause - 1));
        assert_eq!(script.requests, []);
        script.advance(Duration::from_millis(1));
        assert_eq!(script.requests.len(), 2);
    }
    for _ in CHANNELS {
        script.respond(page(1, &[1]));
    }

    for (peer, channel) in peers.into_iter().zip(CHANNELS) {
        assert_eq!(script.read(peer), [push(channel, 1)]);
        script.commit(channel, 2);
        assert_eq!(script.read(peer).len(), 1);
    }
}

pub(crate) fn a_response_to_an_earlier_read_does_not_end_the_pause_after_a_rejection(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    lag(&mut script, 1);

    for pause in [100, 200] {
        script.reject(Rejection::Limit);
        script.respond(page(1, &[1]));
        assert_eq!(script.requests, []);
        script.advance(Duration::from_millis(pause - 1));
        assert_eq!(script.requests, []);
        script.advance(Duration::from_millis(1));
        assert_eq!(script.requests.len(), 2);
    }
}

pub(crate) fn a_channel_without_members_is_not_read_again(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peers = lag(&mut script, 1);

    script.send(peers[2], unsubscribe(3, "c"));
    script.lose_connection(peers[3]);
    script.respond(page(1, &[1]));
    script.respond(page(1, &[1]));

    assert_eq!(reads(&script), ["e"]);
    assert_eq!(script.channel_count(), 3);
}

pub(crate) fn a_channel_whose_last_member_leaves_during_a_read_is_not_read_further(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("a", 0);
    script.miss("a", 4);

    assert_eq!(reads(&script), ["a"]);
    script.lose_connection(peer);
    script.respond(first_page(4, &[1, 2, 3]));

    assert_eq!(script.requests, []);
    assert_eq!(script.channel_count(), 0);
}

pub(crate) fn a_channel_that_was_not_read_further_begins_again_with_its_next_member(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            catch_up_reads_max: 1,
            ..settings()
        },
    );
    let first = script.subscribe("a", 0);
    script.miss("a", 4);
    // The response to a cancelled subscription keeps the channel known.
    let cancelled = script.connect();
    script.send(cancelled, subscribe(2, "a"));
    script.lose_connection(cancelled);
    script.lose_connection(first);
    script.respond(first_page(4, &[1, 2, 3]));
    assert_eq!(script.requests.len(), 1, "only the cancelled one");

    let next = script.connect();
    script.send(next, subscribe(2, "a"));
    script.respond(checked(4));
    script.commit("a", 5);
    script.respond(checked(5));
    script.commit("a", 6);

    assert_eq!(script.read(next), [subscribed(2, 5), push("a", 6)]);
}

pub(crate) fn a_shard_that_lags_again_while_it_catches_up_reads_each_channel_once(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peers = lag(&mut script, 1);

    script.stop_reading();
    for channel in CHANNELS {
        script.commit(channel, 2);
    }
    script.continue_reading();
    for _ in CHANNELS {
        script.respond(page(2, &[1, 2]));
    }

    assert_eq!(script.requests, []);
    for (peer, channel) in peers.into_iter().zip(CHANNELS) {
        assert_eq!(script.read(peer), pushes(channel, 1..=2));
    }
}

/// A peer in each channel that has missed this many publications: the shard has just been notified that it lagged.
fn lag(script: &mut Script, missed: u64) -> Vec<PeerId> {
    let peers = CHANNELS.map(|channel| script.subscribe(channel, 0));
    script.stop_reading();
    for channel in CHANNELS {
        script.fill(channel, missed);
    }
    script.continue_reading();
    peers.to_vec()
}

/// The channels of the pending reads.
fn reads(script: &Script) -> Vec<&str> {
    let requests = script.requests.iter();
    requests
        .map(|request| match request {
            Request::Read(read) => read.channel.as_str(),
            Request::Append(append) => panic!("{append:?}"),
        })
        .collect()
}
