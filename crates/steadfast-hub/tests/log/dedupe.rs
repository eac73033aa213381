//! Keys: a repeat gets the first answer, across restarts and segments, and never a second publication.

use std::time::Duration;

use steadfast_hub::log::event::{Event, Limit};
use steadfast_hub::log::io::{Answer, Refusal, StorageFault};
use steadfast_hub::policy::log::LogSettings;

use crate::bench::{Bench, append, keyed, settings};

const WINDOW: Duration = Duration::from_mins(2);

#[test]
fn a_repeat_gets_the_first_answer_and_publishes_nothing() {
    let mut bench = Bench::new(settings());

    let (epoch, offset, _) = bench.published(keyed("a", "1", "ann", "k"));
    let repeat = bench.published(keyed("a", "other", "ann", "k"));

    assert_eq!(repeat, (epoch, offset, true));
    assert_eq!(bench.all("a"), [(1, "1".into())]);
}

#[test]
fn a_key_is_scoped_to_user_and_channel() {
    let mut bench = Bench::new(settings());

    bench.published(keyed("a", "1", "ann", "k"));
    let other_user = bench.published(keyed("a", "2", "bob", "k"));
    let other_channel = bench.published(keyed("b", "3", "ann", "k"));
    let no_key = bench.published(append("a", "4"));

    assert!(!other_user.2 && !other_channel.2 && !no_key.2);
}

#[test]
fn a_repeat_of_a_key_in_flight_waits_for_the_first() {
    let mut bench = Bench::new(settings());
    bench.hold = true;

    let same_group = bench.publish_all(vec![
        keyed("a", "1", "ann", "k"),
        keyed("a", "1", "ann", "k"),
    ]);
    let later = bench.publish_fast(keyed("a", "1", "ann", "k"));
    bench.release();
    assert!(bench.answers().is_empty(), "not durable yet");
    bench.release();

    let duplicates: Vec<bool> = [same_group[0], same_group[1], later]
        .into_iter()
        .map(|number| match bench.answer(number) {
            Some(Answer::Appended {
                offset: 1,
                duplicate,
                ..
            }) => duplicate,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(duplicates, [false, true, true]);
}

#[test]
fn a_key_outlives_a_restart_but_not_its_window() {
    let mut bench = Bench::new(settings());
    let first = bench.published(keyed("a", "1", "ann", "k"));

    let mut again = bench.reopen(settings(), 2);
    assert_eq!(again.opened.unwrap().keys, 1);
    assert_eq!(
        again.published(keyed("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    again.pass(WINDOW + Duration::from_millis(1));
    assert_eq!(
        again.published(keyed("a", "2", "ann", "k")),
        (first.0, 2, false)
    );
    assert_eq!(again.log.keys(), 1, "the old one is dropped");

    let mut third = again.reopen(settings(), 3);
    assert_eq!(
        third.published(keyed("a", "2", "ann", "k")),
        (first.0, 2, true),
        "the newer answer counts"
    );
}

#[test]
fn a_wall_clock_that_jumps_back_neither_ends_nor_prolongs_a_window() {
    let mut bench = Bench::new(settings());
    bench.published(keyed("a", "1", "ann", "k"));

    bench.wall -= 3_600_000;
    assert!(bench.published(keyed("a", "1", "ann", "k")).2);
    bench.pass(WINDOW);
    assert!(!bench.published(keyed("a", "2", "ann", "k")).2);

    bench.wall -= 3_600_000;
    let mut again = bench.reopen(settings(), 2);
    assert!(again.published(keyed("a", "2", "ann", "k")).2);
    again.pass(WINDOW);
    assert!(
        !again.published(keyed("a", "3", "ann", "k")).2,
        "at most a window from the start on"
    );
}

#[test]
fn keys_outlive_the_segments_that_their_records_stood_in() {
    let mut bench = Bench::new(settings());
    let first = bench.published(keyed("a", "1", "ann", "k"));
    let mut written = 1;
    while bench.disk.numbers().contains(&1) {
        bench.published(append("b", &"x".repeat(1000)));
        written += 1;
        assert!(written < 1000, "the first segment is removed at last");
    }

    assert_eq!(
        bench.published(keyed("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    let mut again = bench.reopen(settings(), 2);
    assert_eq!(
        again.published(keyed("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
    assert_eq!(again.all("a"), [], "its publication left with the segment");

    // Once more, so that a carried key is carried again.
    let first_kept = again.disk.numbers()[0];
    let last = *again.disk.numbers().last().unwrap();
    while again.disk.numbers()[0] <= last {
        again.published(append("b", &"x".repeat(1000)));
    }
    assert!(first_kept < again.disk.numbers()[0]);
    let mut third = again.reopen(settings(), 3);
    assert_eq!(
        third.published(keyed("a", "1", "ann", "k")),
        (first.0, 1, true)
    );
}

#[test]
fn every_key_is_carried_on_after_a_crash_that_left_removed_segments_behind() {
    let mut bench = Bench::new(settings());
    for key in ["1", "2", "3"] {
        bench.published(keyed("a", key, "ann", key));
    }
    // The checkpoint that carries the keys is durable, but the segment of their records is still there.
    bench.faults.remove = Some(StorageFault::Broken);
    let is_removal = |event: &Event| matches!(event, Event::SegmentRemoved { .. });
    while !bench.events.iter().any(is_removal) {
        bench.published(append("b", &"x".repeat(1000)));
    }
    assert_eq!(bench.disk.numbers()[0], 1);
    bench.published(keyed("a", "4", "ann", "4"));
    let [.., current, _reserved] = bench.disk.numbers()[..] else {
        panic!("two segments at least");
    };

    let mut again = bench.reopen(settings(), 2);
    while again.disk.numbers()[0] <= current {
        again.published(append("b", &"x".repeat(1000)));
    }
    let mut third = again.reopen(settings(), 3);

    for key in ["1", "2", "3", "4"] {
        let repeat = third.published(keyed("a", key, "ann", key));
        assert!(repeat.2, "key {key} is forgotten: {repeat:?}");
    }
}

#[test]
fn more_keys_than_the_window_holds_are_refused_and_told_once() {
    let mut bench = Bench::new(LogSettings {
        keys_max: 2,
        ..settings()
    });
    bench.published(keyed("a", "1", "ann", "1"));
    bench.published(keyed("a", "2", "ann", "2"));

    assert_eq!(bench.refused(keyed("a", "3", "ann", "3")), Refusal::Limit);
    assert_eq!(bench.refused(keyed("a", "4", "ann", "4")), Refusal::Limit);
    assert!(
        bench.published(keyed("a", "1", "ann", "1")).2,
        "a known key still gets its answer"
    );
    assert_eq!(
        bench.published(append("a", "5")).1,
        3,
        "without a key it goes on"
    );
    bench.pass(WINDOW);
    bench.published(keyed("a", "6", "ann", "3"));

    let told = bench
        .events
        .iter()
        .filter(|event| **event == Event::LimitReached { limit: Limit::Keys })
        .count();
    assert_eq!(told, 1);
}
