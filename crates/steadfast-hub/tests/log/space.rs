//! A full disk heals, a broken one poisons, and readers go on through both.

use std::time::Duration;

use steadfast_hub::log::event::{Event, Health};
use steadfast_hub::log::io::{Answer, Refusal, StorageFault};
use steadfast_hub::log::open::DamageKind;
use steadfast_hub::policy::log::Fsync;
use steadfast_machine::Machine;

use crate::bench::{Bench, Faults, append, keyed, settings, with_fsync};
use crate::disk::Disk;

const RETRY: Duration = Duration::from_secs(1);

const FULL: DamageKind = DamageKind::Unusable {
    fault: StorageFault::NoSpace,
};
const BROKEN: DamageKind = DamageKind::Unusable {
    fault: StorageFault::Broken,
};

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
        bench.faults = Faults::default();
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
fn a_disk_that_cannot_be_used_at_the_start_is_reported() {
    let mut whole = Bench::new(settings());
    whole.close();
    let unsynced = Bench::start_with(settings(), whole.disk, |faults| {
        faults.sync = Some(StorageFault::Broken);
    });
    assert_eq!(unsynced.damaged.map(|damage| damage.why), Some(BROKEN));

    let unread = Bench::start_with(settings(), unsynced.disk, |faults| {
        faults.read = Some(StorageFault::Broken);
    });
    assert_eq!(unread.damaged.map(|damage| damage.why), Some(BROKEN));
}

#[test]
fn a_start_without_room_is_refused_and_works_when_there_is_some() {
    for fault in [StorageFault::NoSpace, StorageFault::Broken] {
        let why = Some(DamageKind::Unusable { fault });
        let unreserved = Bench::start_with(settings(), Disk::default(), |faults| {
            faults.reserve = Some(fault);
        });
        assert_eq!(unreserved.damaged.map(|damage| damage.why), why);
        assert_eq!(unreserved.log.health(), Health::Ended);
        assert_eq!(unreserved.log.poll_timeout(), None, "it waits for nothing");

        let mut whole = unreserved.reopen(settings(), 2);
        whole.published(append("a", "1"));
        whole.close();
        let unwritten = Bench::start_with(settings(), whole.disk, |faults| {
            faults.write = Some(fault);
        });
        assert_eq!(unwritten.damaged.map(|damage| damage.why), why);
        assert_eq!(
            (unwritten.opened, unwritten.log.poll_timeout()),
            (None, None)
        );

        let mut again = unwritten.reopen(settings(), 3);
        assert_eq!(again.all("a"), [(1, "1".into())]);
    }
}

#[test]
fn a_start_needs_no_next_segment_while_the_last_one_has_room() {
    let mut bench = Bench::new(settings());
    bench.published(append("a", "1"));
    bench.disk.remove(2);

    let mut full = Bench::start_with(settings(), bench.disk, |faults| {
        faults.reserve = Some(StorageFault::NoSpace);
    });

    assert!(full.opened.is_some(), "{:?}", full.damaged);
    full.published(append("a", "2"));
    full.faults.reserve = None;
    full.pass(RETRY);
    assert!(full.events.contains(&Event::DiskHealed));
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
        let refusals: [fn(&mut Faults); 3] = [
            |faults| faults.write = Some(StorageFault::Broken),
            |faults| faults.write = Some(StorageFault::NoSpace),
            |faults| {
                faults.write = Some(StorageFault::NoSpace);
                faults.reserve = Some(StorageFault::NoSpace);
            },
        ];
        for refuse in refusals {
            let mut bench = Bench::new(settings());
            for _ in 0..14 {
                bench.published(append("a", &"x".repeat(len)));
            }

            let log = Bench::start_with(settings(), bench.disk, refuse);

            assert!(log.damaged.is_some(), "{len}: {:?}", log.log.health());
        }
    }
}

#[test]
fn a_start_that_needs_a_segment_it_cannot_have_is_refused() {
    let mut refused = 0;
    for len in 1_040..1_110 {
        let mut bench = Bench::new(settings());
        for _ in 0..14 {
            bench.published(append("a", &"x".repeat(len)));
        }
        let spare = bench.disk.numbers().last().copied().unwrap();
        assert!(bench.disk.bytes(spare).iter().all(|byte| *byte == 0));
        bench.disk.remove(spare);

        let log = Bench::start_with(settings(), bench.disk, |faults| {
            faults.reserve = Some(StorageFault::NoSpace);
        });

        assert!(
            log.opened.is_some() != log.damaged.is_some(),
            "{len}: {:?}",
            log.log.health()
        );
        let why = log.damaged.map(|damage| damage.why);
        assert!(why.is_none_or(|why| why == FULL), "{len}: {why:?}");
        refused += usize::from(log.damaged.is_some());
    }
    assert!(
        refused > 0,
        "some length leaves no room for the record of the opening"
    );
}
