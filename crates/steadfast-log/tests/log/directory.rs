//! Segments that do not belong to the log: of another data directory, of another format, under a wrong name.

use steadfast_log::FORMAT_VERSION;
use steadfast_log::open::CorruptionKind;
use twox_hash::XxHash3_64;

use crate::disk::{Disk, RECORDS_AT};
use crate::harness::{Harness, Secrets, WALL, append, directory, known_secret, settings};
use crate::repair::verify;

/// A log with several segments, whose directory was new at this incarnation.
fn filled(incarnation: u64) -> Harness {
    let mut harness = Harness::open(settings(), Disk::default(), WALL, incarnation);
    for _ in 0..60 {
        harness.publish_ok(append("a", &"x".repeat(1000)));
    }
    harness
}

#[test]
fn every_segment_has_the_identity_that_the_directory_had_at_its_first_start() {
    let harness = filled(1);
    let mut again = harness.reopen(settings(), 2);
    for _ in 0..60 {
        again.publish_ok(append("a", &"x".repeat(1000)));
    }

    assert_eq!(verify(&again.disk).directory, Some(directory(1)));
    let incarnations: Vec<u64> = again
        .disk
        .numbers()
        .iter()
        .map(|number| u64::from_le_bytes(*again.disk.bytes(*number)[48..].first_chunk().unwrap()))
        .collect();
    assert!(incarnations.is_sorted(), "{incarnations:?}");
    assert_eq!((incarnations[0], incarnations.last()), (1, Some(&2)));
}

#[test]
fn a_segment_of_another_directory_is_an_error_that_names_it_wherever_it_is() {
    let (log, other) = (filled(1), filled(7));
    let numbers = log.disk.numbers();
    assert!(numbers.len() >= 5, "{numbers:?}");
    let new = numbers.last().unwrap() + 1;

    for number in numbers.into_iter().chain([new]) {
        let mut disk = log.disk.clone();
        let from = if number == new { 1 } else { number };
        let mut bytes = other.disk.bytes(from).to_vec();
        if number == new {
            // Under a number that the other directory does not have, its name would be wrong.
            bytes = filled_to(new);
        }
        disk.reserve(number, u64::try_from(bytes.len()).unwrap(), &bytes, &[]);
        let again = Harness::start(settings(), disk.clone(), WALL, 2);

        let corruption = again.corruption.expect("refused");
        assert_eq!(corruption.segment.0, number);
        let kind = CorruptionKind::OtherDirectory {
            found: directory(7),
            expected: directory(1),
        };
        assert_eq!(corruption.kind, kind, "segment {number}");
        assert_eq!(verify(&disk).corruptions[0], corruption);
        assert_eq!(disk.numbers(), again.disk.numbers(), "nothing is removed");
    }
}

/// A segment of directory 7 with this number.
fn filled_to(number: u64) -> Vec<u8> {
    let mut harness = filled(7);
    while !harness.disk.numbers().contains(&number) {
        harness.publish_ok(append("a", &"x".repeat(1000)));
    }
    harness.disk.bytes(number).to_vec()
}

#[test]
fn a_segment_of_another_directory_is_never_removed_as_obsolete() {
    let mut log = filled(1);
    let settings = steadfast_log::policy::LogSettings {
        log_bytes: steadfast_machine::ByteSize::from_kib(64),
        ..settings()
    };
    log = log.reopen(settings, 2);
    while log.disk.numbers().contains(&1) {
        log.publish_ok(append("a", &"x".repeat(1000)));
    }
    let mut disk = log.disk;
    let other = filled(7).disk.bytes(1).to_vec();
    disk.reserve(1, u64::try_from(other.len()).unwrap(), &other, &[]);

    let again = Harness::start(settings, disk, WALL, 3);

    assert_eq!(
        again.corruption.map(|corruption| corruption.segment.0),
        Some(1)
    );
    assert_eq!(again.disk.bytes(1), other);
}

#[test]
fn a_segment_under_the_name_of_another_is_corruption() {
    let mut log = filled(1);
    let second = log.disk.bytes(2).to_vec();
    *log.disk.bytes_mut(3) = second;

    let again = Harness::start(settings(), log.disk, WALL, 2);

    let corruption = again.corruption.expect("refused");
    assert_eq!(
        (corruption.segment.0, corruption.kind),
        (3, CorruptionKind::InvalidHeader)
    );
}

#[test]
fn a_directory_of_another_format_is_refused_as_such_whatever_else_is_wrong() {
    for version in [1, FORMAT_VERSION + 1] {
        let mut disk = filled(1).disk;
        // The segment that is reserved next has no header in format 1.
        disk.bytes_mut(3).fill(0);
        *disk.bytes_mut(2) = other_version(2, version);

        let again = Harness::start(settings(), disk.clone(), WALL, 2);

        let kind = CorruptionKind::UnsupportedVersion { version };
        let corruption = again.corruption.expect("refused");
        assert_eq!((corruption.segment.0, corruption.kind), (2, kind));
        assert_eq!(verify(&disk).corruptions, [corruption]);
    }
}

#[test]
fn a_record_of_a_later_version_is_reported_as_such_and_never_truncated() {
    let publication = |kind: u8, retention: u8| {
        let mut body = [0; 28];
        body[4] = 2;
        (body[20], body[21]) = (kind, retention);
        body[26..28].copy_from_slice(&[0xff; 2]);
        body.to_vec()
    };
    let later = [
        (10, Vec::new()),
        (0, Vec::new()),
        (4, publication(2, 0)),
        (4, publication(0, 3)),
        (7, vec![0]),
    ];
    for (kind, body) in later {
        let mut log = Harness::with_secrets(settings(), 1, Secrets::Known);
        log.publish_ok(append("a", "1"));
        let at = log.disk.records_end(1);
        let record = forged(at, kind, &body);
        log.disk.bytes_mut(1)[at..at + record.len()].copy_from_slice(&record);

        let again = Harness::start(settings(), log.disk.clone(), WALL, 2);

        let corruption = again.corruption.expect("refused");
        let place = (corruption.segment.0, corruption.at);
        assert_eq!(
            place,
            (1, u64::try_from(at).unwrap()),
            "kind {kind}: {body:?}"
        );
        assert_eq!(corruption.kind, CorruptionKind::UnsupportedRecord);
        assert_eq!(verify(&log.disk).corruptions, [corruption]);
    }
}

#[test]
fn a_record_of_a_later_version_in_a_checkpoint_is_reported_as_such_although_later_records_were_synced()
 {
    let mut log = Harness::with_secrets(settings(), 1, Secrets::Known);
    while log.disk.numbers().last() < Some(&3) {
        log.publish_ok(append("a", &"x".repeat(1000)));
    }
    log.publish_ok(append("a", "1"));
    log.publish_ok(append("a", "2"));
    // The record of channel `a` follows the beginning of the checkpoint, and is as long as the record of a later
    // version.
    let at = RECORDS_AT + 58;
    let len = 70;
    assert_eq!(log.disk.bytes(2)[at + len - 1], b'a');
    let record = forged(at, 10, &vec![0; len - 29]);
    log.disk.bytes_mut(2)[at..at + len].copy_from_slice(&record);

    let again = Harness::start(settings(), log.disk.clone(), WALL, 2);

    let corruption = again.corruption.expect("refused");
    let place = (corruption.segment.0, corruption.at);
    assert_eq!(corruption.kind, CorruptionKind::UnsupportedRecord);
    assert_eq!(place, (2, u64::try_from(at).unwrap()));
    assert_eq!(verify(&log.disk).corruptions, [corruption]);
}

/// A record with valid checks at a byte position of a segment whose secret is known.
fn forged(at: usize, kind: u8, body: &[u8]) -> Vec<u8> {
    let secret = known_secret();
    let keyed = |bytes: &[u8]| {
        let check = XxHash3_64::oneshot_with_secret(&secret, bytes).unwrap();
        check.to_le_bytes()
    };
    let mut checked = keyed(body).to_vec();
    checked.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    checked.extend_from_slice(&1_u32.to_le_bytes());
    checked.extend_from_slice(&256_u32.to_le_bytes());
    checked.push(kind);
    let check = keyed(&[&at.to_le_bytes()[..], &checked].concat());
    [&check[..], &checked, body].concat()
}

/// The beginning of a segment of another version.
fn other_version(number: u64, version: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if version == 1 {
        // The checksum, the length, the number, the write generation, what was synced, the kind, and the version.
        bytes.extend_from_slice(&[0xcc; 4]);
        bytes.extend_from_slice(&33_u32.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend_from_slice(&version.to_le_bytes());
    } else {
        bytes.extend_from_slice(b"\x89SFLOG\r\n");
        bytes.extend_from_slice(&version.to_le_bytes());
        let check = XxHash3_64::oneshot(&bytes).to_le_bytes();
        bytes.extend_from_slice(&check[..4]);
    }
    bytes.resize(16 << 10, 0);
    bytes
}
