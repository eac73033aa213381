//! The size of the log stays bounded whatever is appended, and no idempotency key is lost for it.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_engine::{Rejection, Response};
use steadfast_log::event::{Event, LogLimit};
use steadfast_log::policy::{LogPolicy, LogSetting, LogSettings};
use steadfast_machine::{ByteSize, Generator, Seed};

use crate::harness::{Harness, append, idempotent, settings};

const WINDOW: Duration = Duration::from_mins(2);

fn with_segments(segment_kib: u64, segments: u64) -> LogSettings {
    LogSettings {
        segment_bytes: ByteSize::from_kib(segment_kib),
        log_bytes: ByteSize::from_kib(segment_kib * segments),
        ..settings()
    }
}

/// The keys of all acknowledged publications, with the offset and the time of each.
type Keys = BTreeMap<String, (u64, u64)>;

#[test]
fn the_size_of_all_segments_is_bounded_whatever_is_appended() {
    let mut removed = 0;
    let mut rejected = 0;
    for seed in 0..60 {
        let mut random = Seed::new(seed).generator();
        let sizes = [(4, 4), (8, 4), (16, 4), (16, 7), (16, 16)];
        let (segment_kib, segments) = sizes[pick(&mut random, sizes.len())];
        let settings = with_segments(segment_kib, segments);
        let mut harness = Harness::new(settings);
        let mut keys = Keys::new();
        for incarnation in 2..5 {
            for _ in 0..30 {
                step(&mut harness, settings, &mut keys, &mut random);
                let bytes = harness.bytes_peak;
                assert!(
                    bytes <= settings.log_bytes.as_bytes(),
                    "seed {seed}: {bytes}"
                );
            }
            removed += count(&harness, |event| {
                matches!(event, Event::SegmentRemoved { .. })
            });
            rejected += count(&harness, is_limit_of_key_bytes);
            harness = harness.reopen(settings, incarnation);
        }
    }
    assert!(removed > 1_000 && rejected > 20, "{removed} {rejected}");
}

/// Appends in one of several ways that use up space, and checks some keys.
fn step(harness: &mut Harness, settings: LogSettings, keys: &mut Keys, random: &mut Generator) {
    let record_max = usize::try_from(settings.segment_bytes.as_bytes() / 8).unwrap();
    let key_max = if record_max < 1_000 { 20 } else { 60 };
    match random.below(6) {
        0 | 1 => {
            for _ in 0..random.below(200) {
                let len = 1 + pick(random, key_max);
                let key = format!("{}{}", "k".repeat(len), random.below(1 << 40));
                publish_with_key(harness, keys, &key, "1");
            }
        }
        2 | 3 => {
            for _ in 0..random.below(60) {
                let data = "x".repeat(pick(random, record_max));
                publish_any(harness, &format!("channel {}", random.below(5)), &data);
            }
        }
        4 => {
            for _ in 0..random.below(40) {
                let name = format!("{:0>1$}", random.below(1_000), 4 + pick(random, 60));
                publish_any(harness, &name, "1");
            }
        }
        _ => harness.advance(Duration::from_secs(random.below(150))),
    }
    check_keys(harness, keys, random);
}

fn publish_any(harness: &mut Harness, channel: &str, data: &str) {
    let response = harness.publish(append(channel, data));
    let is_expected = match response {
        Response::Appended { .. } => true,
        Response::Rejected(reason) => reason == Rejection::TooManyChannels,
        Response::Read(_) => false,
    };
    assert!(is_expected, "{response:?}");
}

fn publish_with_key(harness: &mut Harness, keys: &mut Keys, key: &str, data: &str) {
    match harness.publish(idempotent("keyed", data, "ann", key)) {
        Response::Appended { offset, .. } => {
            keys.insert(key.to_owned(), (offset, harness.wall));
        }
        Response::Rejected(Rejection::Limit | Rejection::TooManyChannels) => {}
        other @ (Response::Read(_) | Response::Rejected(_)) => panic!("{other:?}"),
    }
}

/// Publishes keys in the window again: each of them must be a repeat.
fn check_keys(harness: &mut Harness, keys: &mut Keys, random: &mut Generator) {
    let window = u64::try_from(WINDOW.as_millis()).unwrap();
    let now = harness.wall;
    keys.retain(|_, (_, at)| now - *at < window);
    for (key, (offset, _)) in keys.iter().filter(|_| random.chance(1, 8)) {
        let (_, found, is_duplicate) = harness.publish_ok(idempotent("keyed", "1", "ann", key));
        assert_eq!((found, is_duplicate), (*offset, true), "{key}");
    }
}

#[test]
fn more_keys_than_the_segments_hold_are_rejected_with_the_size_of_the_log_and_the_others_stay_known()
 {
    let settings = with_segments(16, 8);
    let mut harness = Harness::new(settings);
    let key = |number: u64| format!("{number:0>36}");
    let policy = LogPolicy::new(settings).unwrap();
    let fit = policy.key_bytes_max() / LogPolicy::key_bytes(3, 36);

    let accepted = (0..1_000)
        .take_while(|number| {
            let response = harness.publish(idempotent("a", "1", "ann", &key(*number)));
            response != Response::Rejected(Rejection::Limit)
        })
        .count();

    assert_eq!(u64::try_from(accepted), Ok(fit));
    assert!(fit > 100, "{fit}");
    let limit = LogLimit::IdempotencyKeyBytes;
    assert!(harness.events.contains(&Event::LimitReached { limit }));
    assert_eq!(limit.setting(), LogSetting::LogBytes);
    // The log is replaced several times, in which each key is copied.
    for _ in 0..300 {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }
    assert!(harness.bytes_peak <= settings.log_bytes.as_bytes());
    for number in 0..fit {
        let repeat = harness.publish_ok(idempotent("a", "1", "ann", &key(number)));
        assert_eq!((repeat.1, repeat.2), (number + 1, true));
    }
    harness.advance(WINDOW);
    assert!(!harness.publish_ok(idempotent("a", "1", "ann", "later")).2);
}

#[test]
fn keys_are_copied_only_when_their_segment_is_about_to_be_removed() {
    let mut harness = Harness::new(with_segments(16, 16));
    for number in 0..10 {
        harness.publish_ok(idempotent("a", "1", "ann", &number.to_string()));
    }
    let copied = |event: &Event| {
        if let Event::SegmentCreated {
            idempotency_keys, ..
        } = event
        {
            Some(*idempotency_keys)
        } else {
            None
        }
    };
    for _ in 0..150 {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }

    let copies: Vec<u64> = harness.events.iter().filter_map(copied).collect();

    assert!(copies.len() > 16, "{copies:?}");
    assert_eq!(copies.iter().sum::<u64>(), 10, "{copies:?}");
    assert_eq!(
        copies[15], 10,
        "with the removal of the first segment: {copies:?}"
    );
}

#[test]
fn a_log_with_more_keys_than_a_smaller_log_holds_forgets_the_oldest_ones() {
    let before = with_segments(16, 16);
    let mut harness = Harness::new(before);
    let fit = LogPolicy::new(before).unwrap().key_bytes_max() / LogPolicy::key_bytes(3, 36);
    let key = |number: u64| format!("{number:0>36}");
    for number in 0..fit {
        // Each key has its own time, so that the oldest ones can be forgotten one by one.
        harness.advance(Duration::from_millis(1));
        harness.publish_ok(idempotent("a", "1", "ann", &key(number)));
    }
    let smaller = with_segments(16, 4);
    let left = LogPolicy::new(smaller).unwrap().key_bytes_max() / LogPolicy::key_bytes(3, 36);

    let mut again = harness.reopen(smaller, 2);

    assert!(left < fit, "{left} of {fit}");
    for number in (fit - left)..fit {
        let repeat = again.publish_ok(idempotent("a", "1", "ann", &key(number)));
        assert!(repeat.2, "{number} of {fit}");
    }
    for _ in 0..200 {
        again.publish_ok(append("b", &"x".repeat(2_000)));
    }
    let bytes: u64 = again.disk.list().iter().map(|it| it.bytes).sum();
    assert!(bytes <= smaller.log_bytes.as_bytes(), "{bytes}");
    assert!(
        again
            .publish_ok(idempotent("a", "1", "ann", &key(fit - 1)))
            .2
    );
}

#[test]
fn a_smaller_segment_size_keeps_all_channels_and_keys_that_the_log_holds() {
    let before = with_segments(64, 4);
    let mut harness = Harness::new(before);
    for number in 0..150 {
        harness.publish_ok(append(&format!("{number:0>60}"), "1"));
    }
    let long = "k".repeat(1_500);
    harness.publish_ok(idempotent("0", "1", "ann", &long));
    let after = with_segments(8, 32);

    let mut again = harness.reopen(after, 2);
    for _ in 0..200 {
        again.publish_ok(append("0", &"x".repeat(1_500)));
    }

    assert_eq!(again.log.channels(), 151);
    let third = again.reopen(after, 3);
    assert_eq!(third.log.channels(), 151);
    assert_eq!(third.log.idempotency_keys(), 1);
}

#[test]
fn a_replaced_channel_is_gone_after_a_crash_and_the_new_one_is_not() {
    let settings = LogSettings {
        channels_max: 2,
        history_ttl: Duration::from_secs(1),
        ..settings()
    };
    let mut harness = Harness::new(settings);
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.publish_ok(append("b", "1"));
    harness.advance(Duration::from_mins(3));
    harness.publish_ok(append("c", "1"));
    let limit = LogLimit::Channels;
    assert!(harness.events.contains(&Event::ChannelReplaced { limit }));
    harness.disk.lose_unsynced();

    let mut again = harness.reopen(settings, 2);

    assert_eq!(again.log.channels(), 2);
    assert_eq!(again.publish_ok(append("b", "2")).1, 2);
    assert_eq!(again.all("c"), [(1, "1".into())]);
    again.advance(Duration::from_mins(3));
    let (new, offset, _) = again.publish_ok(append("a", "2"));
    assert_eq!(offset, 1);
    assert_ne!(new, epoch);
}

#[test]
fn a_failed_write_gives_a_replaced_channel_its_place_back() {
    let settings = LogSettings {
        channels_max: 1,
        history_ttl: Duration::from_secs(1),
        ..settings()
    };
    let mut harness = Harness::new(settings);
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_mins(3));
    harness.faults.write = Some(steadfast_log::io::StorageError::NoSpace);

    assert_eq!(harness.rejected(append("b", "1")), Rejection::NoSpace);
    harness.faults.write = None;
    harness.advance(Duration::from_secs(2));

    assert_eq!(harness.publish_ok(append("a", "2")), (epoch, 2, false));
    assert_eq!(
        harness.rejected(append("b", "1")),
        Rejection::TooManyChannels,
        "it has a visible publication"
    );
}

#[test]
fn a_smaller_log_forgets_the_oldest_keys_also_if_they_are_copies() {
    let before = with_segments(16, 16);
    let smaller = with_segments(16, 4);
    let key = |number: u64| format!("{number:0>36}");
    let fit = LogPolicy::new(smaller).unwrap().key_bytes_max() / LogPolicy::key_bytes(3, 36);
    let (old, new) = (fit / 2, fit - 4);
    let mut harness = Harness::new(before);
    let publish = |harness: &mut Harness, number: u64| {
        harness.advance(Duration::from_millis(1));
        harness.publish_ok(idempotent("a", "1", "ann", &key(number)));
    };
    for number in 0..old {
        publish(&mut harness, number);
    }
    for _ in 0..20 {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }
    for number in old..old + new {
        publish(&mut harness, number);
    }
    // The old keys are copied into a segment after those of the new ones.
    while harness.disk.numbers().contains(&1) {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }

    let mut again = harness.reopen(smaller, 2);

    for number in old..old + new {
        let repeat = again.publish_ok(idempotent("a", "1", "ann", &key(number)));
        assert!(repeat.2, "{number} of {old} and {new}");
    }
}

#[test]
fn copied_keys_expire_after_a_restart_although_newer_ones_do_not() {
    let settings = with_segments(16, 16);
    let mut harness = Harness::new(settings);
    for number in 0..30 {
        harness.publish_ok(idempotent("a", "1", "ann", &number.to_string()));
    }
    for _ in 0..20 {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }
    harness.advance(WINDOW / 2);
    harness.publish_ok(idempotent("a", "1", "ann", "newer"));
    while harness.disk.numbers().contains(&1) {
        harness.publish_ok(append("b", &"x".repeat(2_000)));
    }

    let mut again = harness.reopen(settings, 2);
    assert_eq!(again.log.idempotency_keys(), 31);
    again.advance(WINDOW / 2);
    again.publish_ok(append("b", "1"));

    assert_eq!(again.log.idempotency_keys(), 1);
}

#[test]
fn after_a_limit_of_channels_was_lowered_each_new_channel_replaces_a_few_old_ones() {
    for (segment_kib, channels_max) in [(4, 10), (4, 1_000), (16, 10), (64, 10)] {
        let before = LogSettings {
            history_ttl: Duration::from_secs(1),
            channels_max: 1_000,
            ..with_segments(64, 16)
        };
        let mut harness = Harness::new(before);
        for number in 0..280 {
            harness.publish_ok(append(&format!("{number:0>12}"), "1"));
        }
        let after = LogSettings {
            channels_max,
            segment_bytes: ByteSize::from_kib(segment_kib),
            ..before
        };
        let mut again = harness.reopen(after, 2);
        let last = *again.disk.numbers().last().unwrap();
        while *again.disk.numbers().last().unwrap() < last + 2 {
            again.publish_ok(append(&format!("{:0>12}", 0), &"x".repeat(500)));
        }
        again.advance(Duration::from_mins(3));
        // Released one by one, so that the test ends even if the log begins segments indefinitely.
        again.is_holding = true;
        let number = again.publish_unacknowledged(append("new", "1"));
        for _ in 0..6 {
            if !again.held.is_empty() {
                again.release();
            }
        }

        let response = again.response(number);
        assert!(
            matches!(response, Some(Response::Appended { .. })),
            "{response:?}"
        );
        assert!(again.log.channels() < 280, "{}", again.log.channels());
    }
}

#[test]
fn a_channel_is_replaced_once_also_if_a_later_search_finds_an_older_one() {
    let settings = LogSettings {
        history_ttl: Duration::from_secs(1),
        ..with_segments(4, 16)
    };
    let mut harness = Harness::new(settings);
    harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_millis(1));
    harness.publish_ok(append("b", "1"));
    harness.advance(Duration::from_mins(3));
    for name in ["c", "d", "e", "f", "g", "h", "i"] {
        harness.publish_ok(append(name, "1"));
    }
    // The removal of both is rolled back, after the search that found them.
    harness.faults.write = Some(steadfast_log::io::StorageError::NoSpace);
    harness.publish_all(vec![append("x", "1"), append("y", "1")]);
    harness.faults.write = None;
    harness.advance(Duration::from_secs(2));
    assert_eq!(harness.log.channels(), 9);

    harness.publish_ok(append(&"long ".repeat(12), "1"));

    assert_eq!(harness.log.channels(), 8, "it needs the place of two");
    let again = harness.reopen(settings, 2);
    assert_eq!(again.log.channels(), 8);
}

fn quota() -> LogSettings {
    LogSettings {
        channel_bytes_max: ByteSize::from_kib(64),
        ..with_segments(16, 16)
    }
}

/// Publishes to a channel until it is rejected, at most 1,000 times; returns how many were accepted.
fn publish_until_rejected(harness: &mut Harness, channel: &str) -> usize {
    let large = "x".repeat(2_000);
    let responses = (0..1_000).map(|_| harness.publish(append(channel, &large)));
    let rejected = Response::Rejected(Rejection::Limit);
    responses
        .take_while(|response| *response != rejected)
        .count()
}

#[test]
fn a_channel_above_its_quota_is_rejected_only_while_it_would_remove_young_publications_of_others() {
    let mut harness = Harness::new(quota());
    let large = "x".repeat(2_000);
    harness.publish_ok(append("quiet", "1"));

    let accepted = publish_until_rejected(&mut harness, "busy");

    assert!((80..120).contains(&accepted), "{accepted}");
    let limit = LogLimit::ChannelBytes;
    assert!(harness.events.contains(&Event::LimitReached { limit }));
    assert_eq!(limit.setting(), LogSetting::ChannelBytesMax);
    assert_eq!(harness.all("quiet").len(), 1);
    harness.advance(Duration::from_millis(10 * 60 * 1_000 - 1));
    assert_eq!(harness.rejected(append("busy", &large)), Rejection::Limit);
    harness.publish_ok(append("other", &large));
    harness.advance(Duration::from_millis(1));
    assert!(publish_until_rejected(&mut harness, "busy") > 50);
    assert_eq!(harness.all("quiet"), [], "it is 10 minutes old");
    assert_eq!(harness.all("other").len(), 1);
}

#[test]
fn a_channel_below_its_quota_is_accepted_whatever_it_removes() {
    let mut harness = Harness::new(quota());
    harness.publish_ok(append("quiet", "1"));

    for number in 0..300 {
        let channel = format!("channel {}", number % 10);
        harness.publish_ok(append(&channel, &"x".repeat(2_000)));
    }

    assert_eq!(harness.all("quiet"), []);
}

#[test]
fn the_bytes_of_a_channel_are_known_after_a_restart_and_those_of_removed_segments_do_not_count() {
    let mut harness = Harness::new(quota());
    harness.publish_ok(append("quiet", "1"));
    let accepted = publish_until_rejected(&mut harness, "busy");
    assert!(accepted > 50, "{accepted}");

    let mut again = harness.reopen(quota(), 2);

    let large = "x".repeat(2_000);
    assert_eq!(again.rejected(append("busy", &large)), Rejection::Limit);
    // Ten other channels remove the segments of the busy one, which then has few bytes.
    again.advance(Duration::from_mins(10));
    for number in 0..300 {
        again.publish_ok(append(&format!("channel {}", number % 10), &large));
    }
    again.publish_ok(append("busy", &large));
    assert_eq!(again.all("busy").len(), 1);
}

#[test]
fn publications_that_are_hidden_are_not_protected() {
    let mut harness = Harness::new(LogSettings {
        history_size: 1,
        ..quota()
    });
    harness.publish_ok(append("quiet", "1"));
    publish_until_rejected(&mut harness, "busy");

    harness.publish_ok(append("quiet", "2"));
    harness.advance(Duration::from_secs(1));

    assert!(publish_until_rejected(&mut harness, "busy") > 20);
    assert_eq!(harness.all("quiet").len(), 1);
}

fn is_limit_of_key_bytes(event: &Event) -> bool {
    let limit = LogLimit::IdempotencyKeyBytes;
    *event == Event::LimitReached { limit }
}

fn count(harness: &Harness, is_counted: impl Fn(&Event) -> bool) -> usize {
    harness
        .events
        .iter()
        .filter(|event| is_counted(event))
        .count()
}

fn pick(random: &mut Generator, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}
