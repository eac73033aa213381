//! Verify changes nothing and finds every corruption; repair keeps valid records and changes the epochs.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{Append, Page, Publisher, ReadFrom};
use steadfast_log::io::SegmentNumber;
use steadfast_log::open::CorruptionKind;
use steadfast_log::policy::LogPolicy;
use steadfast_log::repair::{Repair, RepairReport, RepairStart};
use steadfast_log::verify::{Verification, Verifier};
use steadfast_machine::Seed;

use crate::disk::{Disk, RECORDS_AT};
use crate::harness::{Harness, WALL, append, directory, idempotent, read, secret, settings};

pub(crate) fn verify(disk: &Disk) -> Verification {
    let policy = LogPolicy::new(settings()).unwrap();
    let mut verifier = Verifier::new(policy, disk.list());
    while let Some(request) = verifier.next_read() {
        verifier.feed(
            &disk
                .read(request.segment.0, request.at, request.len)
                .unwrap(),
        );
    }
    verifier.finish()
}

fn repair(disk: &Disk, incarnation: u64) -> (Disk, RepairReport) {
    let policy = LogPolicy::new(settings()).unwrap();
    let first = SegmentNumber(disk.numbers().last().unwrap() + 1);
    let start = RepairStart {
        directory: verify(disk)
            .directory
            .unwrap_or_else(|| directory(incarnation)),
        incarnation,
        first,
    };
    let mut random = Seed::new(incarnation).generator();
    let first_secret = secret(&mut random);
    let mut draw = || Ok::<_, Infallible>(secret(&mut random));
    let mut repair = Repair::new(policy, start, first_secret);
    let mut segments = Vec::new();
    for number in disk.numbers() {
        let number = SegmentNumber(number);
        repair
            .add_segment(number, disk.bytes(number.0), &mut draw)
            .unwrap();
        segments.extend(std::iter::from_fn(|| repair.poll_segment()));
    }
    let (rest, report) = repair.finish();
    segments.extend(rest);
    let mut repaired = Disk::default();
    for segment in segments {
        repaired.reserve(
            segment.number.0,
            segment.size,
            &segment.first,
            &segment.last,
        );
    }
    (repaired, report)
}

fn filled() -> Harness {
    let mut harness = Harness::new(settings());
    for number in 1..=60 {
        harness.publish_ok(append("a", &format!("{number:x>700}")));
        harness.publish_ok(idempotent(
            "b",
            &number.to_string(),
            "ann",
            &number.to_string(),
        ));
    }
    harness.close();
    harness
}

#[test]
fn verify_finds_nothing_in_an_intact_log_and_every_corruption_in_another() {
    let mut harness = filled();
    let intact = verify(&harness.disk);
    assert_eq!(intact.corruptions, []);
    assert!(intact.report.is_clean);
    assert_eq!(
        (intact.report.channels, intact.report.idempotency_keys),
        (2, 60)
    );

    harness.disk.bytes_mut(1)[3_000] ^= 1;
    harness.disk.bytes_mut(2)[20] ^= 1;
    harness.disk.bytes_mut(3)[RECORDS_AT + 20] ^= 1;
    let before = harness.disk.clone();
    let corrupt = verify(&harness.disk);

    let positions: Vec<(u64, CorruptionKind)> = corrupt
        .corruptions
        .iter()
        .map(|corruption| (corruption.segment.0, corruption.kind))
        .collect();
    assert_eq!(
        positions,
        [
            (1, CorruptionKind::InvalidRecord),
            (2, CorruptionKind::InvalidHeader),
            (3, CorruptionKind::InvalidRecord)
        ]
    );
    assert_eq!(before.bytes(1), harness.disk.bytes(1));
}

#[test]
fn repair_keeps_every_valid_publication_and_changes_the_epochs() {
    let mut harness = filled();
    let epoch = harness.log_epoch();
    let position = |harness: &Harness, text: &str| {
        let found = harness
            .disk
            .bytes(1)
            .windows(text.len())
            .position(|bytes| bytes == text.as_bytes());
        found.unwrap()
    };
    let third = position(&harness, &format!("{:x>700}", 3));
    harness.disk.bytes_mut(1)[third + 100] ^= 1;
    assert!(
        Harness::start(settings(), harness.disk.clone(), WALL, 2)
            .corruption
            .is_some()
    );

    let (disk, report) = repair(&harness.disk, 77);
    assert_eq!(
        (
            report.kept,
            report.unnamed,
            report.corrupt_ranges,
            report.channels
        ),
        (119, 0, 1, 2)
    );
    assert_eq!(verify(&disk).corruptions, []);
    let mut again = Harness::open(settings(), disk, WALL, 3);

    let all = again.all("a");
    let expected: Vec<(u64, String)> = (1..=60)
        .filter(|number| *number != 3)
        .zip(1..)
        .map(|(n, offset)| (offset, format!("{n:x>700}")))
        .collect();
    assert_eq!(all, expected);
    assert_eq!(again.all("b").len(), 60);
    assert_eq!(
        again
            .read(read("b", ReadFrom::After { epoch, offset: 3 }, 1))
            .page,
        Page::Unrecoverable
    );
    assert!(
        again.publish_ok(idempotent("b", "60", "ann", "60")).2,
        "keys of kept publications are kept"
    );
    assert!(again.opened.unwrap().is_clean);
}

#[test]
fn repaired_segments_have_the_configured_size_whatever_texts_the_publications_have() {
    let mut harness = Harness::new(settings());
    for number in 0..100 {
        // The log holds the keys of a few minutes.
        harness.advance(Duration::from_secs(10));
        harness.publish_ok(Append {
            publisher: Publisher {
                user: Bytes::from(vec![b'u'; 400]),
                client: Bytes::from(vec![b'c'; 400]),
            },
            ..idempotent("a", "1", "", &format!("{number:0>400}"))
        });
    }

    let (disk, report) = repair(&harness.disk, 2);

    assert_eq!(report.kept, 100);
    let sizes: Vec<u64> = disk.list().iter().map(|segment| segment.bytes).collect();
    assert!((9..=11).contains(&sizes.len()), "{sizes:?}");
    assert!(
        sizes
            .iter()
            .all(|bytes| *bytes == settings().segment_bytes.as_bytes()),
        "{sizes:?}"
    );
}

#[test]
fn publications_whose_channel_record_is_lost_get_the_channel_name_from_a_later_checkpoint() {
    let mut harness = filled();
    // The records begin with the checkpoint, those of the opening and of the clock, and the record that creates the first
    // channel.
    let checkpoint = 58;
    let opened = 51;
    let clock = 239;
    let name = RECORDS_AT + checkpoint + opened + clock + 69;
    assert_eq!(harness.disk.bytes(1)[name], b'a');
    harness.disk.bytes_mut(1)[name] ^= 1;

    let (disk, report) = repair(&harness.disk, 77);
    let mut again = Harness::open(settings(), disk, WALL, 3);

    assert_eq!((report.kept, report.unnamed), (120, 0));
    assert_eq!(again.all("a").len(), 60);
}

#[test]
fn publications_without_a_name_are_not_given_to_the_next_channel_with_their_id() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("private", "mine"));
    harness.advance(Duration::from_hours(31 * 24));
    assert_eq!(harness.log.channels(), 0);
    harness.publish_ok(append("public", "ours"));
    harness.close();
    let bytes = harness.disk.bytes_mut(1);
    let name = bytes.windows(7).position(|bytes| bytes == b"private");
    bytes[name.unwrap()] ^= 1;

    let (disk, report) = repair(&harness.disk, 77);
    let mut again = Harness::open(settings(), disk, WALL, 3);

    assert_eq!((report.kept, report.unnamed), (1, 1));
    assert_eq!(again.all("public"), [(1, "ours".to_owned())]);
}

#[test]
fn a_channel_that_expired_is_not_in_the_repaired_log() {
    let mut harness = Harness::new(settings());
    harness.publish_ok(append("a", "1"));
    harness.advance(Duration::from_hours(31 * 24));
    harness.publish_ok(append("b", "2"));
    harness.advance(Duration::from_hours(31 * 24));
    harness.publish_ok(append("a", "3"));
    harness.close();

    let (disk, report) = repair(&harness.disk, 77);
    assert_eq!(verify(&disk).corruptions, []);
    let mut again = Harness::open(settings(), disk, WALL, 3);

    assert_eq!((report.kept, report.channels), (1, 1));
    assert_eq!(again.log.channels(), 1);
    assert_eq!(again.all("a"), [(1, "3".to_owned())]);
    assert_eq!(again.all("b"), []);
}

#[test]
fn repair_of_corruption_at_any_byte_yields_a_log_that_opens() {
    let mut small = Harness::new(settings());
    small.publish_all(vec![append("a", "1"), idempotent("b", "2", "ann", "k")]);
    small.publish_ok(append("a", "3"));
    small.close();
    let used = small.disk.records_end(1);

    for at in 0..used {
        let mut disk = small.disk.clone();
        disk.bytes_mut(1)[at] ^= 0x20;
        let (repaired, report) = repair(&disk, 77);
        let mut again = Harness::open(settings(), repaired, WALL, 3);

        let kept = again.all("a").len() + again.all("b").len();
        assert_eq!(u64::try_from(kept), Ok(report.kept), "at {at}");
        assert!(
            kept + usize::try_from(report.unnamed).unwrap() >= 2,
            "at {at}: {report:?}"
        );
        again.publish_ok(append("a", "new"));
    }
}
