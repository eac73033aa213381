//! Verify only looks and finds every damage; repair keeps what is valid and changes the epochs.

use steadfast_hub::log::io::{Page, ReadFrom, SegmentNumber};
use steadfast_hub::log::open::DamageKind;
use steadfast_hub::log::repair::{Repair, RepairReport};
use steadfast_hub::log::verify::{Verification, Verifier};
use steadfast_hub::policy::log::LogPolicy;
use steadfast_machine::Timestamp;

use crate::bench::{Bench, WALL, append, keyed, read, settings};
use crate::disk::Disk;

fn verify(disk: &Disk) -> Verification {
    let policy = LogPolicy::new(settings()).unwrap();
    let mut verifier = Verifier::new(policy, disk.list(), Timestamp::from_millis(WALL));
    while let Some(wanted) = verifier.wanted() {
        verifier.take(&disk.read(wanted.segment.0, wanted.at, wanted.len).unwrap());
    }
    verifier.finish()
}

fn repair(disk: &Disk, incarnation: u64) -> (Disk, RepairReport) {
    let policy = LogPolicy::new(settings()).unwrap();
    let first = SegmentNumber(disk.numbers().last().unwrap() + 1);
    let mut repair = Repair::new(policy, incarnation, Timestamp::from_millis(WALL), first);
    let mut segments = Vec::new();
    for number in disk.numbers() {
        repair.take(SegmentNumber(number), disk.bytes(number));
        segments.extend(std::iter::from_fn(|| repair.poll_segment()));
    }
    let (rest, report) = repair.finish();
    segments.extend(rest);
    let mut repaired = Disk::default();
    for segment in segments {
        repaired.reserve(segment.number.0, segment.size);
        repaired.write(segment.number.0, 0, &segment.bytes);
        repaired.sync(segment.number.0);
    }
    (repaired, report)
}

fn filled() -> Bench {
    let mut bench = Bench::new(settings());
    for number in 1..=60 {
        bench.published(append("a", &format!("{number:x>700}")));
        bench.published(keyed("b", &number.to_string(), "ann", &number.to_string()));
    }
    bench.close();
    bench
}

#[test]
fn verify_finds_nothing_in_a_whole_log_and_every_damage_in_another() {
    let mut bench = filled();
    let whole = verify(&bench.disk);
    assert_eq!(whole.damages, []);
    assert!(whole.report.clean);
    assert_eq!((whole.report.channels, whole.report.keys), (2, 60));

    bench.disk.bytes_mut(1)[3_000] ^= 1;
    bench.disk.bytes_mut(3)[20] ^= 1;
    let before = bench.disk.clone();
    let damaged = verify(&bench.disk);

    let places: Vec<(u64, DamageKind)> = damaged
        .damages
        .iter()
        .map(|damage| (damage.segment.0, damage.why))
        .collect();
    assert_eq!(
        places,
        [(1, DamageKind::BadRecord), (3, DamageKind::BadRecord)]
    );
    assert_eq!(before.bytes(1), bench.disk.bytes(1));
}

#[test]
fn repair_keeps_every_valid_publication_and_changes_the_epochs() {
    let mut bench = filled();
    let epoch = bench.log_epoch();
    let place = |bench: &Bench, text: &str| {
        let found = bench
            .disk
            .bytes(1)
            .windows(text.len())
            .position(|bytes| bytes == text.as_bytes());
        found.unwrap()
    };
    let third = place(&bench, &format!("{:x>700}", 3));
    bench.disk.bytes_mut(1)[third + 100] ^= 1;
    assert!(
        Bench::start(settings(), bench.disk.clone(), WALL, 2)
            .damaged
            .is_some()
    );

    let (disk, report) = repair(&bench.disk, 77);
    assert_eq!(
        (report.kept, report.nameless, report.gaps, report.channels),
        (119, 0, 1, 2)
    );
    assert_eq!(verify(&disk).damages, []);
    let mut again = Bench::open(settings(), disk, WALL, 3);

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
        again.published(keyed("b", "60", "ann", "60")).2,
        "keys of kept publications are kept"
    );
    assert!(again.opened.unwrap().clean);
}

#[test]
fn publications_whose_channel_record_is_lost_get_their_name_from_a_later_checkpoint() {
    let mut bench = filled();
    let created = bench
        .disk
        .bytes(1)
        .windows(8)
        .position(|bytes| bytes == 1_u64.to_le_bytes())
        .unwrap();
    // Header, then the log's opening, then the record that creates the first channel.
    let header = 58;
    let opened = 47;
    assert!(created < header);
    bench.disk.bytes_mut(1)[header + opened + 30] ^= 1;

    let (disk, report) = repair(&bench.disk, 77);
    let mut again = Bench::open(settings(), disk, WALL, 3);

    assert_eq!((report.kept, report.nameless), (120, 0));
    assert_eq!(again.all("a").len(), 60);
}

#[test]
fn repair_of_damage_at_any_byte_yields_a_log_that_opens() {
    let mut small = Bench::new(settings());
    small.publish_all(vec![append("a", "1"), keyed("b", "2", "ann", "k")]);
    small.published(append("a", "3"));
    small.close();
    let used = small
        .disk
        .bytes(1)
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap()
        + 1;

    for at in 0..used {
        let mut disk = small.disk.clone();
        disk.bytes_mut(1)[at] ^= 0x20;
        let (repaired, report) = repair(&disk, 77);
        let mut again = Bench::open(settings(), repaired, WALL, 3);

        let kept = again.all("a").len() + again.all("b").len();
        assert_eq!(u64::try_from(kept), Ok(report.kept), "at {at}");
        assert!(
            kept + usize::try_from(report.nameless).unwrap() >= 2,
            "at {at}: {report:?}"
        );
        again.published(append("a", "new"));
    }
}
