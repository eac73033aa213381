//! Idempotency keys: a repeat gets the first result, across restarts and segments, and never a second publication.

use std::time::Duration;

use steadfast_engine::{Rejection, Response};
use steadfast_log::event::{Event, LogLimit};
use steadfast_log::io::StorageError;
use steadfast_log::policy::LogSettings;

use crate::harness::{Harness, append, idempotent, settings};

const WINDOW: Duration = Duration::from_mins(2);

#[test]
fn a_repeat_gets_the_first_response_and_publishes_nothing() {
    let mut harness = Harness::new(settings());

    let (epoch, offset, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    let repeat = harness.publish_ok(idempotent("a", "1", "ann", "k"));

    assert_eq!(repeat, (epoch, offset, true));
    assert_eq!(harness.all("a"), [(1, "1".into())]);
}

#[test]
fn a_key_is_scoped_to_user_and_channel() {
    let mut harness = Harness::new(settings());

    harness.publish_ok(idempotent("a", "1", "ann", "k"));
    let other_user = harness.publish_ok(idempotent("a", "2", "bob", "k"));
    let other_channel = harness.publish_ok(idempotent("b", "3", "ann", "k"));
    let no_key = harness.publish_ok(append("a", "4"));

    assert!(!other_user.2 && !other_channel.2 && !no_key.2);
}

#[test]
fn a_repeat_of_a_key_in_flight_waits_for_the_first() {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;

    let same_batch = harness.publish_all(vec![
        idempotent("a", "1", "ann", "k"),
        idempotent("a", "1", "ann", "k"),
    ]);
    let later = harness.publish_unacknowledged(idempotent("a", "1", "ann", "k"));
    harness.release();
    assert!(harness.responses().is_empty(), "not durable yet");
    harness.release();

    let duplicates: Vec<bool> = [same_batch[0], same_batch[1], later]
        .into_iter()
        .map(|number| match harness.response(number) {
            Some(Response::Appended {
                offset: 1,
                is_duplicate,
                ..
            }) => is_duplicate,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(duplicates, [false, true, true]);
}

#[test]
fn a_key_survives_a_restart_but_not_its_window() {
    let mut harness = Harness::new(settings());
    let first = harness.publish_ok(idempotent("a", "1", "ann", "k"));

    let mut again = harness.reopen(settings(), 2);
    assert_eq!(again.opened.unwrap().idempotency_keys, 1);
    assert_eq!(
        again.publish_ok(idempotent("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    again.advance(WINDOW + Duration::from_millis(1));
    assert_eq!(
        again.publish_ok(idempotent("a", "2", "ann", "k")),
        (first.0, 2, false)
    );
    assert_eq!(again.log.idempotency_keys(), 1, "the old one is dropped");

    let mut third = again.reopen(settings(), 3);
    assert_eq!(
        third.publish_ok(idempotent("a", "2", "ann", "k")),
        (first.0, 2, true),
        "the newer result counts"
    );
}

#[test]
fn a_wall_clock_that_jumps_back_neither_shortens_nor_prolongs_a_window() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(idempotent("a", "1", "ann", "k"));

    harness.wall_error -= 3_600_000;
    assert!(harness.publish_ok(idempotent("a", "1", "ann", "k")).2);
    harness.advance(WINDOW);
    assert!(!harness.publish_ok(idempotent("a", "2", "ann", "k")).2);

    harness.wall_error -= 3_600_000;
    let mut again = harness.reopen(settings(), 2);
    assert!(again.publish_ok(idempotent("a", "2", "ann", "k")).2);
    again.advance(WINDOW);
    assert!(
        !again.publish_ok(idempotent("a", "3", "ann", "k")).2,
        "at most one window after the start"
    );
}

#[test]
fn keys_survive_the_removal_of_the_segments_that_held_their_records() {
    let mut harness = Harness::new(settings());
    let first = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    let mut written = 1;
    while harness.disk.numbers().contains(&1) {
        harness.publish_ok(append("b", &"x".repeat(1000)));
        written += 1;
        assert!(written < 1000, "the first segment is removed eventually");
    }

    assert_eq!(
        harness.publish_ok(idempotent("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    let mut again = harness.reopen(settings(), 2);
    assert_eq!(
        again.publish_ok(idempotent("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    assert_eq!(
        again.all("a"),
        [],
        "its publication was removed with the segment"
    );

    // Once more, so that a key from a checkpoint is copied again.
    let first_kept = again.disk.numbers()[0];
    let last = *again.disk.numbers().last().unwrap();
    while again.disk.numbers()[0] <= last {
        again.publish_ok(append("b", &"x".repeat(1000)));
    }
    assert!(first_kept < again.disk.numbers()[0]);
    let mut third = again.reopen(settings(), 3);
    assert_eq!(
        third.publish_ok(idempotent("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
}

#[test]
fn every_key_is_kept_after_a_crash_that_left_removed_segments() {
    let mut harness = Harness::new(settings());
    for key in ["1", "2", "3"] {
        harness.publish_ok(idempotent("a", key, "ann", key));
    }
    // The checkpoint that holds the keys is durable, but the segment of their records still exists.
    harness.faults.remove = Some(StorageError::Io);
    let is_removal = |event: &Event| matches!(event, Event::SegmentRemoved { .. });
    while !harness.events.iter().any(is_removal) {
        harness.publish_ok(append("b", &"x".repeat(1000)));
    }
    assert_eq!(harness.disk.numbers()[0], 1);
    harness.publish_ok(idempotent("a", "4", "ann", "4"));
    let [.., current, _reserved] = harness.disk.numbers()[..] else {
        panic!("at least two segments");
    };

    let mut again = harness.reopen(settings(), 2);
    while again.disk.numbers()[0] <= current {
        again.publish_ok(append("b", &"x".repeat(1000)));
    }
    let mut third = again.reopen(settings(), 3);

    for key in ["1", "2", "3", "4"] {
        let repeat = third.publish_ok(idempotent("a", key, "ann", key));
        assert!(repeat.2, "key {key} is unknown: {repeat:?}");
    }
}

#[test]
fn more_keys_than_the_window_holds_are_rejected_and_reported_once() {
    let mut harness = Harness::new(LogSettings {
        idempotency_keys_max: 2,
        ..settings()
    });
    harness.publish_ok(idempotent("a", "1", "ann", "1"));
    harness.publish_ok(idempotent("a", "2", "ann", "2"));

    assert_eq!(
        harness.rejected(idempotent("a", "3", "ann", "3")),
        Rejection::Limit
    );
    assert_eq!(
        harness.rejected(idempotent("a", "4", "ann", "4")),
        Rejection::Limit
    );
    assert!(
        harness.publish_ok(idempotent("a", "1", "ann", "1")).2,
        "a known key is still acknowledged"
    );
    assert_eq!(
        harness.publish_ok(append("a", "5")).1,
        3,
        "without a key publishing continues"
    );
    harness.advance(WINDOW);
    harness.publish_ok(idempotent("a", "6", "ann", "3"));

    let reported = harness
        .events
        .iter()
        .filter(|event| {
            **event
                == Event::LimitReached {
                    limit: LogLimit::IdempotencyKeys,
                }
        })
        .count();
    assert_eq!(reported, 1);
}
