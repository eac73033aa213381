//! A full disk heals, a broken one poisons, and readers go on through both.

use std::time::Duration;

use steadfast_hub::log::event::{Event, Health};
use steadfast_hub::log::io::{Answer, Refusal, StorageFault};
use steadfast_hub::log::open::DamageKind;
use steadfast_hub::policy::log::Fsync;

use crate::bench::{Bench, append, keyed, settings, with_fsync};
use crate::disk::Disk;

const RETRY: Duration = Duration::from_secs(1);

#[test]
fn without_a_next_segment_publications_are_refused_until_there_is_one() {
    let mut bench = Bench::new(settings());
    bench.faults.reserve = Some(StorageFault::NoSpace);
    let mut last = bench.published(keyed("a", "first", "ann", "k"));
    while let Answer::Appended { epoch, offset, .. } = bench.publish(append("a", &"x".repeat(1000)))
    {
        last = (epoch, offset, false);
        assert!(offset < 100, "two segments hold less");
    }

    assert_eq!(bench.log.health(), Health::Full);
    assert_eq!(bench.refused(append("a", "small")), Refusal::NoSpace);
    assert!(
        bench.published(keyed("a", "first", "ann", "k")).2,
        "a known key still gets its answer"
    );
    assert_eq!(
        u64::try_from(bench.all("a").len()),
        Ok(last.1),
        "readers go on"
    );
    bench.pass(RETRY);
    assert_eq!(bench.log.health(), Health::Full);
    bench.faults.reserve = None;
    bench.pass(RETRY);

    assert_eq!(bench.log.health(), Health::Serving);
    assert_eq!(
        bench.published(append("a", "again")),
        (last.0, last.1 + 1, false)
    );
    let told: Vec<&Event> = bench
        .events
        .iter()
        .filter(|event| matches!(event, Event::DiskFull { .. } | Event::DiskHealed))
        .collect();
    assert!(
        matches!(told[..], [Event::DiskFull { .. }, Event::DiskHealed]),
        "{told:?}"
    );
}

#[test]
fn a_write_without_room_is_taken_back_and_its_bytes_never_count() {
    let mut bench = Bench::new(settings());
    let (epoch, ..) = bench.published(append("a", "1"));
    bench.faults.write = Some(StorageFault::NoSpace);

    let refused = bench.publish_all(
        (0..20)
            .map(|number| append("a", &format!("lost {number}")))
            .collect(),
    );
    let created = bench.refused(append("new", "lost"));
    assert!(
        refused
            .iter()
            .all(|number| bench.answer(*number) == Some(Answer::Refused(Refusal::NoSpace)))
    );
    assert_eq!(
        (created, bench.log.health()),
        (Refusal::NoSpace, Health::Full)
    );
    assert_eq!(bench.all("a"), [(1, "1".into())]);
    bench.pass(RETRY);
    bench.faults.write = None;
    bench.pass(RETRY);

    assert_eq!(
        bench.published(append("a", "2")),
        (epoch, 2, false),
        "offsets were given back"
    );
    bench.disk.lose_all();
    let mut again = bench.reopen(settings(), 2);
    assert_eq!(again.all("a"), [(1, "1".into()), (2, "2".into())]);
    assert_eq!(again.all("new"), []);
}

#[test]
fn refused_records_do_not_come_back_even_where_new_ones_end_just_in_front_of_them() {
    // The probe (25 bytes) and a publication of 3 bytes take the place of one of 28 bytes.
    let mut bench = Bench::new(settings());
    bench.published(append("a", "1"));
    bench.faults.write = Some(StorageFault::NoSpace);
    bench.publish_all(
        (2..22)
            .map(|number| append("a", &format!("{number:0>28}")))
            .collect(),
    );
    bench.faults.write = None;
    bench.pass(RETRY);

    bench.published(append("a", "new"));
    let mut again = bench.reopen(settings(), 2);

    assert_eq!(again.all("a"), [(1, "1".into()), (2, "new".into())]);
}

#[test]
fn a_key_that_was_refused_for_space_is_published_when_it_is_repeated() {
    let mut bench = Bench::new(settings());
    bench.faults.write = Some(StorageFault::NoSpace);
    bench.publish_fast(keyed("a", "1", "ann", "k"));
    bench.faults.write = None;
    bench.pass(RETRY);

    assert!(!bench.published(keyed("a", "1", "ann", "k")).2);
    assert!(bench.published(keyed("a", "1", "ann", "k")).2);
}

#[test]
fn a_failed_write_or_sync_poisons_and_readers_go_on() {
    for sync in [false, true] {
        let mut bench = Bench::new(settings());
        bench.published(append("a", "1"));
        let fault = Some(StorageFault::Broken);
        if sync {
            bench.faults.sync = fault;
        } else {
            bench.faults.write = fault;
        }

        assert_eq!(bench.refused(append("a", "2")), Refusal::Poisoned);
        bench.faults = crate::bench::Faults::default();
        bench.pass(Duration::from_hours(1));

        assert_eq!(
            bench.refused(append("a", "3")),
            Refusal::Poisoned,
            "until a restart"
        );
        assert_eq!(bench.log.health(), Health::Poisoned);
        assert_eq!(bench.all("a"), [(1, "1".into())]);
        assert!(
            bench
                .events
                .iter()
                .any(|event| matches!(event, Event::Poisoned { .. }))
        );
        bench.close();
        assert!(bench.events.contains(&Event::EndedUnclean));
        let mut again = bench.reopen(settings(), 2);
        assert!(
            again.all("a").len() <= 2,
            "what was not acknowledged may have survived"
        );
        again.published(append("a", "4"));
    }
}

#[test]
fn what_waits_behind_a_failed_sync_is_refused_too() {
    let mut bench = Bench::new(settings());
    bench.hold = true;
    let first = bench.publish_fast(append("a", "1"));
    let second = bench.publish_fast(append("a", "2"));

    bench.faults.sync = Some(StorageFault::Broken);
    bench.release();
    bench.release();

    for number in [first, second] {
        assert_eq!(
            bench.answer(number),
            Some(Answer::Refused(Refusal::Poisoned))
        );
    }
    assert!(bench.held.is_empty());
}

#[test]
fn the_interval_policy_syncs_by_its_timer_and_a_failure_poisons() {
    let mut bench = Bench::new(with_fsync(Fsync::Interval(Duration::from_millis(100))));
    let before = bench.syncs;
    bench.published(append("a", "1"));
    bench.pass(Duration::from_millis(99));
    assert_eq!(bench.syncs, before);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.syncs, before + 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.syncs, before + 1, "nothing to sync");

    bench.published(append("a", "2"));
    bench.faults.sync = Some(StorageFault::Broken);
    bench.pass(Duration::from_millis(100));

    assert_eq!(bench.log.health(), Health::Poisoned);
}

#[test]
fn the_interval_policy_syncs_what_it_acknowledged_even_while_the_disk_is_full() {
    let mut bench = Bench::new(with_fsync(Fsync::Interval(Duration::from_millis(100))));
    bench.published(append("a", "1"));
    bench.faults.write = Some(StorageFault::NoSpace);
    assert_eq!(bench.refused(append("a", "2")), Refusal::NoSpace);
    let before = bench.syncs;

    bench.pass(Duration::from_millis(100));

    assert_eq!(bench.syncs, before + 1);
    assert_eq!(bench.log.health(), Health::Full);
}

#[test]
fn a_disk_that_cannot_be_written_at_the_start_is_reported_or_waited_for() {
    let mut whole = Bench::new(settings());
    whole.close();
    let broken = DamageKind::Unusable {
        fault: StorageFault::Broken,
    };
    let mut log = Bench::start_with(settings(), whole.disk, |faults| {
        faults.sync = Some(StorageFault::Broken);
    });
    assert_eq!(log.damaged.map(|damage| damage.why), Some(broken));
    log.close();

    let mut empty = Bench::start_with(settings(), Disk::default(), |faults| {
        faults.reserve = Some(StorageFault::NoSpace);
    });
    assert_eq!((empty.opened, empty.log.health()), (None, Health::Opening));
    empty.faults.reserve = None;
    empty.pass(RETRY);
    assert!(empty.opened.is_some());

    let unread = Bench::start_with(settings(), empty.disk, |faults| {
        faults.read = Some(StorageFault::Broken);
    });
    assert_eq!(unread.damaged.map(|damage| damage.why), Some(broken));
}

#[test]
fn closing_a_full_log_ends_it_without_the_clean_mark() {
    let mut bench = Bench::new(settings());
    bench.published(append("a", "1"));
    bench.faults.write = Some(StorageFault::NoSpace);
    bench.publish_fast(append("a", "2"));

    bench.close();

    assert!(bench.events.contains(&Event::EndedUnclean));
    assert!(!bench.reopen(settings(), 2).opened.unwrap().clean);
}

#[test]
fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    let mut bench = Bench::new(settings());
    bench.hold = true;
    let first = bench.publish_fast(append("a", "1"));
    let waiting = bench.publish_fast(append("a", "2"));
    let at = bench.at();
    bench.handle(steadfast_hub::log::io::Input::CloseRequested { at });
    let late = bench.publish_fast(append("a", "3"));
    while !bench.held.is_empty() {
        bench.release();
    }

    assert!(bench.closed);
    for number in [first, waiting] {
        assert!(matches!(
            bench.answer(number),
            Some(Answer::Appended { .. })
        ));
    }
    assert_eq!(bench.answer(late), Some(Answer::Refused(Refusal::Closing)));
    bench.disk.lose_all();
    assert!(bench.reopen(settings(), 2).opened.unwrap().clean);
}

#[test]
fn a_start_that_cannot_even_seal_the_last_segment_is_reported() {
    // Whatever is left of the segment, up to too little for the record of the opening.
    for len in 1_040..1_110 {
        let mut bench = Bench::new(settings());
        for _ in 0..14 {
            bench.published(append("a", &"x".repeat(len)));
        }

        let log = Bench::start_with(settings(), bench.disk, |faults| {
            faults.write = Some(StorageFault::Broken);
        });

        assert!(log.damaged.is_some(), "{len}: {:?}", log.log.health());
    }
}
