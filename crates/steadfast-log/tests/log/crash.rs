//! Unclean shutdowns: torn writes are truncated, corruption is reported, and truncated records never reappear.

use std::time::Duration;

use steadfast_engine::{Page, ReadFrom};
use steadfast_log::io::SegmentNumber;
use steadfast_log::open::CorruptionKind;
use steadfast_log::policy::{Fsync, LogSettings};
use steadfast_machine::ByteSize;

use crate::disk::{Disk, RECORDS_AT, TRAILER};
use crate::harness::{Harness, WALL, append, idempotent, read, settings, with_fsync};

#[test]
fn a_clean_restart_keeps_epochs_offsets_and_publications() {
    let mut harness = Harness::new(settings());
    let (epoch, ..) = harness.publish_ok(append("a", "1"));
    harness.publish_ok(append("a", "2"));
    harness.close();

    let mut again = harness.reopen(settings(), 2);

    let report = again.opened.unwrap();
    assert!(
        report.is_clean && !report.has_new_epochs && report.torn_write.is_none(),
        "{report:?}"
    );
    assert_eq!(again.all("a"), [(1, "1".into()), (2, "2".into())]);
    assert_eq!(again.publish_ok(append("a", "3")), (epoch, 3, false));
}

#[test]
fn an_unclean_start_changes_every_epoch_unless_each_record_was_synced() {
    let interval = Fsync::Interval(Duration::from_secs(1));
    for (fsync, changes) in [
        (Fsync::Always, false),
        (interval, true),
        (Fsync::Never, true),
    ] {
        let mut harness = Harness::new(with_fsync(fsync));
        let (epoch, ..) = harness.publish_ok(append("a", "1"));

        // The policy under which the log ran counts, not the policy with which the log is opened again.
        let mut again = harness.reopen(settings(), 2);

        let response = again.read(read("a", ReadFrom::After { epoch, offset: 1 }, 10));
        assert_eq!(again.opened.unwrap().has_new_epochs, changes, "{fsync:?}");
        assert_eq!(response.epoch != epoch, changes, "{fsync:?}");
        assert_eq!(response.page == Page::Unrecoverable, changes, "{fsync:?}");
        assert_eq!(again.all("a"), [(1, "1".into())], "{fsync:?}");
        assert_eq!(again.publish_ok(append("a", "2")).1, 2, "{fsync:?}");
    }
}

#[test]
fn a_clean_start_under_any_policy_keeps_the_epochs() {
    for fsync in [Fsync::Interval(Duration::from_secs(1)), Fsync::Never] {
        let mut harness = Harness::new(with_fsync(fsync));
        let (epoch, ..) = harness.publish_ok(append("a", "1"));
        harness.close();
        harness.disk.lose_unsynced();

        let mut again = harness.reopen(with_fsync(fsync), 2);

        assert_eq!(
            again.publish_ok(append("a", "2")),
            (epoch, 2, false),
            "{fsync:?}"
        );
    }
}

#[test]
fn a_clean_shutdown_counts_only_until_the_next_start() {
    let mut harness = Harness::new(with_fsync(Fsync::Never));
    harness.publish_ok(append("a", "1"));
    harness.close();
    let mut again = harness.reopen(with_fsync(Fsync::Never), 2);
    again.publish_ok(append("a", "2"));
    again.disk.lose_unsynced();

    let third = again.reopen(with_fsync(Fsync::Never), 3);

    assert!(third.opened.unwrap().has_new_epochs);
}

/// A log with some synced batches, and the same log with one more batch written.
fn before_and_after_the_last_batch() -> (Disk, Disk) {
    let mut harness = Harness::new(settings());
    harness.publish_all(vec![append("a", "1"), append("b", "x")]);
    harness.publish_ok(append("a", "2"));
    let before = harness.disk.clone();
    harness.publish_all(vec![
        append("a", "3"),
        idempotent("a", "4", "ann", "k"),
        append("c", "5"),
    ]);
    (before, harness.disk)
}

#[test]
fn a_write_torn_at_any_byte_is_truncated_and_nothing_acknowledged_is_lost() {
    let (before, after) = before_and_after_the_last_batch();
    let segment = before.numbers()[0];
    let end = |disk: &Disk| disk.records_end(segment);
    let (from, to) = (end(&before), end(&after));

    for truncated_at in from..to {
        let mut disk = after.clone();
        disk.bytes_mut(segment)[truncated_at..to].fill(0);
        let mut harness = Harness::open(settings(), disk, WALL, 2);

        let all = harness.all("a");
        let expected = [
            (1, "1".into()),
            (2, "2".into()),
            (3, "3".into()),
            (4, "4".into()),
        ];
        assert!(
            all.len() >= 2 && all == expected[..all.len()],
            "truncated at {truncated_at}: {all:?}"
        );
        assert_eq!(
            harness.all("b"),
            [(1, "x".into())],
            "truncated at {truncated_at}"
        );
        let next = harness.publish_ok(append("a", "new")).1;
        assert_eq!(
            usize::try_from(next),
            Ok(all.len() + 1),
            "truncated at {truncated_at}"
        );
    }
}

#[test]
fn a_byte_flipped_anywhere_in_a_closed_log_is_reported_or_loses_nothing() {
    let mut harness = Harness::new(settings());
    harness.publish_all(vec![append("a", "1"), append("b", "x")]);
    harness.publish_ok(idempotent("a", "2", "ann", "k"));
    harness.publish_ok(append("a", "3"));
    harness.close();
    let segment = harness.disk.numbers()[0];
    let used = harness.disk.clean_end(segment);
    let size = harness.disk.bytes(segment).len();
    let copy_at = size - TRAILER;

    for at in (0..used + 100).chain(copy_at - 100..size) {
        let mut disk = harness.disk.clone();
        disk.bytes_mut(segment)[at] ^= 0x10;
        let mut again = Harness::start(settings(), disk, WALL, 2);

        let expected = if at < RECORDS_AT {
            Some((CorruptionKind::InvalidHeader, 0))
        } else if at < used {
            Some((CorruptionKind::InvalidRecord, RECORDS_AT))
        } else if (copy_at..copy_at + RECORDS_AT).contains(&at) {
            Some((CorruptionKind::InvalidHeader, copy_at))
        } else {
            None
        };
        match (again.corruption, again.opened) {
            (Some(corruption), None) => {
                let (kind, from) = expected.unwrap_or_else(|| panic!("at {at}: {corruption:?}"));
                assert_eq!(corruption.kind, kind, "at {at}");
                assert!(
                    corruption.segment.0 == segment
                        && (wide(from)..=wide(at)).contains(&corruption.at),
                    "at {at}: {corruption:?}"
                );
            }
            (None, Some(report)) => {
                assert_eq!(expected, None, "at {at}: {report:?}");
                assert!(report.is_clean, "at {at}: {report:?}");
                assert_eq!(
                    again.all("a"),
                    [(1, "1".into()), (2, "2".into()), (3, "3".into())],
                    "at {at}"
                );
                assert_eq!(again.all("b"), [(1, "x".into())], "at {at}");
            }
            other => panic!("at {at}: {other:?}"),
        }
    }
}

#[test]
fn a_byte_flipped_in_a_running_log_never_yields_a_wrong_publication() {
    let (before, after) = before_and_after_the_last_batch();
    let segment = before.numbers()[0];
    let end = |disk: &Disk| disk.records_end(segment);
    let (proven, used) = (end(&before), end(&after));

    for at in 0..used {
        let mut disk = after.clone();
        disk.bytes_mut(segment)[at] ^= 0x01;
        let mut again = Harness::start(settings(), disk, WALL, 2);

        // No later batch proves the last batch: a flipped bit in the last batch resembles a torn write.
        if at < proven {
            assert!(again.corruption.is_some(), "at {at}");
        } else {
            assert!(again.opened.is_some(), "at {at}: {:?}", again.corruption);
            let all = again.all("a");
            let expected = [
                (1, "1".into()),
                (2, "2".into()),
                (3, "3".into()),
                (4, "4".into()),
            ];
            assert!(
                all.len() >= 2 && all == expected[..all.len()],
                "at {at}: {all:?}"
            );
        }
    }
}

#[test]
fn bytes_of_a_recycled_segment_never_count() {
    let mut old = Harness::new(settings());
    for number in 0..20 {
        old.publish_ok(append("old", &number.to_string()));
    }
    let stale = old.disk.bytes(1).to_vec();
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    // The file system gives the next segment blocks of a log that was deleted: all of them but those of the header.
    let next = harness.disk.numbers()[1];
    let records = RECORDS_AT..stale.len() - TRAILER;
    harness.disk.bytes_mut(next)[records.clone()].copy_from_slice(&stale[records]);

    let mut again = harness.reopen(settings(), 2);

    assert_eq!(again.all("a"), [(1, "1".into())]);
    assert_eq!(again.all("old"), []);
    for _ in 0..60 {
        again.publish_ok(append("a", &"x".repeat(1000)));
    }
    let mut third = again.reopen(settings(), 3);
    assert_eq!(third.all("old"), []);
    assert_eq!(third.all("a").len(), 61);
}

#[test]
fn truncated_records_never_reappear_even_where_new_records_end_just_before_them() {
    // A record of the opening (51 bytes) and a publication of 3 bytes overwrite a publication of 54 bytes.
    let long = |number: u64| append("a", &format!("{number:0>293}"));
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    let before = harness.disk.clone();
    harness.publish_all((2..12).map(long).collect());
    let torn_at = first_difference(before.bytes(1), harness.disk.bytes(1));
    harness.disk.bytes_mut(1)[torn_at + 3] ^= 0xff;

    let mut truncated_at = harness.reopen(settings(), 2);
    assert_eq!(
        truncated_at
            .opened
            .unwrap()
            .torn_write
            .map(|torn_write| torn_write.segment.0),
        Some(1)
    );
    assert_eq!(truncated_at.all("a").len(), 1);
    truncated_at.publish_ok(append("a", "new"));
    let stale = truncated_at
        .disk
        .bytes(1)
        .windows(293)
        .filter(|bytes| *bytes == format!("{:0>293}", 3).as_bytes());
    assert_eq!(stale.count(), 1, "the old records still exist");
    truncated_at.disk.lose_unsynced();
    let mut third = truncated_at.reopen(settings(), 3);

    assert_eq!(third.all("a"), [(1, "1".into()), (2, "new".into())]);
}

#[test]
fn a_missing_segment_is_corruption_wherever_it_is_missing() {
    let mut harness = Harness::new(settings());
    for _ in 0..60 {
        harness.publish_ok(append("a", &"x".repeat(1000)));
    }
    let numbers = harness.disk.numbers();
    let held = &numbers[..numbers.len() - 1];
    assert!(held.len() >= 4, "{numbers:?}");

    for missing in held {
        let mut disk = harness.disk.clone();
        disk.remove(*missing);
        let again = Harness::start(settings(), disk, WALL, 2);

        let corruption = again.corruption.expect("corrupt");
        assert_eq!(
            (corruption.kind, corruption.segment.0),
            (CorruptionKind::MissingSegment, *missing)
        );
    }
}

#[test]
fn a_log_of_which_only_the_reserved_segment_is_left_is_no_new_log() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    let numbers = harness.disk.numbers();
    assert_eq!(numbers, [1, 2], "the second one is reserved");
    let mut disk = harness.disk.clone();
    disk.remove(1);

    let corruption = Harness::start(settings(), disk, WALL, 2).corruption;

    let corruption = corruption.expect("the history is missing");
    assert_eq!(
        (corruption.kind, corruption.segment.0),
        (CorruptionKind::MissingSegment, 1)
    );
    assert_eq!(corruption.evidence, Some((SegmentNumber(2), 0)));
}

#[test]
fn a_log_that_never_stored_anything_begins_with_its_first_segment_also_if_it_is_too_small_now() {
    let reserved = Harness::start_held(settings(), Disk::default(), WALL, 1).disk;
    assert_eq!(reserved.numbers(), [1]);
    let larger = LogSettings {
        segment_bytes: ByteSize::from_kib(64),
        ..settings()
    };

    let again = Harness::start(larger, reserved, WALL, 2);

    assert!(again.opened.is_some(), "{:?}", again.corruption);
    assert_eq!(again.disk.numbers(), [1, 2]);
}

#[test]
fn corruption_in_a_sealed_segment_is_reported_with_its_evidence() {
    let mut harness = Harness::new(settings());
    for _ in 0..30 {
        harness.publish_ok(append("a", &"x".repeat(1000)));
    }
    let used = harness.disk.records_end(1) - 1;

    for at in (RECORDS_AT..=used).step_by(97).chain([used]) {
        let mut disk = harness.disk.clone();
        disk.bytes_mut(1)[at] ^= 0x40;
        let again = Harness::start(settings(), disk, WALL, 2);

        let corruption = again.corruption.unwrap_or_else(|| panic!("at {at}"));
        assert_eq!(
            (corruption.kind, corruption.segment.0),
            (CorruptionKind::InvalidRecord, 1),
            "at {at}"
        );
        assert!(
            corruption.at <= wide(at) && corruption.evidence.is_some(),
            "at {at}: {corruption:?}"
        );
    }
}

fn first_difference(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).position(|(a, b)| a != b).unwrap()
}

fn wide(at: usize) -> u64 {
    u64::try_from(at).unwrap()
}
