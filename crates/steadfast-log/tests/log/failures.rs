//! A full disk recovers, a failed write disables publishing, and reads continue through both.

use std::time::Duration;

use steadfast_engine::{Engine, Health, ReadFrom, Rejection, Response};
use steadfast_log::event::Event;
use steadfast_log::io::{FailedOperation, Input, Place, StorageError};
use steadfast_log::open::CorruptionKind;
use steadfast_log::policy::Fsync;
use steadfast_machine::Machine;

use crate::disk::{Disk, RECORDS_AT};
use crate::harness::{Faults, Harness, WALL, append, idempotent, read, settings, with_fsync};

const RETRY: Duration = Duration::from_secs(1);

const IO_ERROR: CorruptionKind = CorruptionKind::StorageFailed {
    error: StorageError::Io,
};

#[test]
fn without_a_next_segment_publications_are_rejected_until_there_is_one() {
    let mut harness = Harness::new(settings());
    harness.faults.reserve = Some(StorageError::NoSpace);
    let mut last = harness.publish_ok(idempotent("a", "first", "ann", "k"));
    while let Response::Appended { epoch, offset, .. } =
        harness.publish(append("a", &"x".repeat(1000)))
    {
        last = (epoch, offset, false);
        assert!(offset < 100, "two segments hold less");
    }

    assert_eq!(harness.log.health(), Health::Full);
    assert_eq!(harness.rejected(append("a", "small")), Rejection::NoSpace);
    assert!(
        harness.publish_ok(idempotent("a", "first", "ann", "k")).2,
        "a known key is still acknowledged"
    );
    assert_eq!(
        u64::try_from(harness.all("a").len()),
        Ok(last.1),
        "reads continue"
    );
    harness.advance(RETRY);
    assert_eq!(harness.log.health(), Health::Full);
    harness.faults.reserve = None;
    harness.advance(RETRY);

    assert_eq!(harness.log.health(), Health::Serving);
    assert_eq!(
        harness.publish_ok(append("a", "again")),
        (last.0, last.1 + 1, false)
    );
    let reported: Vec<&Event> = harness
        .events
        .iter()
        .filter(|event| matches!(event, Event::DiskFull { .. } | Event::DiskRecovered))
        .collect();
    assert!(
        matches!(reported[..], [Event::DiskFull { .. }, Event::DiskRecovered]),
        "{reported:?}"
    );
}

#[test]
fn a_write_that_fails_for_lack_of_space_is_rolled_back_and_its_bytes_never_count() {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.faults.write = Some(StorageError::NoSpace);

    let rejected = harness.publish_all(
        (0..20)
            .map(|number| append("a", &format!("lost {number}")))
            .collect(),
    );
    let created = harness.rejected(append("new", "lost"));
    assert!(
        rejected
            .iter()
            .all(|number| harness.response(*number) == Some(Response::Rejected(Rejection::NoSpace)))
    );
    assert_eq!(
        (created, harness.log.health()),
        (Rejection::NoSpace, Health::Full)
    );
    assert_eq!(harness.all("a"), [(1, "1".into())]);
    harness.advance(RETRY);
    harness.faults.write = None;
    harness.advance(RETRY);

    assert_eq!(
        harness.publish_ok(append("a", "2")),
        (epoch, 2, false),
        "offsets were released"
    );
    harness.disk.lose_unsynced();
    let mut again = harness.reopen(settings(), 2);
    assert_eq!(again.all("a"), [(1, "1".into()), (2, "2".into())]);
    assert_eq!(again.all("new"), []);
}

#[test]
fn rejected_records_do_not_reappear_even_where_new_ones_end_just_before_them() {
    // The probe (25 bytes) and a publication of 3 bytes overwrite a publication of 28 bytes.
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.faults.write = Some(StorageError::NoSpace);
    harness.publish_all(
        (2..22)
            .map(|number| append("a", &format!("{number:0>28}")))
            .collect(),
    );
    harness.faults.write = None;
    harness.advance(RETRY);

    harness.publish_ok(append("a", "new"));
    let mut again = harness.reopen(settings(), 2);

    assert_eq!(again.all("a"), [(1, "1".into()), (2, "new".into())]);
}

#[test]
fn a_key_that_was_rejected_for_lack_of_space_is_published_when_it_is_repeated() {
    let mut harness = Harness::new(settings());
    harness.faults.write = Some(StorageError::NoSpace);
    harness.publish_unacknowledged(idempotent("a", "1", "ann", "k"));
    harness.faults.write = None;
    harness.advance(RETRY);

    assert!(!harness.publish_ok(idempotent("a", "1", "ann", "k")).2);
    assert!(harness.publish_ok(idempotent("a", "1", "ann", "k")).2);
}

#[test]
fn a_failed_write_or_sync_disables_publishing_while_reads_continue() {
    for sync in [false, true] {
        let mut harness = Harness::new(settings());
        harness.publish_ok(append("a", "1"));
        let error = Some(StorageError::Io);
        if sync {
            harness.faults.sync = error;
        } else {
            harness.faults.write = error;
        }

        assert_eq!(harness.rejected(append("a", "2")), Rejection::WriteFailed);
        harness.faults = Faults::default();
        harness.advance(Duration::from_hours(1));

        assert_eq!(
            harness.rejected(append("a", "3")),
            Rejection::WriteFailed,
            "until a restart"
        );
        assert_eq!(harness.log.health(), Health::WriteFailed);
        assert_eq!(harness.all("a"), [(1, "1".into())]);
        assert!(
            harness
                .events
                .iter()
                .any(|event| matches!(event, Event::WriteFailed { .. }))
        );
        harness.close();
        assert!(harness.events.contains(&Event::UncleanShutdown));
        let mut again = harness.reopen(settings(), 2);
        assert!(
            again.all("a").len() <= 2,
            "what was not acknowledged may have survived"
        );
        again.publish_ok(append("a", "4"));
    }
}

#[test]
fn appends_queued_after_a_failed_sync_are_rejected_too() {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;
    let first = harness.publish_unacknowledged(append("a", "1"));
    let second = harness.publish_unacknowledged(append("a", "2"));

    harness.faults.sync = Some(StorageError::Io);
    harness.release();
    harness.release();

    for number in [first, second] {
        assert_eq!(
            harness.response(number),
            Some(Response::Rejected(Rejection::WriteFailed))
        );
    }
    assert!(harness.held.is_empty());
}

#[test]
fn the_interval_policy_syncs_by_its_timer_and_a_failure_disables_publishing() {
    let mut harness = Harness::new(with_fsync(Fsync::Interval(Duration::from_millis(100))));
    let before = harness.syncs;
    harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_millis(99));
    assert_eq!(harness.syncs, before);
    harness.advance(Duration::from_millis(1));
    assert_eq!(harness.syncs, before + 1);
    harness.advance(Duration::from_secs(1));
    assert_eq!(harness.syncs, before + 1, "nothing to sync");

    harness.publish_ok(append("a", "2"));
    harness.faults.sync = Some(StorageError::Io);
    harness.advance(Duration::from_millis(100));

    assert_eq!(harness.log.health(), Health::WriteFailed);
}

#[test]
fn the_interval_policy_syncs_acknowledged_publications_even_while_the_disk_is_full() {
    let mut harness = Harness::new(with_fsync(Fsync::Interval(Duration::from_millis(100))));
    harness.publish_ok(append("a", "1"));
    harness.faults.write = Some(StorageError::NoSpace);
    assert_eq!(harness.rejected(append("a", "2")), Rejection::NoSpace);
    let before = harness.syncs;

    harness.advance(Duration::from_millis(100));

    assert_eq!(harness.syncs, before + 1);
    assert_eq!(harness.log.health(), Health::Full);
}

#[test]
fn a_disk_that_cannot_be_used_at_the_start_is_reported() {
    let mut intact = Harness::new(settings());
    intact.close();
    let unsynced = Harness::start_with(settings(), intact.disk, |faults| {
        faults.sync = Some(StorageError::Io);
    });
    assert_eq!(
        unsynced.corruption.map(|corruption| corruption.kind),
        Some(IO_ERROR)
    );

    let unread = Harness::start_with(settings(), unsynced.disk, |faults| {
        faults.read = Some(StorageError::Io);
    });
    assert_eq!(
        unread.corruption.map(|corruption| corruption.kind),
        Some(IO_ERROR)
    );
}

#[test]
fn a_new_log_that_cannot_be_written_is_refused_and_works_once_it_can() {
    for error in [StorageError::NoSpace, StorageError::Io] {
        let refused = Harness::start_with(settings(), Disk::default(), |faults| {
            faults.reserve = Some(error);
        });

        let reason = refused.corruption.map(|corruption| corruption.kind);
        assert_eq!(reason, Some(CorruptionKind::StorageFailed { error }));
        assert_eq!(refused.log.health(), Health::Closed);
        assert_eq!(refused.log.poll_timeout(), None, "no deadline is set");
        let mut again = refused.reopen(settings(), 2);
        again.publish_ok(append("a", "1"));
    }
}

#[test]
fn a_start_whose_record_cannot_be_written_serves_readers_without_space_and_is_refused_otherwise() {
    let mut intact = Harness::new(settings());
    let (epoch, ..) = intact.publish_ok(append("a", "1"));
    intact.close();

    let failing = Harness::start_with(settings(), intact.disk.clone(), |faults| {
        faults.write = Some(StorageError::Io);
    });
    assert_eq!(failing.corruption.map(|it| it.kind), Some(IO_ERROR));
    assert_eq!((failing.opened, failing.log.poll_timeout()), (None, None));

    let mut full = Harness::start_with(settings(), intact.disk, |faults| {
        faults.write = Some(StorageError::NoSpace);
    });
    assert!(
        full.opened.is_some() && full.claims == 0,
        "{:?}",
        full.corruption
    );
    assert_eq!(full.log.health(), Health::Full);
    assert_eq!(full.all("a"), [(1, "1".into())]);
    assert_eq!(full.rejected(append("a", "2")), Rejection::NoSpace);
    let needed = |event: &Event| matches!(event, Event::DiskFull { bytes, .. } if *bytes > 0);
    assert!(full.events.iter().any(needed), "{:?}", full.events);

    full.faults.write = None;
    full.advance(RETRY);

    assert!(full.claims == 1, "the record of the opening is durable");
    assert_eq!(full.publish_ok(append("a", "2")), (epoch, 2, false));
    full.disk.lose_unsynced();
    let mut again = full.reopen(settings(), 3);
    assert_eq!(again.all("a"), [(1, "1".into()), (2, "2".into())]);
}

#[test]
fn new_epochs_of_a_copy_that_starts_without_space_are_never_those_of_a_later_start() {
    let mut intact = Harness::new(settings());
    let (original, ..) = intact.publish_ok(append("a", "1"));
    intact.close();
    let start = |disk: Disk| {
        let mut copy = Harness::start_with(settings(), disk, |faults| {
            faults.write = Some(StorageError::NoSpace);
            faults.place = Place::New;
        });
        let epoch = copy.read(read("a", ReadFrom::Oldest, 1)).epoch;
        (copy, epoch)
    };

    let (full, first) = start(intact.disk);
    assert!(full.claims == 0);
    let mut disk = full.disk;
    disk.lose_unsynced();
    let mut later = Harness::start(settings(), disk, WALL, 77);
    let second = later.read(read("a", ReadFrom::Oldest, 1)).epoch;

    assert_ne!(first, original);
    assert_ne!(first, second, "what was never durable is not continued");
}

#[test]
fn a_start_needs_no_next_segment_while_the_last_one_has_space() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.disk.remove(2);

    let mut full = Harness::start_with(settings(), harness.disk, |faults| {
        faults.reserve = Some(StorageError::NoSpace);
    });

    assert!(full.opened.is_some(), "{:?}", full.corruption);
    full.publish_ok(append("a", "2"));
    full.faults.reserve = None;
    full.advance(RETRY);
    assert!(full.events.contains(&Event::DiskRecovered));
}

#[test]
fn closing_a_full_log_is_an_unclean_shutdown() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.faults.write = Some(StorageError::NoSpace);
    harness.publish_unacknowledged(append("a", "2"));

    harness.close();

    assert!(harness.events.contains(&Event::UncleanShutdown));
    assert!(!harness.reopen(settings(), 2).opened.unwrap().is_clean);
}

#[test]
fn closing_finishes_pending_appends_and_rejects_later_ones() {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;
    let first = harness.publish_unacknowledged(append("a", "1"));
    let waiting = harness.publish_unacknowledged(append("a", "2"));
    harness.handle(Input::CloseRequested);
    let late = harness.publish_unacknowledged(append("a", "3"));
    while !harness.held.is_empty() {
        harness.release();
    }

    assert!(harness.is_closed);
    for number in [first, waiting] {
        assert!(matches!(
            harness.response(number),
            Some(Response::Appended { .. })
        ));
    }
    assert_eq!(
        harness.response(late),
        Some(Response::Rejected(Rejection::Closing))
    );
    harness.disk.lose_unsynced();
    assert!(harness.reopen(settings(), 2).opened.unwrap().is_clean);
}

#[test]
fn a_start_that_cannot_even_seal_the_last_segment_serves_readers_or_is_reported() {
    // The lengths leave every remaining size of the segment, down to too few bytes for the record of the opening.
    for len in 950..1_020 {
        let fault_cases: [fn(&mut Faults); 3] = [
            |faults| faults.write = Some(StorageError::Io),
            |faults| faults.write = Some(StorageError::NoSpace),
            |faults| {
                faults.write = Some(StorageError::NoSpace);
                faults.reserve = Some(StorageError::NoSpace);
            },
        ];
        for (case, set_faults) in fault_cases.into_iter().enumerate() {
            let mut harness = Harness::new(settings());
            for _ in 0..14 {
                harness.publish_ok(append("a", &"x".repeat(len)));
            }

            let mut log = Harness::start_with(settings(), harness.disk, set_faults);

            if case == 0 {
                assert!(log.corruption.is_some(), "{len}: {:?}", log.log.health());
                continue;
            }
            assert_eq!(
                log.log.health(),
                Health::Full,
                "{len}: {:?}",
                log.corruption
            );
            assert_eq!(log.all("a").len(), 14, "{len}");
            log.faults = Faults::default();
            log.advance(RETRY);
            assert_eq!(log.log.health(), Health::Serving, "{len}");
            assert_eq!(log.publish_ok(append("a", "next")).1, 15, "{len}");
        }
    }
}

#[test]
fn a_start_that_needs_a_segment_it_cannot_have_serves_readers_until_there_is_space() {
    let mut full = 0;
    for len in 950..1_020 {
        let mut harness = Harness::new(settings());
        for _ in 0..14 {
            harness.publish_ok(append("a", &"x".repeat(len)));
        }
        let unused = harness.disk.numbers().last().copied().unwrap();
        assert_eq!(harness.disk.records_end(unused), RECORDS_AT, "no record");
        harness.disk.remove(unused);

        let mut log = Harness::start_with(settings(), harness.disk, |faults| {
            faults.reserve = Some(StorageError::NoSpace);
        });

        assert!(log.opened.is_some(), "{len}: {:?}", log.corruption);
        assert_eq!(log.all("a").len(), 14, "{len}");
        full += usize::from(log.log.health() == Health::Full);
        log.faults.reserve = None;
        log.advance(RETRY);
        assert_eq!(log.publish_ok(append("a", "next")).1, 15, "{len}");
    }
    assert!(
        full > 0,
        "some length leaves no space for the record of the opening"
    );
}

#[test]
fn a_segment_that_cannot_be_created_for_another_reason_than_space_is_reported_as_such() {
    let mut harness = Harness::new(settings());
    harness.faults.reserve = Some(StorageError::Io);
    while let Response::Appended { .. } = harness.publish(append("a", &"x".repeat(1000))) {}

    assert_eq!(harness.log.health(), Health::Unavailable);
    assert_eq!(harness.rejected(append("a", "1")), Rejection::Unavailable);
    let is_full = |event: &Event| matches!(event, Event::DiskFull { .. });
    assert!(!harness.events.iter().any(is_full), "{:?}", harness.events);
    harness.faults.reserve = Some(StorageError::NoSpace);
    harness.advance(RETRY);
    assert!(harness.events.iter().any(is_full), "the reason has changed");
    harness.faults.reserve = None;
    harness.advance(RETRY);
    assert_eq!(harness.log.health(), Health::Serving);
}

#[test]
fn a_misplaced_directory_disables_publishing_whichever_operation_finds_it_and_reads_continue() {
    type Find = fn(&mut Harness);
    let finds: [Find; 4] = [
        |harness| harness.faults.write = Some(StorageError::Misplaced),
        |harness| harness.faults.sync = Some(StorageError::Misplaced),
        |harness| {
            let operation = FailedOperation::Check;
            let error = StorageError::Misplaced;
            harness.handle(Input::Failed { operation, error });
        },
        |harness| {
            harness.faults.reserve = Some(StorageError::Misplaced);
            while harness.log.health() == Health::Serving {
                harness.publish(append("a", &"x".repeat(1000)));
            }
        },
    ];
    for find in finds {
        let mut harness = Harness::new(settings());
        harness.publish_ok(append("a", "1"));

        find(&mut harness);

        let rejected = harness.rejected(append("a", "lost"));
        assert_eq!(rejected, Rejection::WriteFailed);
        assert_eq!(harness.log.health(), Health::Misplaced);
        assert_eq!(harness.all("a")[0], (1, "1".into()));
        let is_reported = |event: &Event| {
            let error = StorageError::Misplaced;
            matches!(event, Event::WriteFailed { error: it, .. } if *it == error)
        };
        assert_eq!(
            harness.events.iter().filter(|it| is_reported(it)).count(),
            1
        );
        harness.close();
    }
}

#[test]
fn a_check_that_fails_while_a_write_is_in_flight_leaves_its_batch_to_the_write() {
    let mut harness = Harness::new(settings());
    harness.is_holding = true;
    let number = harness.publish_unacknowledged(append("a", "1"));
    harness.handle(Input::Failed {
        operation: FailedOperation::Check,
        error: StorageError::Misplaced,
    });
    assert_eq!(harness.response(number), None);

    harness.faults.write = Some(StorageError::Misplaced);
    harness.release();

    let rejected = Response::Rejected(Rejection::WriteFailed);
    assert_eq!(harness.response(number), Some(rejected));
}
