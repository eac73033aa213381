//! Which positions can be continued.

use std::time::Duration;

use steadfast_engine::{ChannelEpoch, Page, ReadFrom};

use crate::engines::{Engine, Settings};
use crate::harness::{Harness, append, offsets, read};

pub(crate) fn a_channel_without_publications_has_the_epoch_of_its_first_publication<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    let before = harness.read(read("a", ReadFrom::Oldest, 10));
    let (epoch, first, _) = harness.publish_ok(append("a", "1"));
    let from = ReadFrom::After {
        epoch: before.epoch,
        offset: before.high_watermark,
    };
    let (previous, records, has_more) = harness.page(read("a", from, 10));

    let nothing = Page::Records {
        previous: 0,
        records: Vec::new(),
        has_more: false,
    };
    assert_eq!((before.high_watermark, before.page), (0, nothing));
    assert_eq!(before.epoch, epoch);
    assert_eq!((previous, offsets(&records)), (0, vec![first]));
    assert!(!has_more);
}

pub(crate) fn a_position_is_recoverable_or_not<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_size: 3,
        ..Settings::default()
    });
    let all = harness.fill("a", 6);
    let epoch = harness.epoch("a");
    let other = ChannelEpoch::new(epoch.incarnation(), epoch.counter() + 1);
    let foreign = ChannelEpoch::new(epoch.incarnation() + 1, epoch.counter());
    let (removed, newest) = (all[2], all[5]);

    let after = |epoch, offset| ReadFrom::After { epoch, offset };
    let before = |epoch, offset| ReadFrom::Before { epoch, offset };
    for (from, is_recoverable) in [
        (after(epoch, 0), false),
        (after(epoch, all[1]), false),
        (after(epoch, removed - 1), false),
        (after(epoch, removed), true),
        (after(epoch, all[4]), true),
        (after(epoch, newest), true),
        (after(epoch, newest + 1), false),
        (after(epoch, u64::MAX), false),
        (after(other, newest), false),
        (after(foreign, newest), false),
        (before(epoch, 0), true),
        (before(epoch, all[1]), true),
        (before(epoch, newest), true),
        (before(epoch, newest + 1), true),
        (before(epoch, newest + 2), false),
        (before(epoch, u64::MAX), false),
        (before(other, newest), false),
        (before(foreign, newest), false),
    ] {
        let response = harness.read(read("a", from.clone(), 3));

        assert_eq!(
            response.page != Page::Unrecoverable,
            is_recoverable,
            "{from:?} in {all:?}"
        );
        assert_eq!((response.epoch, response.high_watermark), (epoch, newest));
    }
}

pub(crate) fn offset_zero_is_recoverable_while_nothing_was_removed<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_size: 3,
        ..Settings::default()
    });
    let first = harness.fill("a", 3);
    let epoch = harness.epoch("a");

    assert!(harness.is_recoverable("a", epoch, 0));
    let (previous, records, _) = harness.page(read("a", ReadFrom::Oldest, 10));
    assert_eq!((previous, offsets(&records)), (0, first.clone()));

    let fourth = harness.fill("a", 1);
    assert!(!harness.is_recoverable("a", epoch, 0));
    let (previous, records, _) = harness.page(read("a", ReadFrom::Oldest, 10));
    assert_eq!(previous, first[0], "the page follows what was removed");
    assert_eq!(offsets(&records), [first[1], first[2], fourth[0]]);
}

pub(crate) fn a_channel_that_expired_has_another_epoch<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_ttl: Duration::from_hours(1),
        channel_ttl: Duration::from_hours(2),
        ..Settings::default()
    });
    harness.fill("a", 2);
    let old = harness.epoch("a");
    let newest = harness.high_watermark("a");

    harness.advance(Duration::from_hours(3));
    let now = harness.read(read("a", ReadFrom::Oldest, 10));
    let is_recoverable_before = harness.is_recoverable("a", old, newest);
    let (epoch, offset, _) = harness.publish_ok(append("a", "again"));

    assert_ne!(now.epoch, old);
    assert_eq!(now.high_watermark, 0);
    assert!(!is_recoverable_before);
    assert_eq!(epoch, now.epoch);
    assert!(harness.is_recoverable("a", epoch, 0));
    assert!(!harness.is_recoverable("a", old, newest));
    let (previous, records, _) = harness.page(read("a", ReadFrom::Oldest, 10));
    assert_eq!((previous, offsets(&records)), (0, vec![offset]));
}
