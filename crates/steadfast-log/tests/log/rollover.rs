//! Two crashes in a row around the switch from one segment to the next: the log always opens again.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::Response;
use steadfast_log::policy::{Fsync, LogSettings};
use steadfast_machine::{ByteSize, Seed};

use crate::disk::Disk;
use crate::harness::{Harness, WALL, append, idempotent, settings};

/// The number of ways in which a crash affects the writes that were not synced.
const LOSSES: u64 = 4;

fn small(fsync: Fsync) -> LogSettings {
    LogSettings {
        fsync,
        segment_bytes: ByteSize::from_kib(4),
        log_bytes: ByteSize::from_kib(64),
        ..settings()
    }
}

#[test]
fn a_log_that_crashes_twice_around_a_segment_rollover_opens_again() {
    let policies = [
        Fsync::Always,
        Fsync::Interval(Duration::from_secs(1)),
        Fsync::Never,
    ];
    let mut rolled = 0;

    for fsync in policies {
        for padding in (0..96).step_by(13) {
            for (disk, acknowledged) in disks_around_the_first_roll_over(fsync, padding) {
                for loss in 0..LOSSES {
                    let first = lost(&disk, loss);
                    check_opens_twice(fsync, &first, acknowledged, loss);
                    rolled += 1;
                }
            }
        }
    }

    assert!(rolled > 1_000, "{rolled}");
}

#[test]
fn every_shutdown_is_clean_however_little_space_is_left_in_the_segment() {
    for padding in (0..640).step_by(23) {
        let mut harness = Harness::new(small(Fsync::Always));
        for len in [640, 640, padding] {
            harness.publish_ok(append("a", &"x".repeat(len)));
        }
        for incarnation in 2..10 {
            harness.close();
            harness = harness.reopen(small(Fsync::Always), incarnation);
            let report = harness.opened.unwrap();
            assert!(report.is_clean, "{padding}, start {incarnation}");
        }

        assert!(
            harness.disk.numbers().len() > 1,
            "the records of the starts fill a segment"
        );
        let found: Vec<usize> = harness.payloads("a").iter().map(Bytes::len).collect();
        assert_eq!(found, [640, 640, padding]);
    }
}

/// The disk after each write and each sync, from shortly before the first segment is full until the second is used,
/// with the number of publications that were acknowledged by then.
fn disks_around_the_first_roll_over(fsync: Fsync, padding: usize) -> Vec<(Disk, u64)> {
    let mut harness = Harness::new(small(fsync));
    let data = format!("\"{}\"", "x".repeat(200 + padding));
    let mut disks = Vec::new();
    harness.is_holding = true;
    for number in 0..24 {
        harness.publish_unacknowledged(idempotent("a", &data, "ann", &number.to_string()));
        while !harness.held.is_empty() {
            harness.release();
            let acknowledged = harness.responses().len();
            disks.push((harness.disk.clone(), u64::try_from(acknowledged).unwrap()));
        }
    }
    disks
        .retain(|(disk, acknowledged)| disk.numbers().len() > 1 && (8..=20).contains(acknowledged));
    disks
}

fn lost(disk: &Disk, loss: u64) -> Disk {
    let mut disk = disk.clone();
    match loss {
        // The process crashed, not the machine: written bytes are kept, and are still not synced.
        0 => {}
        1 => disk.lose_unsynced(),
        _ => disk.lose_power(&mut Seed::new(loss).generator()),
    }
    disk
}

fn check_opens_twice(fsync: Fsync, disk: &Disk, acknowledged: u64, loss: u64) {
    let case = format!("{fsync:?}, {acknowledged} acknowledged, loss {loss}");
    for steps in 0.. {
        let mut opening = Harness::start_held(small(fsync), disk.clone(), WALL, 2);
        for _ in 0..steps {
            if opening.held.is_empty() {
                break;
            }
            opening.release();
        }
        let is_open = opening.held.is_empty();
        opening.write_unreported();
        for again in 0..LOSSES {
            let mut harness = Harness::start(small(fsync), lost(&opening.disk, again), WALL, 3);
            assert_eq!(
                harness.corruption, None,
                "{case}, then step {steps}, loss {again}"
            );
            check_content(&mut harness, fsync, acknowledged, &case);
            let last = Harness::start(small(fsync), harness.disk, WALL, 4);
            assert_eq!(
                last.corruption, None,
                "{case}, then step {steps}, loss {again}, last"
            );
        }
        if is_open {
            return;
        }
    }
}

fn check_content(harness: &mut Harness, fsync: Fsync, acknowledged: u64, case: &str) {
    let offsets: Vec<u64> = harness.all("a").iter().map(|(offset, _)| *offset).collect();
    let high_watermark = u64::try_from(offsets.len()).unwrap();

    assert!(
        offsets.iter().copied().eq(1..=high_watermark),
        "{case}: {offsets:?}"
    );
    if fsync == Fsync::Always {
        assert!(high_watermark >= acknowledged, "{case}: {high_watermark}");
        let (_, data) = harness.all("a").remove(0);
        let repeat = harness.publish(idempotent("a", &data, "ann", "0"));
        assert!(
            matches!(
                repeat,
                Response::Appended {
                    offset: 1,
                    is_duplicate: true,
                    ..
                }
            ),
            "{case}: {repeat:?}"
        );
    }
    assert_eq!(
        harness.publish_ok(append("a", "2")).1,
        high_watermark + 1,
        "{case}"
    );
}
