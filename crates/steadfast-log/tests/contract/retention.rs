//! What the limits of count, age and size remove.

use std::time::Duration;

use steadfast_engine::ReadFrom;
use steadfast_machine::ByteSize;

use crate::engines::{Engine, Settings};
use crate::harness::{Harness, append, offsets, read};

pub(crate) fn a_channel_keeps_as_many_publications_as_allowed<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_size: 3,
        ..Settings::default()
    });

    harness.fill("a", 3);
    assert_eq!(harness.visible("a"), ["a 1", "a 2", "a 3"]);
    harness.publish_ok(append("a", "a 4"));
    harness.fill("b", 2);

    assert_eq!(harness.visible("a"), ["a 2", "a 3", "a 4"]);
    assert_eq!(harness.visible("b"), ["b 1", "b 2"]);
}

pub(crate) fn publications_are_removed_when_they_are_too_old<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_ttl: Duration::from_hours(1),
        ..Settings::default()
    });
    let all = harness.fill("a", 1);
    let epoch = harness.epoch("a");
    harness.advance(Duration::from_mins(30));
    harness.publish_ok(append("a", "a 2"));

    harness.advance(Duration::from_mins(30));
    assert_eq!(harness.visible("a"), ["a 1", "a 2"]);
    assert!(harness.is_recoverable("a", epoch, 0));
    harness.advance(Duration::from_millis(1));

    assert_eq!(harness.visible("a"), ["a 2"]);
    assert!(!harness.is_recoverable("a", epoch, 0));
    assert!(harness.is_recoverable("a", epoch, all[0]));
}

/// Which publications are removed at once is up to the engine; the oldest go first, over all channels.
pub(crate) fn the_oldest_publications_are_removed_above_the_size_limit<E: Engine>() {
    const PAYLOAD: usize = 2_000;
    const PUBLICATIONS: usize = 300;
    let limit = ByteSize::from_kib(16 * 16);
    let mut harness = Harness::<E>::new(Settings {
        history_bytes: limit,
        ..Settings::default()
    });
    let quiet = harness.fill("quiet", 2);
    let mut busy = Vec::new();
    for _ in 0..PUBLICATIONS {
        busy.push(harness.publish_ok(append("busy", &"x".repeat(PAYLOAD))).1);
    }

    let epoch = harness.epoch("quiet");
    assert!(
        harness.visible("quiet").is_empty(),
        "the oldest are removed"
    );
    assert_eq!(harness.high_watermark("quiet"), quiet[1]);
    assert!(!harness.is_recoverable("quiet", epoch, quiet[0]));
    assert!(harness.is_recoverable("quiet", epoch, quiet[1]));
    let (previous, records, _) = harness.page(read("busy", ReadFrom::Oldest, usize::MAX));
    let kept = offsets(&records);
    assert!(kept.len() * PAYLOAD <= limit.as_len(), "{}", kept.len());
    assert!(kept.len() * PAYLOAD > limit.as_len() / 2, "{}", kept.len());
    let removed = PUBLICATIONS - kept.len();
    assert_eq!(
        (previous, kept),
        (busy[removed - 1], busy[removed..].to_vec())
    );
}

pub(crate) fn a_channel_without_visible_publications_keeps_its_position<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_ttl: Duration::from_hours(1),
        ..Settings::default()
    });
    let all = harness.fill("a", 2);
    let epoch = harness.epoch("a");

    harness.advance(Duration::from_hours(2));
    let (previous, records, has_more) = harness.page(read("a", ReadFrom::Oldest, 10));
    let (later, offset, _) = harness.publish_ok(append("a", "3"));

    assert_eq!((previous, records, has_more), (all[1], Vec::new(), false));
    assert_eq!(later, epoch);
    assert!(offset > all[1]);
    let from = ReadFrom::After {
        epoch,
        offset: all[1],
    };
    let (previous, records, _) = harness.page(read("a", from, 10));
    assert_eq!((previous, offsets(&records)), (all[1], vec![offset]));
}
