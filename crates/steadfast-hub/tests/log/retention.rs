//! What is no longer shown, kept or known, and what stays.

use std::time::Duration;

use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{Answer, Page, ReadFrom, Request};
use steadfast_hub::policy::log::LogSettings;
use steadfast_machine::ByteSize;

use crate::bench::{Bench, WALL, append, read, settings};

#[test]
fn the_count_hides_the_oldest_and_a_position_that_fell_out_is_told_so() {
    let mut bench = Bench::new(LogSettings {
        visible_count_max: 3,
        ..settings()
    });
    let mut epoch = None;
    for number in 1..=5 {
        epoch = Some(bench.published(append("a", &number.to_string())).0);
    }
    let epoch = epoch.unwrap();

    assert_eq!(
        bench.all("a"),
        [(3, "3".into()), (4, "4".into()), (5, "5".into())]
    );
    let from = |offset| ReadFrom::After { epoch, offset };
    assert_eq!(bench.read(read("a", from(1), 10)).page, Page::Unrecoverable);
    assert_eq!(
        bench.records(read("a", from(2), 10)).0.len(),
        3,
        "nothing behind it is gone"
    );
    let again = bench
        .reopen(
            LogSettings {
                visible_count_max: 2,
                ..settings()
            },
            2,
        )
        .all("a");
    assert_eq!(again.len(), 2);
}

#[test]
fn age_hides_publications_exactly_when_their_time_is_over() {
    let mut bench = Bench::new(settings());
    let (epoch, ..) = bench.published(append("a", "1"));
    bench.pass(Duration::from_hours(1));
    bench.published(append("a", "2"));

    bench.pass(Duration::from_hours(23));
    assert_eq!(bench.all("a").len(), 2);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.all("a"), [(2, "2".into())]);
    assert_eq!(
        bench
            .read(read("a", ReadFrom::After { epoch, offset: 0 }, 1))
            .page,
        Page::Unrecoverable
    );
    bench.pass(Duration::from_hours(2));

    let answer = bench.read(read("a", ReadFrom::After { epoch, offset: 2 }, 1));
    assert_eq!(
        (answer.top, answer.page),
        (
            2,
            Page::Records {
                records: Vec::new(),
                more: false
            }
        )
    );
    let mut again = bench.reopen(settings(), 2);
    assert_eq!(again.all("a"), []);
    assert_eq!(again.published(append("a", "3")), (epoch, 3, false));
}

#[test]
fn bytes_remove_whole_segments_and_move_the_start_while_epoch_and_top_stay() {
    let mut bench = Bench::new(settings());
    let (epoch, ..) = bench.published(append("quiet", "1"));
    for _ in 0..400 {
        bench.published(append("busy", &"x".repeat(1000)));
    }

    let removed = bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::SegmentRemoved { .. }))
        .count();
    assert!(removed >= 5, "{removed}");
    assert!(
        bench
            .disk
            .list()
            .iter()
            .map(|segment| segment.bytes)
            .sum::<u64>()
            <= 16 * 16 * 1024
    );
    let visible = bench.all("busy");
    assert_eq!(visible.last().unwrap().0, 400);
    assert_eq!(usize::try_from(visible[0].0), Ok(400 - visible.len() + 1));
    assert_eq!(bench.all("quiet"), []);

    let mut again = bench.reopen(settings(), 2);
    assert_eq!(again.all("busy"), visible);
    assert_eq!(
        again
            .read(read("quiet", ReadFrom::After { epoch, offset: 0 }, 1))
            .page,
        Page::Unrecoverable
    );
    assert_eq!(again.published(append("quiet", "2")), (epoch, 2, false));
}

#[test]
fn a_channel_is_forgotten_after_30_days_and_comes_back_with_another_epoch() {
    let mut bench = Bench::new(settings());
    let (old, ..) = bench.published(append("a", "1"));
    bench.pass(Duration::from_hours(29 * 24));
    bench.published(append("b", "1"));
    assert_eq!(bench.read(read("a", ReadFrom::Start, 0)).epoch, old);

    bench.pass(Duration::from_hours(25));

    assert!(
        bench
            .events
            .contains(&Event::ChannelsForgotten { channels: 1 })
    );
    assert_eq!(bench.log.channels(), 1);
    let answer = bench.read(read(
        "a",
        ReadFrom::After {
            epoch: old,
            offset: 1,
        },
        1,
    ));
    assert_eq!((answer.top, answer.page), (0, Page::Unrecoverable));
    assert_ne!(answer.epoch, old);
    // What it answers with now is what its next publication gets, also across a crash.
    bench.disk.lose_all();
    let mut again = bench.reopen(settings(), 2);
    assert_eq!(again.published(append("a", "2")), (answer.epoch, 1, false));
    assert_eq!(
        again.published(append("b", "2")),
        (old, 2, false),
        "another channel keeps its epoch"
    );
    let third = again.reopen(settings(), 3);
    assert_eq!(third.opened.unwrap().channels, 2);
}

#[test]
fn a_channel_that_is_published_to_while_it_is_being_forgotten_begins_anew() {
    let mut bench = Bench::new(settings());
    let (old, ..) = bench.published(append("a", "1"));
    bench.hold = true;
    bench.pass(Duration::from_hours(31 * 24));
    assert_eq!(bench.held.len(), 1, "the forgetting is under way");

    let number = bench.publish_fast(append("a", "2"));
    let meanwhile = bench.read(read(
        "a",
        ReadFrom::After {
            epoch: old,
            offset: 1,
        },
        1,
    ));
    while !bench.held.is_empty() {
        bench.release();
    }

    assert_eq!(
        meanwhile.top, 1,
        "still known until it is forgotten for good"
    );
    let all = bench.all("a");
    let now = bench.read(read("a", ReadFrom::Start, 0)).epoch;
    assert!(bench.answer(number).is_some());
    assert_eq!(all, [(1, "2".into())]);
    assert_ne!(now, old);
}

#[test]
fn a_failed_removal_is_tried_again_and_does_not_bring_publications_back() {
    let mut bench = Bench::new(settings());
    bench.faults.remove = Some(steadfast_hub::log::io::StorageFault::Broken);
    for _ in 0..400 {
        bench.published(append("busy", &"x".repeat(1000)));
    }
    let visible = bench.all("busy");
    assert!(bench.disk.numbers().contains(&1));
    let disk = bench.disk.clone();

    bench.faults.remove = None;
    bench.pass(Duration::from_secs(1));
    assert!(!bench.disk.numbers().contains(&1));

    let mut again = Bench::open(settings(), disk, bench.wall, 2);
    assert_eq!(
        again.all("busy"),
        visible,
        "removed by decision, although the file is still there"
    );
    assert!(!again.disk.numbers().contains(&1));
}

#[test]
fn small_segments_with_many_channels_still_hold_their_checkpoints() {
    let small = LogSettings {
        segment_bytes: ByteSize::from_kib(4),
        log_bytes: ByteSize::from_kib(16),
        ..settings()
    };
    let mut bench = Bench::new(small);
    let mut accepted = 0;
    for number in 0..100 {
        let answer = bench.publish(append(&format!("channel {number}"), &"x".repeat(500)));
        accepted += usize::from(matches!(answer, Answer::Appended { .. }));
    }

    assert!(
        (15..25).contains(&accepted),
        "a checkpoint takes at most three eighths: {accepted}"
    );
    assert_eq!(bench.log.channels(), accepted);
    let again = bench.reopen(small, 2);
    assert_eq!(again.log.channels(), accepted);
}

#[test]
fn a_read_of_a_segment_that_is_removed_meanwhile_is_unrecoverable_and_no_alarm() {
    let mut bench = Bench::new(settings());
    bench.published(append("busy", "1"));
    bench.hold_reads = true;
    let number = bench.request(vec![Request::Read(read("busy", ReadFrom::Start, 1))])[0];
    let removed = |event: &Event| matches!(event, Event::SegmentRemoved { .. });

    while !bench.events.iter().any(removed) {
        bench.published(append("busy", &"x".repeat(1000)));
    }
    bench.release();

    let Some(Answer::Read(answer)) = bench.answer(number) else {
        panic!("not answered");
    };
    assert_eq!(answer.page, Page::Unrecoverable);
    let is_alarm = |event: &Event| matches!(event, Event::RecordUnreadable { .. });
    assert!(!bench.events.iter().any(is_alarm), "{:?}", bench.events);
    assert_eq!(bench.log.counters().unreadable, 0);
}

#[test]
fn no_segment_goes_before_the_checkpoint_that_replaces_it_is_durable_even_across_a_kill() {
    let mut bench = Bench::new(settings());
    bench.hold = true;
    let is_removal = |event: &Event| matches!(event, Event::SegmentRemoved { .. });
    let mut before = bench.disk.clone();
    while !bench.events.iter().any(is_removal) {
        bench.publish_fast(append("a", &"x".repeat(1000)));
        while !bench.held.is_empty() && !bench.events.iter().any(is_removal) {
            before = bench.disk.clone();
            bench.release();
        }
    }
    // The process is killed when the checkpoint is written and not synced, and the next one soon after its start.
    let mut killed = Bench::start_held(settings(), before, WALL, 2);
    assert_eq!(killed.disk.numbers()[0], 1);
    killed.disk.lose_all();

    let again = Bench::start(settings(), killed.disk, WALL, 3);

    assert_eq!(again.damaged, None);
    assert!(again.opened.is_some());
}
